"""The first table of a section: the separation gap and its halves, what the data set is about, and the cost."""

from __future__ import annotations

from itertools import chain

from cabench.data.dataset import IS_TARGET
from cabench.report.probe_tables import READ_METRICS, probe_header
from cabench.report.quantities import gap_of, leaked_of, unwanted_of, wanted_of
from cabench.report.summary import Column, Row, Section
from cabench.report.tables import (
    DOWN,
    FRACTION,
    NO_SCORE,
    PERCENT,
    UP,
    Entry,
    Filled,
    Header,
    Table,
    counted,
    filled_table,
    number,
    quantity_column,
    score_column,
)

GAP = (
    "Wanted: how far the right space comes from chance to all there is to read, leaked: how far the wrong one does; "
    "means over attributes. Separation gap = (1 - wanted + leaked) / 2: 0 is perfect, vectors without information have "
    "0.5, two spaces that both hold everything 0.5 or more. Scores are in percent; ↑ marks the space that an attribute "
    "belongs to, ↓ leaks."
)


def overview(section: Section) -> Table:
    """One line a method: the gap, wanted and leaked, the first salient attribute and target against background read
    from either space, and the cost.
    """
    made = [
        (Header("", "separation gap", DOWN), gap_of, gap_of, FRACTION, 0.5, 0.0),
        (Header("", "wanted", UP), wanted_of, unwanted_of, PERCENT, 0.0, 1.0),
        (Header("", "leaked", DOWN), leaked_of, leaked_of, PERCENT, 0.0, 0.0),
    ]
    columns = [
        quantity_column(section, header, quantity, away, kind)._replace(
            yardsticks={"chance": kind.text(chance), "ideal": kind.text(ideal), section.unit: _tested(section)}
        )
        for header, quantity, away, kind, chance, ideal in made
    ]
    columns += [score_column(section, column, probe_header(column)) for column in _about(section)]
    for title, name, digits in _costs(section):
        columns.append(Filled(Header("", title), [_cost(row, name, digits) for row in section.rows]))
    columns.append(Filled(Header("", "seeds"), [_seeds(row) for row in section.rows]))
    return filled_table(section, "Overview", columns, [GAP])


def _about(section: Section) -> list[Column]:
    """The columns of the first salient attribute, then of target against background; from its own space first."""
    salient = [column for column in section.columns_of(*READ_METRICS) if column.attribute_space == "salient"]
    read = [column for column in salient if column.attribute == salient[0].attribute]
    read += [column for column in section.columns_of("auc") if column.attribute == IS_TARGET]
    found = [column for column in read if column.space != "nuisance"]
    return sorted(found, key=lambda column: (column.attribute == IS_TARGET, column.space != "salient"))


def _tested(section: Section) -> str:
    """How many test groups there are in all."""
    for table in chain.from_iterable(row.tables for row in section.current):
        if table is not None:
            sizes = [int(rows) for rows in table.rows]
            return counted(len(sizes) if section.is_grouped else sum(sizes), sizes, section.is_grouped)
    return NO_SCORE


def _costs(section: Section) -> list[tuple[str, str, int]]:
    """Titles of what methods cost, with the names in records and the digits after the point."""
    seen = (f"{section.examples} seen", "images_seen", 0)
    return [("parameters", "parameters", 0), seen, ("training (s)", "train_s", 1)]


def _cost(row: Row, name: str, digits: int) -> Entry:
    if not row.records or any(record.from_vectors for record in row.records):  # what they cost elsewhere is unknown
        return Entry(NO_SCORE)
    values = tuple(float(record.cost[name]) for record in row.records)
    return Entry(number(sum(values) / len(values), digits), values=values)


def _seeds(row: Row) -> Entry:
    count = len(row.records)
    return Entry(f"{count}" + (f", {len(row.failures)} FAILED" if row.failures else ""), values=(float(count),))
