"""What reports compare of records: a column's scores, the separation gap and its halves, and what test groups add.

A quantity is made of scores, and so are the contributions of test groups to it: those to each of the scores times its
slope, summed. See `cabench.evaluation.contributions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np

from cabench.evaluation.contributions import ContributionTable
from cabench.evaluation.evaluate import VERSION
from cabench.evaluation.gap import Estimate, Separation, separation
from cabench.experiment.record import Record
from cabench.report.crossed import Interval, Sample, TestGroups, intervals
from cabench.report.summary import Column, Row, distance, place_of

Quantity = Callable[[Record], Estimate | None]
"""Takes it from a record; None where the record does not have it."""

R2_METRICS = ("r2", "space_r2")
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


def gap_of(record: Record) -> Estimate | None:
    """The separation gap; None for vectors of one space alone, and under another version of the evaluation."""
    found = _separation(record)
    return found and found.gap


def wanted_of(record: Record) -> Estimate | None:
    """How much of what the right space should hold is read from it; None likewise."""
    found = _separation(record)
    return found and found.wanted


def unwanted_of(record: Record) -> Estimate | None:
    """How far what is wanted is from its ideal; None likewise."""
    found = wanted_of(record)
    return found and Estimate(1 - found.value, {index: -slope for index, slope in found.slopes.items()})


def leaked_of(record: Record) -> Estimate | None:
    """How much is read from the space that should not hold it; None likewise."""
    found = _separation(record)
    return found and found.leaked


@lru_cache(maxsize=4096)
def score_of(column: Column) -> Quantity:
    """The score in a column; R² below 0 counts as 0, as it has no bound there and says no more."""

    def of(record: Record) -> Estimate | None:
        place = place_of(record, column)
        if place is None:
            return None
        value = record.scores[place].value
        is_cut = column.metric in R2_METRICS and value < 0
        return Estimate(0.0 if is_cut else value, {place: 0.0 if is_cut else 1.0})

    return of


@lru_cache(maxsize=4096)
def distance_of(column: Column) -> Quantity:
    """How far the score in a column is from its ideal; None also where it has none."""
    shown = score_of(column)

    def of(record: Record) -> Estimate | None:
        score = shown(record)
        if score is None:
            return None
        ((place, slope),) = score.slopes.items()
        ideal = record.scores[place].ideal
        if ideal is None:
            return None
        away = distance(column, score.value, ideal)
        direction = (1.0 if score.value > ideal else -1.0) if away else 0.0
        return Estimate(away, {place: direction * slope})

    return of


def over_seeds(row: Row, quantity: Quantity) -> list[float]:
    """A quantity under each seed, as far as the records have it."""
    return [estimate.value for estimate in _estimates(row, quantity) if estimate is not None]


def sampled(row: Row, quantity: Quantity) -> Sampled | str:
    """A quantity as comparisons take it; in its place a clause where contributions to it are missing."""
    if _COLUMNS not in row.found:
        row.found[_COLUMNS] = _of_columns(row)
    of_columns: dict[Quantity, Sampled] = row.found[_COLUMNS]
    if quantity not in of_columns:
        return _kept(row, "sampled", quantity, lambda: _sampled(row, quantity))
    return of_columns[quantity]


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


_Kept = TypeVar("_Kept")
_COLUMNS = "columns"


def _kept(row: Row, name: str, quantity: Quantity, find: Callable[[], _Kept]) -> _Kept:
    """What was found of a row before, or is found now."""
    if (name, quantity) not in row.found:
        row.found[name, quantity] = find()
    found: _Kept = row.found[name, quantity]
    return found


def _estimates(row: Row, quantity: Quantity) -> list[Estimate | None]:
    """A quantity of each record."""
    return _kept(row, "estimates", quantity, lambda: [quantity(record) for record in row.records])


def _of_columns(row: Row) -> dict[Quantity, Sampled]:
    """What is made of one score, of all columns in one go; none where its records were not measured alike."""
    tables = [table for table in row.tables if table is not None]
    if len({id(record.places) for record in row.records}) != 1 or len(tables) < len(row.records):
        return {}
    if len({(len(table.scores), len(table.rows)) for table in tables}) != 1:
        return {}
    unknown = np.full(len(tables[0].rows), np.nan)
    added = np.array([[unknown if p.values is None else p.values for p in table.scores] for table in tables])
    columns = [(Column(*kind), place) for kind, place in row.records[0].places.items()]  # type: ignore[arg-type]
    found: dict[Quantity, Sampled] = {}
    for quantity_of in (score_of, distance_of):
        every = [(quantity_of(column), place) for column, place in columns]
        whole = [(quantity, place) for quantity, place in every if None not in _estimates(row, quantity)]
        places = [place for _, place in whole]
        estimates = [[each for each in _estimates(row, quantity) if each] for quantity, _ in whole]
        slopes = np.array(
            [[each.slopes[place] for each in same] for same, place in zip(estimates, places, strict=True)]
        )
        means = (slopes.T[:, :, np.newaxis] * added[:, places]).mean(axis=0) if whole else ()
        for (quantity, place), same, mean in zip(whole, estimates, means, strict=True):
            if len(mean) and not np.isnan(mean[0]):
                sample = Sample(np.array([each.value for each in same]), mean, row.is_deterministic)
                found[quantity] = Sampled(
                    sample, TestGroups(tables[0].scores[place].rows, tables[0].scores[place].strata)
                )
    return found


def _sampled(row: Row, quantity: Quantity) -> Sampled | str:
    found = [
        (table, estimate) for table, estimate in zip(row.tables, _estimates(row, quantity), strict=True) if estimate
    ]
    known = [(table, estimate) for table, estimate in found if table is not None]
    if len(known) < len(found):
        return NOT_KEPT
    parts = [_contributions(table, estimate) for table, estimate in known]
    if any(part is None for part in parts):
        return NOT_KNOWN
    if len({len(table.rows) for table, _ in known}) > 1:
        return NOT_ALIKE
    values = np.array([estimate.value for _, estimate in known])
    return Sampled(Sample(values, np.array(parts).mean(axis=0), row.is_deterministic), _groups(*known[0]))


def _separation(record: Record) -> Separation | None:
    """The gap and its halves, from the scores; None where these are of another evaluation than it is defined for."""
    if record.separation_gap is None or record.evaluation["version"] != VERSION:
        return None
    try:
        return separation(record.scores)
    except (ValueError, ZeroDivisionError):  # a file that somebody has changed
        return None


def _contributions(table: ContributionTable, estimate: Estimate) -> np.ndarray | None:
    """Float64 (groups,) to something made of scores; None where one of the scores has none."""
    total = np.zeros(len(table.rows))
    for place, slope in estimate.slopes.items():
        values = table.scores[place].values
        if values is None:
            return None
        total += np.multiply(slope, values, dtype=np.float64)
    return total


def _groups(table: ContributionTable, estimate: Estimate) -> TestGroups:
    """The groups of the one score; of several, those that any of them was taken of."""
    scores = [table.scores[place] for place in estimate.slopes]
    if len(scores) == 1:
        return TestGroups(scores[0].rows, scores[0].strata)
    touched = np.any([score.rows > 0 for score in scores], axis=0)
    return TestGroups(np.where(touched, table.rows, 0), table.strata)
