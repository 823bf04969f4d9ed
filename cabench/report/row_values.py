"""Quantities of a row: their values under every seed, and what test groups add to their means.

A quantity is made of scores, and so are the contributions of test groups to it: those to each of the scores times its
slope, summed. See `cabench.evaluation.contributions`.

The records of most rows were all measured alike. Then all quantities are found in one go, as arrays, and contributions
are let go: a report of ten thousand records asks for a million scores, and for what some hundred blocks add to each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from cabench.evaluation.contributions import ContributionTable
from cabench.evaluation.gap import Estimate
from cabench.report.crossed import Interval, Sample, TestGroups, intervals
from cabench.report.quantities import (
    R2_METRICS,
    Quantity,
    distance_of,
    gap_of,
    leaked_of,
    score_of,
    unwanted_of,
    wanted_of,
)
from cabench.report.summary import Column, Row, place_of

NOT_KEPT = "what test images add to its scores was not kept; `cabench evaluate` finds it"
NOT_KNOWN = "what each test image adds to such scores is not known"
NOT_ALIKE = "its seeds were not scored on the same test images"


class Sampled(NamedTuple):
    """A quantity of one row, as comparisons take it.

    Attributes:
        sample: its values under every seed, and the contributions to their mean.
        groups: the test groups that it was taken of.
    """

    sample: Sample
    groups: TestGroups


def over_seeds(row: Row, quantity: Quantity) -> list[float]:
    """A quantity under each seed, as far as the records have it."""
    made = _all_made(row).get(quantity)
    if made is not None:
        return made.values.tolist()  # type: ignore[no-any-return]  # floats
    return [estimate.value for estimate in _estimates(row, quantity) if estimate is not None]


def sampled(row: Row, quantity: Quantity) -> Sampled | str:
    """A quantity as comparisons take it; in its place a clause where contributions to it are missing."""
    found = _all_sampled(row).by_quantity
    return found[quantity] if quantity in found else _kept(row, "sampled", quantity, lambda: _sampled(row, quantity))


def rows_of_blocks(row: Row, column: Column) -> list[int]:
    """How many test rows of a column each block has; empty where that was not kept."""
    first = _all_sampled(row).first
    for record, table in zip(row.records, row.tables if first is None else [first], strict=first is None):
        place = place_of(record, column)
        if place is not None and table is not None:
            return list(map(int, table.scores[place].rows))
    return []


def interval_of(row: Row, quantity: Quantity) -> Interval | None:
    """The 95 % interval of a quantity's mean, over seeds and test groups; None where it cannot be known."""
    find_intervals([row], quantity)
    found: Interval | None = row.found["interval", quantity]
    return found


def find_intervals(rows: Sequence[Row], quantity: Quantity) -> None:
    """Find the intervals of some rows at once, as most were scored on the same test groups: see `interval_of`."""
    alike: dict[tuple[int, int], list[tuple[Row, Sampled]]] = {}
    for row in rows:
        if ("interval", quantity) in row.found:
            continue
        row.found["interval", quantity] = None
        if over_seeds(row, quantity) and not isinstance(found := sampled(row, quantity), str):
            alike.setdefault((id(found.groups.rows), id(found.groups.strata)), []).append((row, found))
    for same in alike.values():
        known = intervals([found.sample for _, found in same], same[0][1].groups)
        for (row, _), each in zip(same, known, strict=True):
            row.found["interval", quantity] = each


class _Made(NamedTuple):
    """A quantity that is made of the same scores in every record of a row.

    Attributes:
        values: float64 (seeds,), of the quantity.
        slopes: by the place of a score, float64 (seeds,), by how much the quantity changes with it.
    """

    values: np.ndarray
    slopes: Mapping[int, np.ndarray]


class _AllSampled(NamedTuple):
    """What was found of a row in one go.

    Attributes:
        by_quantity: empty where the records were not measured alike, or not on the same number of blocks.
        first: the contributions of the first record; None likewise.
    """

    by_quantity: Mapping[Quantity, Sampled | str]
    first: ContributionTable | None


_Kept = TypeVar("_Kept")


def _kept(row: Row, name: str, quantity: Quantity | None, find: Callable[[], _Kept]) -> _Kept:
    """What was found of a row before, or is found now."""
    if (name, quantity) not in row.found:
        row.found[name, quantity] = find()
    found: _Kept = row.found[name, quantity]
    return found


def _all_made(row: Row) -> Mapping[Quantity, _Made]:
    """All that is made of scores; empty where the records were not measured alike."""
    return _kept(row, "made", None, lambda: {**_made_of_one(row), **_made_of_many(row)} if _are_alike(row) else {})


def _all_sampled(row: Row) -> _AllSampled:
    """The same with contributions."""
    return _kept(row, "all sampled", None, lambda: _find_all_sampled(row))


def _are_alike(row: Row) -> bool:
    """Whether the records have the same scores, in the same places."""
    return len({id(record.places) for record in row.records}) == 1


