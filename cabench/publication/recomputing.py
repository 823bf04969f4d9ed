"""A record's numbers beside those that its vectors give here.

On machines of one kind they are equal to the last bit. On others sums come out otherwise, and a probe that is fitted by
them may put a test row on the other side: with every vector moved by one unit of its last place, scores of 2,000 test
rows moved by up to one row (0.0005), separation gaps by 4e-7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from cabench.data.file import DatasetFile
from cabench.evaluation.contributions import ContributionTable
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.protocols import PROTOCOLS, protocol_scores
from cabench.evaluation.score import Score
from cabench.experiment.measuring import measure
from cabench.experiment.record import Record

SMALLEST_ERROR = 0.01
"""Standard errors are compared as parts of themselves, or of this where they are smaller."""
_NUMBERS = ("value", "chance", "ideal", "standard_error", "p_value", "p_familywise", "p_smallest")
_EXACT = ("space", "attribute", "attribute_space", "population", "metric", "n_train", "n_test", "n_groups")

_Pair = tuple[str, float | None, float | None]  # place, as the record has it, as the vectors give it


class Compared(NamedTuple):
    """What a comparison came to.

    Attributes:
        difference: the largest of all numbers that both have.
        place: which number that is, in words; "" where all are equal.
        unlike: what only one of the two has, in words; "" where there is no such thing.
    """

    difference: float
    place: str
    unlike: str


def recompute(record: Record, train: EncodedSplit, test: EncodedSplit, file: DatasetFile) -> Compared:
    """Measure a cell's vectors and compare with its record.

    Args:
        record: of the evaluation as it is now.
        train: vectors of the training split.
        test: vectors of the test split.
        file: the data set.

    Raises:
        ValueError: when the vectors cannot be measured.
    """
    attributes = file.info.attributes
    measured, _ = measure(train, test, attributes)
    names = [name for name in record.protocols if name in PROTOCOLS]
    protocols = {name: protocol_scores(name, file.info.name, train, test, attributes) for name in names}
    pairs = [(record.scores, measured["scores"])]
    pairs += [(record.protocols[name], protocols[name]) for name in names]
    return _compared(record, measured, pairs)


def _compared(
    record: Record, measured: Mapping[str, Any], pairs: Sequence[tuple[Sequence[Score], Sequence[Score]]]
) -> Compared:
    if any(_kinds(told) != _kinds(found) for told, found in pairs):
        return Compared(0.0, "", "scores of other attributes, spaces or numbers of rows")
    if record.unmeasured != measured["unmeasured"]:
        return Compared(0.0, "", "other scores that cannot be measured, or for other reasons")
    numbers = [*_others(record, measured), *_contributed(record, measured["contributions"])]
    for told, found in pairs:
        numbers += [number for pair in zip(told, found, strict=True) for number in _of_scores(*pair)]
    if lacking := next((place for place, told, found in numbers if (told is None) != (found is None)), ""):
        return Compared(0.0, "", f"no {lacking}, or one that the vectors do not give")
    both = [(abs(told - found), place) for place, told, found in numbers if told is not None and found is not None]
    largest, place = max(both)
    return Compared(largest, place if largest else "", "")


def _kinds(scores: Sequence[Score]) -> list[tuple[object, ...]]:
    return [tuple(getattr(score, name) for name in _EXACT) for score in scores]


def _of_scores(told: Score, found: Score) -> Iterator[_Pair]:
    for name in _NUMBERS:
        place = f"{name} of {told.metric}, {told.attribute} in the {told.space} space, {told.population}"
        pair = getattr(told, name), getattr(found, name)
        if name == "standard_error" and None not in pair:
            scale = max(*pair, SMALLEST_ERROR)
            pair = pair[0] / scale, pair[1] / scale
        yield place, *pair


def _others(record: Record, measured: Mapping[str, Any]) -> Iterator[_Pair]:
    yield "separation_gap", record.separation_gap, measured["separation_gap"]
    yield "leak_floor", record.leak_floor, measured["leak_floor"]
    told, found = record.dimension_r2, measured["dimension_r2"]
    for name in dict.fromkeys([*told, *found]):
        for first, second in zip_longest(told.get(name, ()), found.get(name, ())):
            yield f"dimension_r2 of {name}", first, second


def _contributed(record: Record, found: ContributionTable) -> Iterator[_Pair]:
    """By how much the contributions to each score differ, summed over the blocks; nothing where there is no file."""
    told = record.read_contributions()
    if told is None:
        return
    for score, first, second in zip(record.scores, told.scores, found.scores, strict=True):
        place = f"contributions to {score.metric}, {score.attribute} in the {score.space} space, {score.population}"
        if first.values is None or second.values is None or first.rows.tolist() != second.rows.tolist():
            is_same = first.values is None and second.values is None
            yield place, 0.0, 0.0 if is_same else None
        else:  # a file keeps them as float32
            yield place, 0.0, float(np.abs(first.values - second.values.astype(np.float32)).sum())
