"""What tables show, without the syntax of any format: headers, entries and marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from cabench.data.dataset import IS_TARGET
from cabench.evaluation.score import Score
from cabench.evaluation.shape_scores import OTHER_SPACE
from cabench.experiment.record import Record
from cabench.files.names import printable
from cabench.report.comparison import Comparison, Mark, compare, mark
from cabench.report.summary import (
    FROM_VECTORS,
    Column,
    Quantity,
    Row,
    Section,
    distance,
    find,
    leaked_of,
    separation_gap_of,
    spread,
    wanted_of,
)

NO_SCORE = "–"
SAME_IDEAL = 1e-9
UP, DOWN = "↑", "↓"


class Entry(NamedTuple):
    """One entry of a table.

    Attributes:
        text: a number or a word.
        interval: half the width of the 95 % interval, as text; empty where there is none.
        mark: how it compares.
        values: what the mean is taken over, one a seed, in the unit of `text`; empty where there is no score.
    """

    text: str
    interval: str = ""
    mark: Mark = Mark.NONE
    values: tuple[float, ...] = ()


class Header(NamedTuple):
    """One column's title.

    Attributes:
        group: what neighbouring columns have in common; may be empty.
        label: what is this column's own.
        arrow: whether more or less is better; empty where neither is.
    """

    group: str
    label: str
    arrow: str = ""


class Line(NamedTuple):
    """One method's entries.

    Attributes:
        name: the row's name.
        stale: whether its records are.
        entries: one for each header.
    """

    name: str
    stale: bool
    entries: tuple[Entry, ...]


class Table(NamedTuple):
    """A table of one section.

    Attributes:
        title: a heading.
        headers: of all columns but the first, which holds names.
        lines: one a method.
        yardsticks: by name ("chance", "ideal"), the values of each column as text; may be empty.
    """

    title: str
    headers: tuple[Header, ...]
    lines: tuple[Line, ...]
    yardsticks: dict[str, tuple[str, ...]]

    @property
    def footnote(self) -> str:
        """A line below the table; may be empty."""
        return footnote(line.name for line in self.lines)


class _Kind(NamedTuple):
    """How the scores of a column are written: a factor and a number of digits, and whether those below 0 are cut."""

    factor: float
    digits: int
    cut: bool = False


_PERCENT = _Kind(100.0, 1, cut=True)  # R² below 0 says no more than 0 does; records keep the true value.
_FRACTION = _Kind(1.0, 3)

_GROUPS: dict[str, str] = {
    "norm_ratio": "norm of background relative to target",
    "silhouette": "silhouette",
    "hsic": "HSIC of the two spaces",
    "space_r2": "R² across spaces",
    "kmeans_ari": "clusters and",
    "kmeans_nmi": "clusters and",
    "mig": "MIG",
    "dci_disentanglement": "DCI",
    "dci_completeness": "DCI",
}
_LABELS: dict[str, str] = {
    "norm_ratio": "salient",
    "hsic": "",
    "kmeans_ari": "ARI",
    "kmeans_nmi": "NMI",
    "dci_disentanglement": "disentanglement",
    "dci_completeness": "completeness",
}
SHAPE_METRICS = ("norm_ratio", "silhouette", "hsic", "space_r2", "kmeans_ari", "kmeans_nmi")
DISENTANGLEMENT_METRICS = ("mig", "dci_disentanglement", "dci_completeness")
NEIGHBOUR_METRICS = ("knn_balanced_accuracy", "knn_r2", "knn_auc")


def overview(section: Section) -> Table:
    """One line a method: the separation gap, what stands behind it, and the cost."""
    told = _wanted_first([column for column in section.columns if column.attribute == IS_TARGET])
    scored = [
        (Header("", "separation gap", DOWN), separation_gap_of, separation_gap_of, _FRACTION),
        (Header("", "wanted", UP), wanted_of, _unwanted, _PERCENT),
        (Header("", "leaked", DOWN), leaked_of, leaked_of, _PERCENT),
    ]
    costs = [("parameters", "parameters", 0), ("images seen", "images_seen", 0), ("training (s)", "train_s", 1)]
    columns = [_quantity_entries(section, *parts[1:]) for parts in scored]
    columns += [_score_entries(section, column) for column in told]
    columns += [[_cost(row, name, digits) for row in section.rows] for _, name, digits in costs]
    columns.append([_seeds(row) for row in section.rows])
    headers = [parts[0] for parts in scored] + [_header(column) for column in told]
    headers += [Header("", title) for title, _, _ in costs] + [Header("", "seeds")]
    return _table(section, "Overview", headers, columns, {})


def probe_tables(section: Section) -> list[Table]:
    """The linear probes: salient attributes on target images, common ones on either population."""
    found = []
    for title, attribute_space, population in (
        ("Salient attributes, read from target images", "salient", "target"),
        ("Common attributes, read from target images", "common", "target"),
        ("Common attributes, read from background images", "common", "background"),
    ):
        columns = [c for c in section.columns if (c.attribute_space, c.population) == (attribute_space, population)]
        if columns:
            found.append(_score_table(section, title, columns))
    return found


def further_tables(section: Section) -> list[Table]:
    """What is measured beside linear probes: the spaces' shape, disentanglement, nearest-neighbour probes."""
    found = []
    for title, metrics in (
        ("Shape of the spaces", SHAPE_METRICS),
        ("Disentanglement of the salient space", DISENTANGLEMENT_METRICS),
        ("Read by nearest neighbours (k = 20)", NEIGHBOUR_METRICS),
    ):
        columns = section.columns_of(metrics)
        if columns:
            found.append(_score_table(section, title, columns))
    return found


