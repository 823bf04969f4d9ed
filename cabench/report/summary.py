"""Records gathered into what tables show: sections of one data set, rows of one method, columns of one probe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
from scipy import stats

from cabench import discovery
from cabench.data.dataset import Space
from cabench.errors import unknown
from cabench.evaluation.probe_scores import MAIN_METRICS
from cabench.evaluation.score import PopulationName, Score
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record
from cabench.files.names import printable

FROM_VECTORS = " †"
"""Stands behind the names of rows whose vectors were brought from elsewhere."""

Quantity = Callable[[Record], float | None]
_Key = TypeVar("_Key")
_Item = TypeVar("_Item")


class Column(NamedTuple):
    """One probe: what is read, where from, on which images, and how it is scored."""

    attribute: str
    attribute_space: Space
    population: PopulationName
    metric: str
    space: Space


class Spread(NamedTuple):
    """A quantity over seeds.

    Attributes:
        mean: over the seeds.
        half_width: of the 95 % t-interval of the mean; None below two seeds.
        n: the number of seeds.
    """

    mean: float
    half_width: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """The records of one method under one configuration, one a seed.

    Attributes:
        name: the method's label, with what tells it from other rows of the same label.
        records: those that ended well.
        failures: those that failed.
        stale: whether they come from another version of the method, the data set or the evaluation, and so are not
            compared.
    """

    name: str
    records: tuple[Record, ...]
    failures: tuple[Record, ...]
    stale: bool

    @property
    def title(self) -> str:
        """The name as tables show it, marked where the vectors came from elsewhere."""
        return self.name + (FROM_VECTORS if any(record.from_vectors for record in self.records) else "")

    def over_seeds(self, quantity: Quantity) -> list[float]:
        """A quantity under each seed, as far as the records have it."""
        return [value for record in self.records if (value := quantity(record)) is not None]

    def spread(self, quantity: Quantity) -> Spread | None:
        """Mean and interval of a quantity over the seeds; None where no record has it."""
        values = self.over_seeds(quantity)
        return spread(values) if values else None

    def under(self, seeds: Sequence[int]) -> Row:
        """The same row with the records of some seeds alone."""
        return replace(self, records=tuple(record for record in self.records if record.seed in seeds))

    def values(self, column: Column) -> list[float]:
        """One probe's value under each seed, as far as the records have that probe."""
        return self.over_seeds(lambda record: score.value if (score := find(record, column)) else None)


@dataclass(frozen=True)
class Section:
    """All rows of one data set under one profile and precision.

    Attributes:
        dataset: the data set's label.
        sources: titles of what it was built from.
        content: SHA-256 of the data set's content.
        profile: the profile's name.
        precision: of the networks.
        rows: the best separation gap first; rows without a score last.
        with_stale: whether rows of older versions are compared too, as far as the evaluation is the same.
    """

    dataset: str
    sources: tuple[str, ...]
    content: str
    profile: str
    precision: str
    rows: tuple[Row, ...]
    with_stale: bool = False

    @property
    def seeds(self) -> list[int]:
        """The seeds of all records that ended well."""
        return sorted({record.seed for row in self.rows for record in row.records})

    @property
    def columns(self) -> list[Column]:
        """The main metrics' probes, in the order of the records."""
        return self.columns_of(MAIN_METRICS)

    def columns_of(self, metrics: Sequence[str]) -> list[Column]:
        """All columns of some metrics, in the order of the records."""
        scores = [score for row in self.rows for record in row.records for score in record.scores]
        return list(dict.fromkeys(column_of(score) for score in scores if score.metric in metrics))

    def scores(self, column: Column) -> list[Score]:
        """All scores of a column."""
        found = (find(record, column) for row in self.rows for record in row.records)
        return [score for score in found if score is not None]

    def largest_error(self) -> float:
        """The largest standard error of a score, over the draw of the test images."""
        records = [record for row in self.rows for record in row.records]
        main = [score for record in records for score in record.scores if score.metric in MAIN_METRICS]
        return max((score.standard_error or 0.0 for score in main), default=float("nan"))


def column_of(score: Score) -> Column:
    """The column that a score belongs to."""
    return Column(score.attribute, score.attribute_space, score.population, score.metric, score.space)


def find(record: Record, column: Column) -> Score | None:
    """The score of a record in a column; None where the record, of an older evaluation, has no such probe."""
    return next((score for score in record.scores if column_of(score) == column), None)


def distance(column: Column, value: float, ideal: float) -> float:
    """How far a score in a column is from its ideal; a leak below chance is none."""
    above = value - ideal
    return abs(above) if column.space == column.attribute_space else max(0.0, above)


def spread(values: Sequence[float]) -> Spread:
    """Mean and 95 % t-interval of values, one a seed."""
    if len(values) < 2:
        return Spread(float(np.mean(values)), None, len(values))
    half_width = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return Spread(float(np.mean(values)), float(half_width), len(values))


