"""What reports compare of records: a column's score, its distance from the ideal, the separation gap and its halves."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from cabench.evaluation.gap import Estimate
from cabench.experiment.record import Record
from cabench.report.summary import Column, distance, place_of

Quantity = Callable[[Record], Estimate | None]
"""Takes it from a record; None where the record does not have it."""

R2_METRICS = ("r2", "space_r2")


def gap_of(record: Record) -> Estimate | None:
    """The separation gap; None for vectors of one space alone, and under another version of the evaluation."""
    return record.separation and record.separation.gap


def wanted_of(record: Record) -> Estimate | None:
    """How much of what the right space should hold is read from it; None likewise."""
    return record.separation and record.separation.wanted


def unwanted_of(record: Record) -> Estimate | None:
    """How far what is wanted is from its ideal; None likewise."""
    found = wanted_of(record)
    return found and Estimate(1 - found.value, {index: -slope for index, slope in found.slopes.items()})


def leaked_of(record: Record) -> Estimate | None:
    """How much is read from the space that should not hold it; None likewise."""
    return record.separation and record.separation.leaked


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