def footnote(names: Iterable[str]) -> str:
    """What the mark behind some of the names of a table's rows means; empty where none has it."""
    return (
        f"{FROM_VECTORS.strip()} vectors from elsewhere, scored here."
        if any(n.endswith(FROM_VECTORS) for n in names)
        else ""
    )


def comparison_of(section: Section, column: Column) -> Comparison | None:
    """The methods of a section by how far they are from a column's ideal; None where that is not one for all."""
    ideals = [score.ideal for score in section.scores(column)]
    return compare(section.rows, _distance(column)) if max(ideals) - min(ideals) < SAME_IDEAL else None


def attribute_title(name: str) -> str:
    """An attribute's name as readers see it."""
    return "target or background" if name == IS_TARGET else printable(name).replace("_", " ")


def number(value: float, digits: int) -> str:
    """A number with thousands marked."""
    return f"{value:,.{digits}f}"


def entry(values: Sequence[float], digits: int, mark: Mark = Mark.NONE, cut: bool = False) -> Entry:
    """The mean of values, one a seed, and its interval; a mean below 0 is shown as 0 where it is to be `cut`."""
    if not values:
        return Entry(NO_SCORE)
    mean, half_width, _ = spread(values)
    interval = "" if half_width is None else number(half_width, digits)
    return Entry(number(max(0.0, mean) if cut else mean, digits), interval, mark, tuple(values))


def _score_table(section: Section, title: str, columns: Sequence[Column]) -> Table:
    ordered = _wanted_first(columns)
    yardsticks = {
        "chance": tuple(_shared(section, column, lambda score: score.chance) for column in ordered),
        "ideal": tuple(_shared(section, column, lambda score: score.ideal) for column in ordered),
    }
    headers = [_header(column) for column in ordered]
    entries = [_score_entries(section, column) for column in ordered]
    for column in ordered:
        if column.metric == "hsic":
            headers.append(Header("HSIC of the two spaces", "largest p", ""))
            entries.append([_largest_p(row, column) for row in section.rows])
            yardsticks = {name: (*values, NO_SCORE) for name, values in yardsticks.items()}
    return _table(section, title, headers, entries, yardsticks)