def _made_of_one(row: Row) -> dict[Quantity, _Made]:
    """What `score_of` and `distance_of` give, of all columns that have it in every record."""
    columns = [Column(*kind) for kind in row.records[0].places]  # type: ignore[arg-type]  # the kinds of scores
    places = list(row.records[0].places.values())
    scores = [[record.scores[place] for place in places] for record in row.records]
    values = np.array([[score.value for score in same] for same in scores])
    ideals = np.array([[np.nan if score.ideal is None else score.ideal for score in same] for same in scores])
    is_cut = (values < 0) & [column.metric in R2_METRICS for column in columns]
    shown, slopes = np.where(is_cut, 0.0, values), np.where(is_cut, 0.0, 1.0)
    above = shown - ideals
    is_own = [column.space == column.attribute_space for column in columns]
    away = np.where(is_own, np.abs(above), np.maximum(0.0, above))
    directions = np.where(away > 0, np.sign(above), 0.0)
    found: dict[Quantity, _Made] = {}
    for quantity_of, of_columns, their_slopes in ((score_of, shown, slopes), (distance_of, away, directions * slopes)):
        for column, place, same, own in zip(columns, places, of_columns.T, their_slopes.T, strict=True):
            if not np.isnan(same).any():
                found[quantity_of(column)] = _Made(same, {place: own})
    return found


def _made_of_many(row: Row) -> dict[Quantity, _Made]:
    """The separation gap and its parts, where every record has them."""
    found: dict[Quantity, _Made] = {}
    for quantity in (gap_of, wanted_of, unwanted_of, leaked_of):
        estimates = [estimate for record in row.records if (estimate := quantity(record))]
        if len(estimates) == len(row.records) and len({tuple(each.slopes) for each in estimates}) == 1:
            slopes = {place: np.array([each.slopes[place] for each in estimates]) for place in estimates[0].slopes}
            found[quantity] = _Made(np.array([each.value for each in estimates]), slopes)
    return found


def _find_all_sampled(row: Row) -> _AllSampled:
    made = _all_made(row)
    tables = [table for record in row.records if made and (table := record.read_contributions()) is not None]
    if not made or len(tables) < len(row.records) or len({len(table.rows) for table in tables}) > 1:
        return _AllSampled({}, None)
    added = _added(tables)
    return _AllSampled({quantity: _summed(row, each, added, tables[0]) for quantity, each in made.items()}, tables[0])


def _added(tables: Sequence[ContributionTable]) -> np.ndarray:
    """Float (seeds, scores, blocks), what blocks add to each score; NaN where that is not known."""
    unknown = np.full(len(tables[0].rows), np.nan, dtype=np.float32)
    return np.array([[unknown if part.values is None else part.values for part in t.scores] for t in tables])


def _summed(row: Row, made: _Made, added: np.ndarray, first: ContributionTable) -> Sampled | str:
    """A quantity with what blocks add to its mean, of all records at once."""
    total = sum(slopes[:, np.newaxis] * added[:, place] for place, slopes in made.slopes.items())
    mean = np.mean(total, axis=0)
    if np.isnan(mean).any():
        return NOT_KNOWN
    return Sampled(Sample(made.values, mean, row.is_deterministic), _groups(first, list(made.slopes)))


def _estimates(row: Row, quantity: Quantity) -> list[Estimate | None]:
    """A quantity of each record."""
    return _kept(row, "estimates", quantity, lambda: [quantity(record) for record in row.records])


def _sampled(row: Row, quantity: Quantity) -> Sampled | str:
    """A quantity as comparisons take it, record by record."""
    estimates = _estimates(row, quantity)
    found = [(table, estimate) for table, estimate in zip(row.tables, estimates, strict=True) if estimate]
    known = [(table, estimate) for table, estimate in found if table is not None]
    if len(known) < len(found):
        return NOT_KEPT
    parts = [_contributions(table, estimate) for table, estimate in known]
    if any(part is None for part in parts):
        return NOT_KNOWN
    if len({len(table.rows) for table, _ in known}) > 1:
        return NOT_ALIKE
    values = np.array([estimate.value for _, estimate in known])
    sample = Sample(values, np.array(parts).mean(axis=0), row.is_deterministic)
    return Sampled(sample, _groups(known[0][0], list(known[0][1].slopes)))


def _contributions(table: ContributionTable, estimate: Estimate) -> np.ndarray | None:
    """Float64 (groups,) to something made of scores; None where one of the scores has none."""
    total = np.zeros(len(table.rows))
    for place, slope in estimate.slopes.items():
        values = table.scores[place].values
        if values is None:
            return None
        total += np.multiply(slope, values, dtype=np.float64)
    return total


def _groups(table: ContributionTable, places: Sequence[int]) -> TestGroups:
    """The groups of the one score; of several, those that any of them was taken of."""
    scores = [table.scores[place] for place in places]
    if len(scores) == 1:
        return TestGroups(scores[0].rows, scores[0].strata)
    touched = np.any([score.rows > 0 for score in scores], axis=0)
    return TestGroups(np.where(touched, table.rows, 0), table.strata)
