"""A record: everything known of one finished cell, as one JSON file with full precision and units in its names."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from cabench.errors import UserError
from cabench.evaluation.score import Score, Unmeasured
from cabench.files.json import read_json
from cabench.files.names import is_name

SCHEMA = 1


_nothing_else = with_config(ConfigDict(extra="forbid"))
_and_more = with_config(ConfigDict(extra="allow"))


@_and_more
class MethodEntry(TypedDict):
    """The method of a record. The label is the name that was asked for: a variant's, or the method's own."""

    name: str
    label: str
    version: int
    config: dict[str, Any]


@_and_more
class DatasetEntry(TypedDict):
    """The data set of a record; `sources` are titles."""

    name: str
    label: str
    builder_version: int
    config: dict[str, Any]
    content_sha256: str
    sources: list[str]


@_and_more
class EvaluationEntry(TypedDict):
    """The evaluation of a record."""

    version: int
    config: dict[str, Any]


@_and_more
class ErrorEntry(TypedDict):
    """Why a cell failed, and where it stood."""

    type: str
    message: str
    traceback: str
    step: int | None
    last_terms: dict[str, str] | None


@_nothing_else
@dataclass(frozen=True)
class Record:
    """One cell's record; the fields are those of `record.json`, and their types what a file is checked against.

    Attributes:
        key: identifies what was computed (SHA-256); see `cabench.experiment.cell.Cell.key`.
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
    method: MethodEntry
    dataset: DatasetEntry
    evaluation: EvaluationEntry
    profile: str
    seed: int
    precision: Literal["fp32", "bf16"]
    scores: tuple[Score, ...]
    separation_gap: float | None
    cost: Mapping[str, float]
    provenance: Mapping[str, Any]
    error: ErrorEntry | None
    unmeasured: tuple[Unmeasured, ...] = ()
    dimension_r2: Mapping[str, Sequence[float]] = field(default_factory=dict)
    protocols: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)
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
            record = read_json(path, cls)
            _check(record)
        except (OSError, ValueError) as error:
            if _is_newer(path):
                raise UserError(
                    f"{path} follows a schema of records that a newer cabench wrote: this one reads schema {SCHEMA}. "
                    "Install the newer one."
                ) from error
            raise UserError(
                f"{path} is not a record of cabench ({error}); delete it to have it computed again."
            ) from error
        return record


def _is_newer(path: Path) -> bool:
    """Whether a file that is no record of this schema says that it follows a later one."""
    try:
        return bool(read_json(path, dict[str, Any])["schema"] > SCHEMA)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _check(record: Record) -> None:
    """Raise ValueError for what types do not say: above all, names make the folder that a record is kept in."""
    if record.schema != SCHEMA:
        raise ValueError(f"schema {record.schema}, expected {SCHEMA}")
    for label in (record.method["label"], record.dataset["label"]):
        if not is_name(label):
            raise ValueError(f"{label!r} is no name for a method or data set")
    if not re.fullmatch("[0-9a-f]{64}", record.key) or record.seed < 0:
        raise ValueError("key or seed is none")
    if record.status == "ok":
        missing = {"parameters", "images_seen", "train_s"} - set(record.cost)
        if record.separation_gap is None or missing:
            raise ValueError(f"a finished cell without {', '.join(sorted(missing)) or 'separation_gap'}")