def _shared(section: Section, column: Column, yardstick: Callable[[Score], float]) -> str:
    """A yardstick of a column; none where it is not the same for all, as it depends on the representation."""
    kind = _kind(column)
    texts = {number(kind.factor * yardstick(score), kind.digits) for score in section.scores(column)}
    return texts.pop() if len(texts) == 1 else NO_SCORE


def _table(
    section: Section,
    title: str,
    headers: Sequence[Header],
    columns: Sequence[Sequence[Entry]],
    yardsticks: dict[str, tuple[str, ...]],
) -> Table:
    entries = list(zip(*columns, strict=True)) if columns else [()] * len(section.rows)
    lines = tuple(Line(row.title, row.stale, line) for row, line in zip(section.rows, entries, strict=True))
    return Table(title, tuple(headers), lines, yardsticks)


def _score_entries(section: Section, column: Column) -> list[Entry]:
    kind, found = _kind(column), comparison_of(section, column)
    return [_over_seeds(row, row.values(column), found, kind) for row in section.rows]


def _quantity_entries(section: Section, quantity: Quantity, distance: Quantity, kind: _Kind) -> list[Entry]:
    found = compare(section.rows, distance)
    return [_over_seeds(row, row.over_seeds(quantity), found, kind) for row in section.rows]


def _unwanted(record: Record) -> float | None:
    """How far what is wanted is from its ideal."""
    wanted = wanted_of(record)
    return None if wanted is None else 1 - wanted


def _over_seeds(row: Row, values: Sequence[float], found: Comparison | None, kind: _Kind) -> Entry:
    if not values and row.failures and not row.records:
        return Entry("FAIL")
    return entry([kind.factor * value for value in values], kind.digits, mark(row, found), kind.cut)


def _distance(column: Column) -> Quantity:
    """How far a record's score in a column is from its ideal."""

    def of(record: Record) -> float | None:
        score = find(record, column)
        return None if score is None else distance(column, score.value, score.ideal)

    return of


def _largest_p(row: Row, column: Column) -> Entry:
    """The largest p-value over the seeds: below 0.05, the spaces are shown to depend on each other under every seed."""
    scores = [score for record in row.records if (score := find(record, column)) is not None]
    p_values = tuple(score.p_value for score in scores if score.p_value is not None)
    return Entry(number(max(p_values), 3), values=(max(p_values),)) if p_values else Entry(NO_SCORE)


def _cost(row: Row, name: str, digits: int) -> Entry:
    if not row.records or any(record.from_vectors for record in row.records):  # what they cost elsewhere is unknown
        return Entry(NO_SCORE)
    values = tuple(float(record.cost[name]) for record in row.records)
    return Entry(number(spread(values).mean, digits), values=values)


def _seeds(row: Row) -> Entry:
    count = len(row.records)
    return Entry(f"{count}" + (f", {len(row.failures)} FAILED" if row.failures else ""), values=(float(count),))


def _kind(column: Column) -> _Kind:
    return _FRACTION if column.metric in (*SHAPE_METRICS, *DISENTANGLEMENT_METRICS) else _PERCENT


def _wanted_first(columns: Sequence[Column]) -> list[Column]:
    """By metric and attribute, in their order, the space that it belongs to before the one that it may leak into."""
    groups = list(dict.fromkeys(_header(column).group for column in columns))
    return sorted(columns, key=lambda c: (groups.index(_header(c).group), c.space != c.attribute_space))


def _header(column: Column) -> Header:
    metric, attribute = column.metric, column.attribute
    group = _GROUPS.get(metric, attribute_title(attribute))
    label = _LABELS.get(metric, column.space)
    if metric in ("kmeans_ari", "kmeans_nmi"):
        group = f"{group} {attribute_title(attribute)}"
    elif metric == "mig":
        label = attribute_title(attribute)
    elif attribute == OTHER_SPACE and metric == "space_r2":
        label = f"{column.attribute_space} from {column.space}"
    elif metric in NEIGHBOUR_METRICS and column.population == "background":
        group = f"{group} (background images)"
    wanted = column.space == column.attribute_space
    return Header(group, label, DOWN if metric == "norm_ratio" or not wanted else UP)