def of_datasets(records: Sequence[Record], names: str) -> list[Record]:
    """The records of some data sets, named by their labels and separated by commas.

    Raises:
        UserError: for a data set of which there is no record.
    """
    there = {record.dataset["label"] for record in records}
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in there:
            raise unknown("data set of these records", name, there)
    return [record for record in records if record.dataset["label"] in wanted]


def sections(records: Sequence[Record], with_stale: bool = False) -> list[Section]:
    """The records by data set, profile and precision; within each by method and configuration.

    Args:
        records: of one results folder.
        with_stale: whether records of older versions are shown among the others, under their version, and compared as
            far as they were evaluated alike.
    """
    records = sorted(records, key=lambda record: record.key)
    groups = grouped(records, lambda r: (r.dataset["label"], r.profile, r.precision, r.dataset["content_sha256"]))
    return [_section(groups[key], with_stale) for key in sorted(groups)]


def _section(records: Sequence[Record], with_stale: bool) -> Section:
    newest = max(
        (record.evaluation for record in records), key=lambda entry: (entry == current_evaluation(), entry["version"])
    )
    rows: list[Row] = []
    for same_label in grouped(records, lambda r: r.method["label"]).values():
        groups = list(grouped(same_label, lambda record: record.computation).values())
        older = [_is_older(group[0], same_label) for group in groups]
        for group, is_older in zip(groups, older, strict=True):
            stale = group[0].evaluation != newest if with_stale else is_older
            rows.append(_row(group, _name(group[0], groups, with_stale and any(older)), stale))
    rows.sort(key=_rank)
    first = records[0]
    return Section(
        dataset=first.dataset["label"],
        sources=tuple(first.dataset["sources"]),
        content=first.dataset["content_sha256"],
        profile=first.profile,
        precision=first.precision,
        rows=tuple(rows),
        with_stale=with_stale,
    )


def _is_older(record: Record, siblings: Sequence[Record]) -> bool:
    """Whether a record is stale, or of an older version than another of a method that is not installed."""
    versions = [other.method["version"] for other in siblings]
    installed = record.method["name"] in discovery.plugins("methods")
    return record.is_stale() or (not installed and record.method["version"] < max(versions))


def _row(records: Sequence[Record], name: str, stale: bool) -> Row:
    ordered = sorted(records, key=lambda record: record.seed)
    ok, failures = (tuple(record for record in ordered if record.status == status) for status in ("ok", "failed"))
    return Row(name, ok, failures, stale)


def _rank(row: Row) -> tuple[bool, bool, bool, float, str]:
    """The order of rows: those with scores first, current ones before stale ones, then the smallest gap."""
    gap = row.spread(separation_gap_of)
    return not row.records, row.stale, gap is None, gap.mean if gap else 0.0, row.name


def _name(record: Record, siblings: Sequence[Sequence[Record]], with_versions: bool) -> str:
    """The label, and the fields in which its configuration differs from others under the same label.

    And, where it is asked for, the versions: the method's, and the others as far as rows differ in them.
    """
    others = [group[0] for group in siblings]
    settings = () if record.method.get("origin") == "vectors" else record.method["config"].items()
    told = [f"{name}={value}" for name, value in settings if any(o.method["config"].get(name) != value for o in others)]
    if with_versions:
        versions = _versions(record).items()
        told += [
            f"{name} {version}"
            for name, version in versions
            if name == "version" or any(_versions(other)[name] != version for other in others)
        ]
    return str(record.method["label"]) + (printable(f" ({', '.join(told)})") if told else "")


def _versions(record: Record) -> dict[str, int]:
    method, builder, evaluation = record.versions
    return {"version": method, "data set builder": builder, "evaluation": evaluation["version"]}


def separation_gap_of(record: Record) -> float | None:
    """The separation gap; None for vectors of one space alone."""
    return record.separation_gap


def wanted_of(record: Record) -> float | None:
    """How much of what the right space should hold is read from it, from 0 (chance) to 1 (all): see `_informed`.

    None for vectors of one space alone, as is what leaked: they would be means over half of the probes.
    """
    return _mean_informed(record, True)


def leaked_of(record: Record) -> float | None:
    """How much is read from the space that should not hold it, from 0 (chance) to 1 (all): see `_informed`."""
    return _mean_informed(record, False)


def _mean_informed(record: Record, wanted: bool) -> float | None:
    if record.separation_gap is None:
        return None
    main = [score for score in record.scores if score.metric in MAIN_METRICS]
    found = [_informed(score) for score in main if (score.space == score.attribute_space) is wanted]
    return float(np.mean(found)) if found else float("nan")


def _informed(score: Score) -> float:
    """The part of the way from chance to 1 that a main score has come; 0 below chance, or where that is 1."""
    return max(0.0, (score.value - score.chance) / (1 - score.chance)) if score.chance < 1 else 0.0


def grouped(items: Sequence[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """Records, or other things, by key, in the order in which each key first occurs."""
    groups: dict[_Key, list[_Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
