"""A record: everything known of one finished cell, as one JSON file with full precision and units in its names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
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
        metric: "accuracy", "balanced_accuracy" (fractions), "r2" (may be negative) or "auc".
        value: the score.
        chance: what a representation without information reaches on these test labels.
        ideal: 1 where the attribute belongs to the space, else `chance`.
        standard_error: of `value`, over the draw of the test images.
        n_train: images that the probe was fitted on.
        n_test: images that it was scored on.
        converged: whether the probe's solver reached its tolerance.
    """

    space: Space
    attribute: str
    attribute_space: Space
    population: PopulationName
    metric: str
    value: float
    chance: float
    ideal: float
    standard_error: float
    n_train: int
    n_test: int
    converged: bool


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
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The content of `record.json`."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a record.

        Raises:
            UserError: naming the file, when it cannot be read or does not follow the schema.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']}, expected {SCHEMA}")
            if not isinstance(content["scores"], list):
                raise ValueError("scores are no list")
            missing = {item.name for item in fields(cls)} - set(content)
            if missing:
                raise ValueError(f"without {', '.join(sorted(missing))}")
            content["scores"] = tuple(Score(**score) for score in content["scores"])
            record = cls(**content)
            _check_kinds(record)
            return record
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is not a record of cabench ({error}); delete it to have it computed again."
            ) from error


_ENTRIES = {
    "method": ("name", "label", "version", "config"),
    "dataset": ("name", "label", "builder_version", "config", "content_sha256", "sources"),
    "evaluation": ("version", "config"),
}


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
    numbers = ("value", "chance", "ideal", "standard_error", "n_train", "n_test")
    for score in record.scores:
        wrong = [name for name in numbers if not isinstance(getattr(score, name), int | float)]
        if wrong or not isinstance(score.metric, str):
            raise ValueError(f"a score with {', '.join(wrong) or 'metric'} of a wrong kind")
