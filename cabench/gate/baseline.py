"""The baseline: a small readable JSON file of what gated metrics were, one line a metric, one value a seed.

    {"schema": 1,
     "cells": [
      {"method": {"name", "label", "version", "config"},
       "dataset": {"name", "label", "builder_version", "content_sha256"},
       "evaluation": {"version", "config"},
       "profile": "quick", "precision": "fp32",
       "speeds": [{"device": "cpu", "gpu": null, "cpu": "...", "threads": 1, "images_per_s": {"0": 1501.2}}],
       "metrics": [{"attribute", "attribute_space", "population", "metric", "space", "ideal", "values": {"0": 0.91}}]}]}

Gated are the scores that the separation gap is made of, and the gap itself, with the ideal 0. Values are at full
precision, so that numbers that did not change are known by that. Written by `cabench gate --update` and committed
beside the code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, StringConstraints, with_config
from typing_extensions import TypedDict

from cabench.errors import UserError
from cabench.evaluation.gap import is_term
from cabench.evaluation.ranges import is_possible, is_possible_gap
from cabench.experiment.record import Record
from cabench.files.atomic import write_text
from cabench.files.json import read_json
from cabench.report.summary import Column, column_of, distance

SCHEMA = 1
SEPARATION_GAP = Column("all attributes", "common", "all", "separation_gap", "common")
SHORTEST_S = 5.0  # of a training whose throughput is kept: starting up is much of a shorter one

_exactly = with_config(ConfigDict(extra="forbid"))
_Seed = Annotated[str, StringConstraints(pattern="^(0|[1-9][0-9]{0,17})$")]


@_exactly
class _Method(TypedDict):
    name: str
    label: str
    version: int
    config: dict[str, Any]


@_exactly
class _Dataset(TypedDict):
    name: str
    label: str
    builder_version: int
    content_sha256: str


@_exactly
class _Evaluation(TypedDict):
    version: int
    config: dict[str, Any]


@_exactly
class _Speeds(TypedDict):
    device: str
    gpu: str | None
    cpu: str | None
    threads: int
    images_per_s: Annotated[dict[_Seed, Annotated[float, Field(gt=0)]], Field(min_length=1)]


@_exactly
class _Metric(TypedDict):
    attribute: str
    attribute_space: str
    population: str
    metric: str
    space: str
    ideal: float
    values: Annotated[dict[_Seed, float], Field(min_length=1)]


@_exactly
class _Cell(TypedDict):
    method: _Method
    dataset: _Dataset
    evaluation: _Evaluation
    profile: str
    precision: str
    speeds: list[_Speeds]
    metrics: Annotated[list[_Metric], Field(min_length=1)]


@_exactly
class _File(TypedDict):
    schema: Literal[1]
    cells: Annotated[list[_Cell], Field(min_length=1)]


class GroupName(NamedTuple):
    """What makes two cell groups the same one on both sides of a comparison."""

    dataset: str
    method: str
    profile: str
    precision: str

    @classmethod
    def of(cls, record: Record) -> GroupName:
        """That of the group that a record belongs to."""
        return cls(record.dataset["label"], record.method["label"], record.profile, record.precision)

    @property
    def title(self) -> str:
        """A name for messages."""
        return f"{self.dataset} / {self.method} ({self.profile}, {self.precision})"


class Hardware(NamedTuple):
    """What must be equal for throughputs to be compared; `device` is "cpu" or "cuda"."""

    device: str
    gpu: str | None
    cpu: str | None
    threads: int


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
        speeds: images a second of the training loop, by hardware and seed.
        metrics: the gated ones, by column, each with one seed or more.
    """

    method: Mapping[str, Any]
    dataset: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    profile: str
    precision: str
    speeds: Mapping[Hardware, Mapping[int, float]]
    metrics: Mapping[Column, Metric]

    @property
    def name(self) -> GroupName:
        """Its name, which is the same on both sides."""
        return GroupName(self.dataset["label"], self.method["label"], self.profile, self.precision)

    @property
    def seeds(self) -> list[int]:
        """All seeds that any metric was measured under."""
        return sorted({seed for metric in self.metrics.values() for seed in metric.values})

    @classmethod
    def of(cls, records: Sequence[Record]) -> CellGroup:
        """What records of one computation, one a seed, that all ended well, come to."""
        first = records[0]
        return cls(
            _chosen(first.method, _Method),
            _chosen(first.dataset, _Dataset),
            _chosen(first.evaluation, _Evaluation),
            first.profile,
            first.precision,
            _speeds(records),
            _metrics(records),
        )


