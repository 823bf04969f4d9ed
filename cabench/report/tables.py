"""What tables show, without the syntax of any format: headers, entries, marks, yardsticks and notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from cabench.data.dataset import IS_TARGET
from cabench.evaluation.gap import LEAK_METRICS, is_leak
from cabench.evaluation.grouped import effective
from cabench.evaluation.score import Score
from cabench.files.names import printable
from cabench.report.comparison import Comparison, Mark, compare, mark
from cabench.report.multiplicity import LEVEL
from cabench.report.quantities import Quantity, distance_of, score_of
from cabench.report.row_values import NOT_KNOWN, find_intervals, interval_of, over_seeds, rows_of_blocks
from cabench.report.summary import FROM_VECTORS, NOT_FLAT, Column, Row, Section

FOOTNOTES = {
    FROM_VECTORS: f"{FROM_VECTORS.strip()} vectors from elsewhere, scored here.",
    NOT_FLAT: f"{NOT_FLAT.strip()} the loss still changed when training ended: longer training may change numbers.",
}
"""By mark behind a row's name, what it means."""
NO_SCORE = "–"
SAME_IDEAL = 1e-9
UNEQUAL = 0.9  # groups of sizes that say less than this part of as many equal ones
UP, DOWN = "↑", "↓"


class Entry(NamedTuple):
    """One entry of a table.

    Attributes:
        text: a number or a word.
        interval: half the width of the 95 % interval, as text; empty where there is none.
        mark: how it compares.
        values: what the mean is taken over, one a seed, in the unit of `text`; empty where there is no score.
        star: whether it is a leak that permutations show under every seed.
    """

    text: str
    interval: str = ""
    mark: Mark = Mark.NONE
    values: tuple[float, ...] = ()
    star: bool = False


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
    """The entries of one row, such as a method's.

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
        lines: one a row.
        yardsticks: by name ("chance", "ideal", "test groups"), the values of each column as text; may be empty.
        notes: sentences that stand below it, on its marks, and on what is not tested.
        rows: what a line is of.
    """

    title: str
    headers: tuple[Header, ...]
    lines: tuple[Line, ...]
    yardsticks: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    rows: str = "method"


class Kind(NamedTuple):
    """How the scores of a column are written.

    Attributes:
        factor: by which they are multiplied.
        digits: after the point.
        widest: half the width of an interval that says nothing, as it holds all that can be: wider ones are cut.
    """

    factor: float
    digits: int
    widest: float = 1.0

    def text(self, value: float) -> str:
        """A score as tables show it."""
        return number(self.factor * value, self.digits)


PERCENT = Kind(100.0, 1)
FRACTION = Kind(1.0, 3)
RATIO = Kind(1.0, 3, widest=float("inf"))


class Filled(NamedTuple):
    """One column with all that stands in it.

    Attributes:
        header: its title.
        entries: one a row of the section.
        yardsticks: by name, what stands below it.
        found: how methods compare in it; None where they are not compared.
        smallest_p: the smallest p-value that permutations can give its leak; None where it is none.
    """

    header: Header
    entries: Sequence[Entry]
    yardsticks: Mapping[str, str] = MappingProxyType({})
    found: Comparison | None = None
    smallest_p: float | None = None


def filled_table(section: Section, title: str, columns: Sequence[Filled], said: Sequence[str] = ()) -> Table:
    """A table of some columns.

    Args:
        section: whose rows they have.
        title: a heading.
        columns: in order.
        said: sentences on what this table holds, which stand before those on its marks.
    """
    names = dict.fromkeys(name for column in columns for name in column.yardsticks)
    yardsticks = {name: tuple(column.yardsticks.get(name, NO_SCORE) for column in columns) for name in names}
    known = {name: texts for name, texts in yardsticks.items() if set(texts) != {NO_SCORE}}
    by_row = list(zip(*(column.entries for column in columns), strict=True)) if columns else [()] * len(section.rows)
    lines = tuple(Line(row.title, row.stale, entries) for row, entries in zip(section.rows, by_row, strict=True))
    last = filter(None, [footnote(line.name for line in lines)])
    headers = tuple(column.header for column in columns)
    return Table(title, headers, lines, known, (*said, *_notes(section, columns), *last))


