"""The baseline: a small readable JSON file of what gated metrics were, one line a metric, one value a seed.

    {"schema": 1,
     "cells": [
      {"method": {"name", "label", "version", "config"},
       "dataset": {"name", "label", "builder_version", "content_sha256"},
       "evaluation": {"version", "config"},
       "profile": "quick", "precision": "fp32",
       "speeds": [{"device": "cpu", "gpu": null, "cpu": "...", "threads": 1, "images_per_s": {"0": 1501.2}}],
       "metrics": [{"attribute", "attribute_space", "population", "metric", "space", "ideal", "values": {"0": 0.91}}]}]}

Values are at full precision, so that numbers that did not change are known by that. The separation gap is a metric
among the others, with the ideal 0. Written by `cabench gate --update` and committed beside the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cabench.errors import UserError
from cabench.evaluation.grid import MAIN_METRICS
from cabench.experiment.record import Record
from cabench.files.atomic import write_text
from cabench.files.json import read_json
from cabench.gate.speed import Hardware, Speeds, speeds_of
from cabench.report.summary import Column, column_of, distance, separation_gap_of

SCHEMA = 1
SEPARATION_GAP = Column("all attributes", "common", "all", "separation_gap", "common")

_METHOD = {"name": str, "label": str, "version": int, "config": dict}
_DATASET = {"name": str, "label": str, "builder_version": int, "content_sha256": str}
_EVALUATION = {"version": int, "config": dict}


class Place(NamedTuple):
    """What makes two cell groups the same one on both sides of a comparison."""

    dataset: str
    method: str
    profile: str
    precision: str

    @property
    def title(self) -> str:
        """A name for messages."""
        return f"{self.dataset} / {self.method} ({self.profile}, {self.precision})"


@dataclass(frozen=True)
class Metric:
    """One gated metric over seeds.

    Attributes:
        ideal: what a perfect representation has.
        values: by seed; a seed under which it could not be measured is absent.
    """

    ideal: float
    values: Mapping[int, float]

    def distances(self, column: Column) -> list[float]:
        """The distance from the ideal under each seed, in the order of the seeds."""
        return [distance(column, self.values[seed], self.ideal) for seed in sorted(self.values)]


@dataclass(frozen=True)
class CellGroup:
    """A method on a data set over seeds: what a baseline keeps of its records.

    Attributes:
        method: name, label, version and config.
        dataset: name, label, builder_version and content_sha256.
        evaluation: version and config.
        profile: the profile's name.
        precision: "fp32" or "bf16".
        speeds: throughput by hardware.
        metrics: the gated ones, by column, each with one seed or more.
    """

    method: Mapping[str, Any]
    dataset: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    profile: str
    precision: str
    speeds: Speeds
    metrics: Mapping[Column, Metric]

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.dataset["label"], self.method["label"], self.profile, self.precision)

    @property
    def seeds(self) -> list[int]:
        """All seeds that any metric was measured under."""
        return sorted({seed for metric in self.metrics.values() for seed in metric.values})

    @classmethod
    def of(cls, records: Sequence[Record]) -> CellGroup:
        """What records of one computation, one a seed, that all ended well, come to."""
        first = records[0]
        return cls(
            method=_chosen(first.method, _METHOD),
            dataset=_chosen(first.dataset, _DATASET),
            evaluation=_chosen(first.evaluation, _EVALUATION),
            profile=first.profile,
            precision=first.precision,
            speeds=speeds_of(records),
            metrics=_metrics(records),
        )


def _chosen(entry: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: entry[name] for name in names}


def _metrics(records: Sequence[Record]) -> dict[Column, Metric]:
    gaps = {record.seed: separation_gap_of(record) for record in records}
    metrics = {SEPARATION_GAP: Metric(0.0, gaps)}
    found: dict[Column, dict[int, float]] = {}
    ideals: dict[Column, float] = {}
    for record in records:
        for score in record.scores:
            if score.metric in MAIN_METRICS:
                found.setdefault(column_of(score), {})[record.seed] = score.value
                ideals[column_of(score)] = score.ideal
    return metrics | {column: Metric(ideals[column], values) for column, values in found.items()}


@dataclass(frozen=True)
class Baseline:
    """All cell groups of a baseline, by where they stand."""

    groups: Mapping[Place, CellGroup]

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            UserError: when that is not possible, or a value is not finite.
        """
        try:
            cells = [_as_json(self.groups[place]) for place in sorted(self.groups)]
            write_text(path, _laid_out({"schema": SCHEMA, "cells": cells}, 4) + "\n")
        except (OSError, ValueError) as error:
            raise UserError(f"The baseline cannot be written to {path} ({error}).") from error

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read a file.

        Raises:
            UserError: when there is none, or it does not follow the schema.
        """
        if not path.is_file():
            raise UserError(
                f"There is no baseline {path}; `cabench gate --baseline {path} --update` makes one from the results."
            )
        try:
            content = read_json(path, dict[str, Any])
            _require(content, {"schema": int, "cells": list}, "the file")
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']}, expected {SCHEMA}")
            groups = [_group(cell) for cell in content["cells"]]
            if not groups:
                raise ValueError("it has no cells")
            if len({group.place for group in groups}) < len(groups):
                raise ValueError("a cell stands in it twice")
            return cls({group.place: group for group in groups})
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} is not a baseline of cabench ({error}); restore it, or delete it and write one with --update."
            ) from error


def _as_json(group: CellGroup) -> dict[str, object]:
    return {
        "method": group.method,
        "dataset": group.dataset,
        "evaluation": group.evaluation,
        "profile": group.profile,
        "precision": group.precision,
        "speeds": [
            {**hardware._asdict(), "images_per_s": _by_text(speeds)} for hardware, speeds in group.speeds.items()
        ],
        "metrics": [
            {**column._asdict(), "ideal": metric.ideal, "values": _by_text(metric.values)}
            for column, metric in group.metrics.items()
        ],
    }


def _by_text(values: Mapping[int, float]) -> dict[str, float]:
    return {str(seed): values[seed] for seed in sorted(values)}


def _laid_out(value: object, levels: int, indent: str = "") -> str:
    """JSON with a line for each entry of the outer `levels`, and everything deeper on one line."""
    inner = f"{indent} "
    if levels and isinstance(value, dict) and value:
        entries = [f"{inner}{json.dumps(key)}: {_laid_out(entry, levels - 1, inner)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
    if levels and isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"{inner}{_laid_out(entry, levels - 1, inner)}" for entry in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)


def _group(cell: object) -> CellGroup:
    kinds = {"method": dict, "dataset": dict, "evaluation": dict, "profile": str, "precision": str}
    entry = _require(cell, {**kinds, "speeds": list, "metrics": list}, "a cell")
    for name, keys in (("method", _METHOD), ("dataset", _DATASET), ("evaluation", _EVALUATION)):
        _require(entry[name], keys, name)
    speeds = {}
    for item in entry["speeds"]:
        _require(
            item, {"device": str, "threads": int, "gpu": str | None, "cpu": str | None, "images_per_s": dict}, "speeds"
        )
        hardware = Hardware(*(item[name] for name in Hardware._fields))
        if hardware in speeds:
            raise ValueError("a cell names the same hardware twice")
        speeds[hardware] = _by_seed(item["images_per_s"])
        if min(speeds[hardware].values()) <= 0:
            raise ValueError("images_per_s must be above 0")
    metrics = {}
    for item in entry["metrics"]:
        _require(item, {**dict.fromkeys(Column._fields, str), "ideal": int | float, "values": dict}, "metrics")
        column = Column(*(item[name] for name in Column._fields))
        if column in metrics:
            raise ValueError("a cell has a metric twice")
        metrics[column] = Metric(_number(item["ideal"]), _by_seed(item["values"]))
    if not metrics:
        raise ValueError("a cell has no metrics")
    return CellGroup(**{**entry, "speeds": speeds, "metrics": metrics})


def _require(value: object, kinds: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A JSON object with exactly these entries, each of its kind."""
    if not isinstance(value, dict) or set(value) != set(kinds):
        raise ValueError(f"{where} must have the entries {', '.join(kinds)}")
    for name, kind in kinds.items():
        if not isinstance(value[name], kind) or isinstance(value[name], bool):
            raise ValueError(f"{name} of {where} is of a wrong kind")
    return value


def _by_seed(values: Mapping[str, object]) -> dict[int, float]:
    if not values or not all(re.fullmatch("0|[1-9][0-9]{0,17}", seed) for seed in values):
        raise ValueError("values must be given by seed, such as 0, for one seed or more")
    return {int(seed): _number(value) for seed, value in values.items()}


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no number")
    return float(value)
