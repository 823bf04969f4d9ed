"""Records gathered into what tables show: sections of one data set, rows of one method, columns of one probe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from cabench import discovery
from cabench.data.dataset import Owner
from cabench.errors import unknown
from cabench.evaluation.contributions import ContributionTable
from cabench.evaluation.score import PopulationName, Probed, Score
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record
from cabench.files.names import printable

FROM_VECTORS = " †"
"""Stands behind the names of rows whose vectors were brought from elsewhere."""
NOT_FLAT = " ‡"
"""Stands behind the names of rows whose loss still changed when training ended, under one seed or more."""

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")


class Column(NamedTuple):
    """One probe: what is read, where from, on which images, and how it is scored."""

    attribute: str
    attribute_space: Owner
    population: PopulationName
    metric: str
    space: Probed


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
        """The name as tables show it, marked where the vectors came from elsewhere, or training was too short."""
        if any(record.from_vectors for record in self.records):
            return self.name + FROM_VECTORS
        return self.name + (NOT_FLAT if any(record.loss_is_flat is False for record in self.records) else "")

    @cached_property
    def tables(self) -> list[ContributionTable | None]:
        """What test groups add to the scores of each record; read once, and held as long as the row is."""
        return [record.read_contributions() for record in self.records]

    @cached_property
    def found(self) -> dict[Any, Any]:
        """What `cabench.report.quantities` has found of the row, so that no table looks for it again."""
        return {}

    @cached_property
    def is_deterministic(self) -> bool:
        """Whether its vectors are known to be equal under all seeds, of which there are at least two."""
        found = {record.vectors_sha256 for record in self.records}
        return len(self.records) > 1 and len(found) == 1 and "" not in found

    def scores(self, column: Column) -> list[Score]:
        """The scores of a column, one a seed, as far as the records have that probe."""
        return [score for record in self.records if (score := find(record, column)) is not None]


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
        reference: the name of the row that all others are compared with, as was said beforehand; "" where none was.
    """

    dataset: str
    sources: tuple[str, ...]
    content: str
    profile: str
    precision: str
    rows: tuple[Row, ...]
    with_stale: bool = False
    reference: str = ""

    @property
    def seeds(self) -> list[int]:
        """The seeds of all records that ended well."""
        return sorted({record.seed for row in self.rows for record in row.records})

    @cached_property
    def current(self) -> list[Row]:
        """The rows that have scores and are not stale."""
        return [row for row in self.rows if row.records and not row.stale]

    def columns_of(self, *metrics: str) -> list[Column]:
        """All columns of some metrics, in the order of the records."""
        return [column for column in self._columns if column.metric in metrics]

    @cached_property
    def _columns(self) -> list[Column]:
        """All columns, in the order of the records."""
        places = [record.places for row in self.rows for record in row.records]
        alike = {id(found): found for found in places}.values()  # records that were measured alike share one
        in_order = [kind for found in alike for kind in sorted(found, key=lambda kind: found[kind])]
        return [Column(*kind) for kind in dict.fromkeys(in_order)]  # type: ignore[arg-type]  # the kinds of scores

    def scores(self, column: Column) -> list[Score]:
        """All scores of a column; those of stale rows only where there are no others."""
        current = [score for row in self.current for score in row.scores(column)]
        return current or [score for row in self.rows for score in row.scores(column)]

    @cached_property
    def is_grouped(self) -> bool:
        """Whether test images are known to belong together, such as those of one subject."""
        scores = [score for row in self.current for record in row.records for score in record.scores]
        return any(score.n_groups is not None and score.n_groups < score.n_test for score in scores)

    @cached_property
    def examples(self) -> str:
        """What its data set holds: "images", or "rows" of a table."""
        records = [record for row in self.rows for record in (*row.records, *row.failures)]
        return "rows" if any(record.dataset.get("is_table") for record in records) else "images"

    @property
    def unit(self) -> str:
        """What the test split is a sample of, in the plural."""
        return "test groups" if self.is_grouped else f"test {self.examples}"


def column_of(score: Score) -> Column:
    """The column that a score belongs to."""
    return Column(score.attribute, score.attribute_space, score.population, score.metric, score.space)


def find(record: Record, column: Column) -> Score | None:
    """The score of a record in a column; None where the record, of an older evaluation, has no such probe."""
    place = place_of(record, column)
    return None if place is None else record.scores[place]


def place_of(record: Record, column: Column) -> int | None:
    """Where among a record's scores that of a column stands."""
    return record.places.get(column)


def distance(column: Column, value: float, ideal: float) -> float:
    """How far a score in a column is from its ideal; a leak below chance is none."""
    above = value - ideal
    return abs(above) if column.space == column.attribute_space else max(0.0, above)


def one_by_one(found: list[Section]) -> Iterator[Section]:
    """Take section after section from a list, so that what its rows hold of contributions can be let go."""
    while found:
        yield found.pop(0)


def of_datasets(records: Sequence[Record], names: str) -> list[Record]:
    """The records of some data sets, named by their labels and separated by commas.

    Raises:
        UserError: for a data set of which there is no record.
    """
    check_datasets(names, {record.dataset["label"] for record in records})
    return [record for record in records if record.dataset["label"] in listed(names)]


def listed(names: str) -> list[str]:
    """Names that commas separate."""
    return [name.strip() for name in names.split(",")]


def check_datasets(names: str, there: Collection[str]) -> None:
    """Refuse labels of data sets, separated by commas, of which there is no record.

    Raises:
        UserError: naming one, and those that there are.
    """
    for name in listed(names):
        if name not in there:
            raise unknown("data set of these records", name, there)


def check_reference(reference: str, there: Collection[str]) -> None:
    """Refuse a reference that is no row of any section.

    Raises:
        UserError: naming it, and those that there are.
    """
    if reference and reference not in there:
        raise unknown("reference", reference, there)


def sections(records: Sequence[Record], with_stale: bool = False, reference: str = "") -> list[Section]:
    """The records by data set, profile and precision; within each by method and configuration.

    Args:
        records: of one results folder.
        with_stale: whether records of older versions are shown among the others, under their version, and compared as
            far as they were evaluated alike.
        reference: the name of a row that the others are compared with, as was said beforehand; "" for none.

    Raises:
        UserError: for a reference that no section has.
    """
    found = sections_of_some(records, with_stale, reference)
    check_reference(reference, {row.name for section in found for row in section.current})
    return found


def sections_of_some(records: Sequence[Record], with_stale: bool, reference: str) -> list[Section]:
    """Likewise, of some data sets of a results folder: the reference may be a row of others."""
    records = sorted(records, key=lambda record: record.key)
    groups = grouped(records, lambda r: (r.dataset["label"], r.profile, r.precision, r.dataset["content_sha256"]))
    return [_section(groups[key], with_stale, reference) for key in sorted(groups)]


def _section(records: Sequence[Record], with_stale: bool, reference: str) -> Section:
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
        reference=reference,
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
    gaps = [record.separation_gap for record in row.records if record.separation_gap is not None]
    return not row.records, row.stale, not gaps, sum(gaps) / len(gaps) if gaps else 0.0, row.name


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


def grouped(items: Sequence[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """Records, or other things, by key, in the order in which each key first occurs."""
    groups: dict[_Key, list[_Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