def score_column(section: Section, column: Column, header: Header, kind: Kind = PERCENT) -> Filled:
    """All that stands in the column of one score."""
    scores = section.scores(column)
    found = comparison_of(section, column)
    quantity = score_of(column)
    find_intervals(section.rows, quantity)
    starred = [_is_shown_leak(row, column) for row in section.rows]
    entries = [
        entry_of(row, quantity, found, kind)._replace(star=star)
        for row, star in zip(section.rows, starred, strict=True)
    ]
    yardsticks = {
        "chance": _shared(scores, kind, lambda score: score.chance),
        "ideal": _shared(scores, kind, lambda score: score.ideal),
        section.unit: _counted(section, column, scores),
    }
    smallest = [score.p_smallest for score in scores if score.p_smallest is not None]
    return Filled(header, entries, yardsticks, found, max(smallest, default=None))


def quantity_column(section: Section, header: Header, quantity: Quantity, away: Quantity, kind: Kind) -> Filled:
    """The column of something made of several scores, but for its yardsticks.

    Args:
        section: whose rows it has.
        header: its title.
        quantity: what is shown.
        away: how far that is from its ideal.
        kind: how it is written.
    """
    found = compare(section.rows, away)
    return Filled(header, [entry_of(row, quantity, found, kind) for row in section.rows], found=found)


def comparison_of(section: Section, column: Column) -> Comparison | None:
    """The methods of a section by how far they are from a column's ideal; None where that is not one for all."""
    scores = section.scores(column)
    known = [score.ideal for score in scores if score.ideal is not None]
    if len(known) < len(scores) or not known or max(known) - min(known) >= SAME_IDEAL:
        return None
    return compare(section.rows, distance_of(column))


def entry_of(row: Row, quantity: Quantity, found: Comparison | None, kind: Kind) -> Entry:
    """A row's mean of a quantity, with its interval over seeds and test groups."""
    values = [kind.factor * value for value in over_seeds(row, quantity)]
    if not values:
        return Entry("FAIL" if row.failures and not row.records else NO_SCORE)
    mean, interval = sum(values) / len(values), interval_of(row, quantity)
    return Entry(
        text=number(mean, kind.digits),
        interval=kind.text(min(interval.half_width, kind.widest)) if interval else "",
        mark=mark(row, found) if found else Mark.NONE,
        values=tuple(values),
    )


def footnote(names: Iterable[str]) -> str:
    """What the marks behind some of the names of a table's rows mean; empty where none has one."""
    found = list(names)
    return " ".join(said for mark, said in FOOTNOTES.items() if any(name.endswith(mark) for name in found))


def attribute_title(name: str) -> str:
    """An attribute's name as readers see it."""
    return "target or background" if name == IS_TARGET else printable(name).replace("_", " ")


def arrow_of(column: Column) -> str:
    """Whether more or less is better in a column: neither for a nuisance in the common space, or read from itself."""
    if column.space == "nuisance" or (column.attribute_space == "nuisance" and column.space == "common"):
        return ""
    return DOWN if column.metric == "norm_ratio" or column.space != column.attribute_space else UP


def number(value: float, digits: int) -> str:
    """A number with thousands marked."""
    return f"{value:,.{digits}f}"


def counted(number_of_groups: int, rows: Sequence[int], are_groups: bool) -> str:
    """How many test groups there are, and how many of equal size would say as much where that is clearly fewer."""
    equal = effective(np.asarray(rows))
    unequal = are_groups and rows and equal < UNEQUAL * number_of_groups
    return f"{number_of_groups:,}" + (f" (effective {equal:.1f})" if unequal else "")


