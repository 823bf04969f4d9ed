"""A record: everything known of one finished cell, as one JSON file with full precision and units in its names."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, InstanceOf, with_config
from typing_extensions import TypedDict

from cabench.errors import UserError
from cabench.evaluation.contributions import ContributionTable
from cabench.evaluation.evaluate import VERSION
from cabench.evaluation.gap import Separation, separation
from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.consistency import check_consistent
from cabench.experiment.contributions_file import StoredContributions
from cabench.experiment.identity import SCHEMA, Identity
from cabench.files.json import read_json
from cabench.files.names import NAME_LETTERS, is_name
from cabench.profiles import ProfileEntry

Place = tuple[str, str, str, str, str]
"""What a score is of: attribute, the space that it belongs to, population, metric, and the space that was probed."""


@with_config(ConfigDict(extra="allow"))
class ErrorEntry(TypedDict):
    """Why a cell failed, and where it stood."""

    type: str
    message: str
    traceback: str
    step: int | None
    last_terms: dict[str, str] | None


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class Record(Identity):
    """What became of one cell. The fields are those of `record.json`; a file is checked against their types.

    Attributes:
        status: "ok" or "failed".
        scores: empty for a failed cell.
        separation_gap: see `cabench.evaluation.gap`, in [0, 1] since evaluation 3; None for a failed cell, and for
            vectors of one space alone.
        cost: train_s, compile_s, probe_s, images_per_s, steps, images_seen, parameters, peak_memory_gib.
        provenance: versions, commit, hardware, start and end; of the profile also what it says of itself.
        error: None, or type, message, traceback, step and last_terms.
        unmeasured: the scores that cannot be computed on these images, and why.
        dimension_r2: by salient attribute, what each dimension of the salient space shares with it; see
            `cabench.evaluation.metrics.disentanglement`.
        protocols: by name of a paper's own protocol, the scores under it; see `cabench.evaluation.protocols`.
        leak_floor: what a cell without any leak would be said to leak on average, in [0, 1]: above 0 where test groups
            are few. None where it was not measured.
        vectors_sha256: of all vectors, so that methods that leave nothing to chance are known by it; empty in records
            of older evaluations.
        prepared: what the method was given in place of values that it does not take, see `cabench.data.preparation`.
        unmade: by name of a file beside the record that could not be made, why; the scores do not depend on it.
        loss_is_flat: whether the loss no longer fell when training ended, see `cabench.experiment.flatness`; None where
            there is no loss that tells, and in older records.
        improvised_common: whether the method has no common space, so that one was improvised for it.
        schema: version of this layout.
        contributions: what each block of test rows adds to each score. It stands in a file of its own beside the
            record, and may be read when it is asked for, see `read_contributions`; None where there is none.
    """

    status: Literal["ok", "failed"]
    scores: tuple[Score, ...]
    separation_gap: float | None
    cost: Mapping[str, float]
    provenance: Mapping[str, Any]
    error: ErrorEntry | None
    unmeasured: tuple[Unmeasured, ...] = ()
    dimension_r2: Mapping[str, Sequence[float]] = field(default_factory=dict)
    protocols: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)
    leak_floor: float | None = None
    vectors_sha256: str = ""
    prepared: tuple[str, ...] = ()
    loss_is_flat: bool | None = None
    improvised_common: bool = False
    unmade: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
    contributions: InstanceOf[ContributionTable] | InstanceOf[StoredContributions] | None = field(
        default=None, compare=False
    )

    @property
    def from_vectors(self) -> bool:
        """Whether nothing was trained here: vectors from elsewhere, which may lack a space, were scored."""
        return self.method.get("origin") == "vectors"

    @cached_property
    def places(self) -> Mapping[Place, int]:
        """Where among the scores each stands. Records that were measured alike share one table."""
        return _places(tuple((s.attribute, s.attribute_space, s.population, s.metric, s.space) for s in self.scores))

    @cached_property
    def separation(self) -> Separation | None:
        """The separation gap with its halves, from the scores.

        None where there is no gap, or it is of another evaluation than this one, and for scores that somebody changed.
        """
        if self.separation_gap is None or self.evaluation["version"] != VERSION:
            return None
        try:
            return separation(self.scores)
        except (ValueError, ZeroDivisionError):
            return None

    def read_contributions(self) -> ContributionTable | None:
        """What each block of test rows adds to each score; None where that is not known, or cannot be read."""
        found = self.contributions
        return found.read() if isinstance(found, StoredContributions) else found

    def with_contributions(self, found: ContributionTable | StoredContributions | None) -> Record:
        """The same record with other contributions. What was computed of its scores stays computed."""
        changed = copy.copy(self)
        object.__setattr__(changed, "contributions", found)
        return changed

    @property
    def own_profile(self) -> ProfileEntry:
        """What the profile that it was computed or is shown under says of itself; older records have its name alone."""
        entry: ProfileEntry = {"name": self.profile, "description": "", "extends": []}
        kept = self.provenance.get("profile")
        if isinstance(kept, Mapping) and kept.get("name") == self.profile and isinstance(kept.get("extends"), list):
            entry["description"], entry["extends"] = str(kept.get("description", "")), [*map(str, kept["extends"])]
            if isinstance(kept.get("tuned"), list):
                entry["tuned"] = [*map(str, kept["tuned"])]
        return entry

    def under(self, profile: ProfileEntry) -> Record:
        """The same record, shown under another profile that asks for its cell."""
        return dataclasses.replace(self, profile=profile["name"], provenance={**self.provenance, "profile": profile})

    @classmethod
    def of(cls, identity: Identity, status: Literal["ok", "failed"], **found: Any) -> Record:
        """The record of a cell; `found` are the fields of its results."""
        return cls(**{item.name: getattr(identity, item.name) for item in fields(Identity)}, status=status, **found)

    def to_json(self) -> str:
        """The content of `record.json`: key and status first."""
        content = dataclasses.asdict(dataclasses.replace(self, contributions=None))
        content.pop("contributions")
        first = {name: content.pop(name) for name in ("key", "status")}
        return json.dumps({**first, **content}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a record.

        Raises:
            UserError: naming the file, when it cannot be read, does not follow the schema or follows a newer one.
        """
        try:
            record = read_json(path, cls)
            _check(record)
        except OSError as error:
            raise UserError(f"The record {path} cannot be read ({error}).") from error
        except ValueError as error:
            if _is_newer(path):
                raise UserError(
                    f"{path} follows a schema of records that a newer cabench wrote: this one reads schema {SCHEMA}. "
                    "Install the newer one."
                ) from error
            raise UserError(
                f"{path} is not a record of cabench ({error}); `cabench run` sets it aside and computes the cell again."
            ) from error
        return record