def _chosen(entry: Mapping[str, Any], kind: type) -> dict[str, Any]:
    return {name: entry[name] for name in kind.__annotations__}


def _speeds(records: Sequence[Record]) -> dict[Hardware, dict[int, float]]:
    """The throughput of records that say where they were computed and took long enough."""
    found: dict[Hardware, dict[int, float]] = {}
    for record in records:
        where, speed = record.provenance, record.cost.get("images_per_s", 0.0)
        if record.cost.get("train_s", 0.0) >= SHORTEST_S and speed > 0 and "threads" in where:
            device = str(where.get("device")).partition(":")[0]
            hardware = Hardware(device, where.get("gpu"), where.get("cpu"), where["threads"])
            found.setdefault(hardware, {})[record.seed] = speed
    return found


def _metrics(records: Sequence[Record]) -> dict[Column, Metric]:
    gaps = {record.seed: record.separation_gap for record in records if record.separation_gap is not None}
    metrics = {SEPARATION_GAP: Metric(0.0, gaps)} if gaps else {}
    found: dict[Column, dict[int, float]] = {}
    ideals: dict[Column, float] = {}
    for record in records:
        for score in record.scores:
            if is_term(score) and score.ideal is not None:
                found.setdefault(column_of(score), {})[record.seed] = score.value
                ideals[column_of(score)] = score.ideal
    return metrics | {column: Metric(ideals[column], values) for column, values in found.items()}


@dataclass(frozen=True)
class Baseline:
    """All cell groups of a baseline, by name."""

    groups: Mapping[GroupName, CellGroup]

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            UserError: when that is not possible, or a value is not finite.
        """
        try:
            cells = [_as_json(self.groups[name]) for name in sorted(self.groups)]
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
            groups = [_group(cell) for cell in read_json(path.resolve(), _File)["cells"]]
            if len({group.name for group in groups}) < len(groups):
                raise ValueError("a cell stands in it twice")
            return cls({group.name: group for group in groups})
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} is not a baseline of cabench ({error}); restore it, or write another file with --update."
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


def _group(cell: _Cell) -> CellGroup:
    speeds = {_named(Hardware, item): _by_seed(item["images_per_s"]) for item in cell["speeds"]}
    metrics = {_named(Column, item): Metric(item["ideal"], _by_seed(item["values"])) for item in cell["metrics"]}
    if len(speeds) < len(cell["speeds"]) or len(metrics) < len(cell["metrics"]):
        raise ValueError("a cell has the same metric or hardware twice")
    version = cell["evaluation"]["version"]
    for column, metric in metrics.items():
        for value in (metric.ideal, *metric.values.values()):
            gap = column == SEPARATION_GAP
            if not (is_possible_gap(value, version) if gap else is_possible(column.metric, value)):
                raise ValueError(f"{value:g} of {column.metric} ({column.attribute}, {column.space}) cannot be")
    return CellGroup(**{**cell, "speeds": speeds, "metrics": metrics})  # type: ignore[arg-type]


def _named(kind: Any, item: Mapping[str, Any]) -> Any:
    """The named tuple whose fields are among the entries of a JSON object."""
    return kind(*(item[name] for name in kind._fields))


def _by_seed(values: Mapping[str, float]) -> dict[int, float]:
    return {int(seed): value for seed, value in values.items()}