def untested_sentence(untested: dict[str, str]) -> str:
    """Who cannot be tested and why; empty where everyone can."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in untested.items():
        by_reason.setdefault(reason, []).append(name)
    told = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
    return f"Cannot be tested: {told}." if told else ""


def _notes(section: Section, columns: Sequence[Filled]) -> list[str]:
    """Sentences on the marks of a table, and on what has none."""
    entries = [entry for column in columns for entry in column.entries]
    said = []
    if any(row.stale for row in section.rows):
        said.append("Stale rows were made or measured by an older version, and are not comparable with the rest.")
    if any("effective" in text for column in columns for text in column.yardsticks.values()):
        said.append("Effective: groups of these unequal sizes say no more than so many equal ones.")
    if any(entry.interval for entry in entries):
        said.append(f"± is the 95 % interval over seeds and {section.unit}{_cut(columns)}.")
    if any(entry.interval for entry in entries) and any(map(_is_bare, entries)):
        said.append("Without ±: it cannot be known, as of one seed, or where every answer is right.")
    if any(entry.mark is Mark.BEST for entry in entries):
        said.append(
            "Bold: one of a column's bold methods is the best of those compared, at 95 %, for this training split; a "
            "method as good as the best may be missing from them."
        )
    return [*said, *_stars(columns, entries, section.unit), *_untested(columns)]


def _cut(columns: Sequence[Filled]) -> str:
    """What an interval says that was cut at the range; empty where none was."""
    widest = {kind.text(kind.widest) for kind in (PERCENT, FRACTION)}
    cut = any(entry.interval in widest for column in columns for entry in column.entries)
    return "; of ± 100.0 % or ± 1.000 nothing is known" if cut else ""


def _is_bare(entry: Entry) -> bool:
    """Whether a score stands without an interval."""
    return len(entry.values) > 1 and "." in entry.text and not entry.interval


def _stars(columns: Sequence[Filled], entries: Sequence[Entry], unit: str) -> list[str]:
    said = []
    if any(entry.star for entry in entries):
        said.append(
            f"*: a leak on these {unit} that permutations of their labels, within levels of nuisances where there are "
            f"some, show under every seed (p < {LEVEL}, corrected for all leaks of a method)."
        )
    hidden = [column for column in columns if column.smallest_p is not None and column.smallest_p > LEVEL]
    if hidden:
        names = ", ".join(dict.fromkeys(column.header.group for column in hidden))
        smallest = min(column.smallest_p for column in hidden if column.smallest_p is not None)
        said.append(
            f"No leak of {names} can be shown by permutations: the smallest p that these groups, and levels of "
            f"nuisances, allow is {smallest:.2f}."
        )
    return said


def _untested(columns: Sequence[Filled]) -> list[str]:
    """Who cannot be tested in any column that has them, then who cannot be in some."""
    compared = [(column.header, column.found) for column in columns if column.found is not None]
    reasons: dict[str, set[str]] = {}
    for _, found in compared:
        for name in (*found.means, *found.untested):
            reasons.setdefault(name, set()).add(found.untested.get(name, ""))
    everywhere = {name: told.copy().pop() for name, told in reasons.items() if len(told) == 1 and "" not in told}
    if everywhere and set(everywhere.values()) == {NOT_KNOWN} and len(everywhere) == len(reasons):
        return [f"Not compared, and without ±: {NOT_KNOWN}."]
    in_some: dict[str, list[str]] = {}
    for header, found in compared:
        own = {name: reason for name, reason in found.untested.items() if name not in everywhere}
        if own:
            said = f"{', '.join(own)} ({'; '.join(dict.fromkeys(own.values()))})"
            in_some.setdefault(said, []).append(" ".join(filter(None, (header.group, header.label))))
    lines = [f"Not tested in {', '.join(titles)}: {said}." for said, titles in in_some.items()]
    return [sentence for sentence in (untested_sentence(everywhere), *lines) if sentence]


def _is_shown_leak(row: Row, column: Column) -> bool:
    """Whether a row's score in a column is a leak of the gap that permutations show under every seed."""
    if column.space == column.attribute_space or column.metric not in LEAK_METRICS:
        return False
    scores = row.scores(column)
    p_values = [score.p_familywise for score in scores if is_leak(score)]
    return bool(p_values) and all(p is not None and p < LEVEL for p in p_values)


def _shared(scores: Sequence[Score], kind: Kind, yardstick: Callable[[Score], float | None]) -> str:
    """A yardstick of a column; none where it is not the same for all, as it depends on the representation."""
    values = {yardstick(score) for score in scores}
    texts = {NO_SCORE if value is None else kind.text(value) for value in values}
    return texts.pop() if len(texts) == 1 else NO_SCORE


def _counted(section: Section, column: Column, scores: Sequence[Score]) -> str:
    """How many test groups a column was scored on; none where that is not the same for all."""
    counts = {score.n_groups for score in scores if score.n_groups is not None}
    if len(counts) != 1:
        return NO_SCORE
    return counted(counts.pop(), _rows(section, column), section.is_grouped)


def _rows(section: Section, column: Column) -> list[int]:
    """How many test rows of a column each block has; none where that was not kept."""
    return next((found for row in section.current if (found := rows_of_blocks(row, column))), [])