@lru_cache(maxsize=1024)
def _places(kinds: tuple[Place, ...]) -> Mapping[Place, int]:
    """By kind of score, where it stands first."""
    return {kind: index for index, kind in reversed(list(enumerate(kinds)))}


def _is_newer(path: Path) -> bool:
    """Whether a file says that it follows a later schema than this one."""
    try:
        return bool(read_json(path, dict[str, Any])["schema"] > SCHEMA)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _check(record: Record) -> None:
    """Raise ValueError for what types cannot say. Names matter most: they make the folder of a record."""
    if record.schema != SCHEMA:
        raise ValueError(f"schema {record.schema}, expected {SCHEMA}")
    for label in (record.method["label"], record.dataset["label"]):
        if not is_name(label):
            raise ValueError(f"{label!r} is no name for a method or data set; it may have {NAME_LETTERS}")
    if not re.fullmatch("[0-9a-f]{64}", record.key) or record.seed < 0:
        raise ValueError("its key or seed is not valid")
    if record.status == "ok":
        missing = {"parameters", "images_seen", "train_s"} - set(record.cost)
        if (record.separation_gap is None and not record.from_vectors) or missing:
            raise ValueError(f"a finished cell without {', '.join(sorted(missing)) or 'separation_gap'}")
    check_consistent(record)
