"""A record: everything known of one finished cell, as one JSON file with full precision and units in its names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from cabench.dataset import Space
from cabench.errors import UserError

SCHEMA = 1
PopulationName = Literal["target", "background", "all"]


@dataclass(frozen=True)
class Score:
    """One probe's result on the test split.

    Attributes:
        space: the representation that was probed.
        attribute: what was predicted from it; "is_target" is target against background.
        attribute_space: the space that the attribute belongs to.
        population: the test images it was scored on.
        metric: what was measured: "balanced_accuracy" (a fraction), "r2" (may be negative), "auc", or another of
            `cabench.evaluation`.
        value: the score.
        chance: what a representation without information reaches on these test labels.
        ideal: where the attribute belongs to the space, what a perfect representation reaches (1, or 0 for a ratio of
            norms); else `chance`.
        standard_error: of `value`, over the draw of the test images unless the metric's module says otherwise; None
            where the metric has none.
        n_train: images that were fitted on, 0 for a metric that fits nothing.
        n_test: images that it was scored on.
        converged: whether the solver reached its tolerance.
        p_value: how often `value` or more is reached without information; None where that was not tested.
    """

    space: Space
    attribute: str
    attribute_space: Space
    population: PopulationName
    metric: str
    value: float
    chance: float
    ideal: float
    standard_error: float | None
    n_train: int
    n_test: int
    converged: bool
    p_value: float | None = None


@dataclass(frozen=True)
class Unmeasured:
    """A score that has no meaning on these images.

    Attributes:
        space: as in `Score`.
        attribute: likewise.
        population: likewise.
        metric: likewise.
        reason: why, as a clause.
    """

    space: Space
    attribute: str
    population: PopulationName
    metric: str
    reason: str


@dataclass(frozen=True)
class Record:
    """One cell's record; the fields are those of `record.json`.

    Attributes:
        key: identifies what was computed (SHA-256); see `cabench.experiment.Cell.key`.
        status: "ok" or "failed".
        method: name, label, version and config. The label is the name that was asked for.
        dataset: name, label, builder_version, config, content_sha256 and sources (titles).
        evaluation: version and config of the evaluation.
        profile: the profile's name.
        seed: the seed index.
        precision: "fp32" or "bf16".
        scores: empty for a failed cell.
        separation_gap: mean |value - ideal| over the grid; None for a failed cell.
        cost: train_s, compile_s, probe_s, images_per_s, steps, images_seen, parameters, peak_memory_gib.
        provenance: versions, commit, hardware, start and end.
        error: None, or type, message, traceback, step and last_terms.
        unmeasured: the scores that have no meaning on these images, and why.
        dimension_r2: by salient attribute, what each dimension of the salient space shares with it; see
            `cabench.evaluation.dimension_r2`.
        protocols: by name of a paper's own protocol, the scores under it; see `cabench.evaluation.protocols`.
        schema: version of this layout.
    """

    key: str
    status: Literal["ok", "failed"]
    method: Mapping[str, Any]
    dataset: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    profile: str
    seed: int
    precision: str
    scores: tuple[Score, ...]
    separation_gap: float | None
    cost: Mapping[str, float]
    provenance: Mapping[str, Any]
    error: Mapping[str, Any] | None
    unmeasured: tuple[Unmeasured, ...] = ()
    dimension_r2: Mapping[str, Sequence[float]] = field(default_factory=dict)
    protocols: Mapping[str, Sequence[Score]] = field(default_factory=dict)
    schema: int = SCHEMA

    def folder(self, results: Path) -> Path:
        """The folder of the record's cell below a results folder."""
        return results / str(self.dataset["label"]) / str(self.method["label"]) / f"seed{self.seed}-{self.key[:8]}"

    def to_json(self) -> str:
        """The content of `record.json`."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a record.

        Raises:
            UserError: naming the file, when it cannot be read, does not follow the schema or follows a newer one.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(content["schema"], int) and content["schema"] > SCHEMA:
                raise _newer(path, content["schema"])
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']}, expected {SCHEMA}")
            if not isinstance(content["scores"], list):
                raise ValueError("scores are no list")
            missing = {item.name for item in fields(cls)} - set(content) - _LATER
            if missing:
                raise ValueError(f"without {', '.join(sorted(missing))}")
            content["scores"] = _scores(content["scores"])
            content["unmeasured"] = tuple(Unmeasured(**item) for item in content.get("unmeasured", ()))
            protocols = content.get("protocols", {})
            content["protocols"] = {name: _scores(scores) for name, scores in protocols.items()}
            record = cls(**content)
            _check_kinds(record)
            return record
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is not a record of cabench ({error}); delete it to have it computed again."
            ) from error


def _newer(path: Path, schema: int) -> UserError:
    return UserError(
        f"{path} follows schema {schema} of records, which a newer cabench wrote: this one reads schema {SCHEMA}. "
        "Install the newer one."
    )


_LATER = {"unmeasured", "dimension_r2", "protocols"}
"""Fields that records of older evaluations do not have."""

_ENTRIES = {
    "method": ("name", "label", "version", "config"),
    "dataset": ("name", "label", "builder_version", "config", "content_sha256", "sources"),
    "evaluation": ("version", "config"),
}


def _scores(entries: Sequence[Mapping[str, Any]]) -> tuple[Score, ...]:
    return tuple(Score(**entry) for entry in entries)


def _check_kinds(record: Record) -> None:
    """Raise ValueError where a value is not of the kind that readers of records count on."""
    for name, keys in _ENTRIES.items():
        entry = getattr(record, name)
        if not isinstance(entry, dict) or not set(keys) <= set(entry):
            raise ValueError(f"{name} lacks some of {', '.join(keys)}")
    if record.status not in ("ok", "failed"):
        raise ValueError(f"status {record.status!r}")
    if not isinstance(record.seed, int) or not isinstance(record.cost, dict):
        raise ValueError("seed or cost of a wrong kind")
    if record.status == "ok" and not isinstance(record.separation_gap, float):
        raise ValueError(f"separation_gap {record.separation_gap!r}")
    if not isinstance(record.dimension_r2, dict):
        raise ValueError("dimension_r2 of a wrong kind")
    numbers = ("value", "chance", "ideal", "n_train", "n_test")
    for score in (*record.scores, *(score for scores in record.protocols.values() for score in scores)):
        wrong = [name for name in numbers if not isinstance(getattr(score, name), int | float)]
        if wrong or not isinstance(score.metric, str):
            raise ValueError(f"a score with {', '.join(wrong) or 'metric'} of a wrong kind")
