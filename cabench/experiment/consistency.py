"""What a record says that cannot be, or does not follow from the rest of it."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from cabench.evaluation.evaluate import VERSION
from cabench.evaluation.gap import separation
from cabench.evaluation.ranges import ROUNDING, impossible, is_possible_gap

if TYPE_CHECKING:
    from cabench.experiment.record import Record


_place = attrgetter("space", "attribute", "population", "metric")


def check_consistent(record: Record) -> None:
    """Refuse numbers out of their range, a gap that is not that of the scores, and two outcomes in one.

    Raises:
        ValueError: saying what is wrong, as a clause.
    """
    if record.status == "failed":
        if record.scores or record.separation_gap is not None or record.error is None:
            raise ValueError("it says that it failed, and has scores or no error")
        return
    if record.error is not None:
        raise ValueError("it says that it is done, and has an error")
    for name, scores in (("scores", record.scores), *record.protocols.items()):
        if wrong := impossible(scores):
            raise ValueError(f"{wrong}, in its {name}")
        if len(set(map(_place, scores))) < len(scores):
            raise ValueError(f"a score is there twice, in its {name}")
    if min(record.cost.values(), default=0.0) < 0:
        raise ValueError("it has a cost below 0")
    if not 0 <= (record.leak_floor or 0.0) <= 1:
        raise ValueError(f"its leak floor is {record.leak_floor:g}, which is not between 0 and 1")
    for name, shares in record.dimension_r2.items():
        if not all(-ROUNDING <= share <= 1 + ROUNDING for share in shares):
            raise ValueError(f"what dimensions share with {name} is not between 0 and 1")
    gap, version = record.separation_gap, record.evaluation["version"]
    if version == VERSION:
        _check_gap(record)
    elif gap is not None and not is_possible_gap(gap, version):
        raise ValueError(f"a separation gap of {gap:g} cannot be")


def _check_gap(record: Record) -> None:
    """Refuse a gap that is not that of the scores."""
    told = record.separation_gap
    try:
        found = separation(record.scores) if told is None else record.separation
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"its scores give no separation gap: {error}") from error
    given = None if found is None else found.gap.value
    if told != given and (told is None or given is None or abs(told - given) > ROUNDING):
        raise ValueError(f"its separation gap is {told}, but its scores give {'none' if given is None else given}")
