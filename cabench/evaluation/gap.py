"""The separation gap: how far a cell is from perfect separation, and its two halves, what is wanted and what leaked.

Every attribute is read from the space that should hold it, wanted, and from the space that must not, leaked:

    wanted W = (balanced accuracy - 1/K) / (1 - 1/K) of classes, 2 AUC - 1 of target against background, r of numbers
    leaked L = 2 AUC - 1 of classes (Hand and Till) and of target against background, r of numbers

each 0 where it would be negative. Both are averaged over the populations of an attribute, then over attributes, so that
each attribute weighs once; gap = (1 - mean W + mean L) / 2. Range [0, 1]: 0 is perfect, vectors without information
reach 0.5, and so do, at least, two spaces that both hold everything. Balanced accuracy counts for what is wanted, as an
AUC saturates where classes are nearly told apart; the AUC counts for leaks, as accuracy does not see weak ones
(statistics card, sections 2 and 3.2). A nuisance attribute counts as a leak of the salient space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cabench.data.dataset import IS_TARGET, SPACES
from cabench.evaluation.score import Score

WANTED_METRICS = ("balanced_accuracy", "correlation")
LEAK_METRICS = ("auc", "correlation")


class Estimate(NamedTuple):
    """A quantity made of scores.

    Attributes:
        value: of the quantity.
        slopes: by the place of a score in its record, by how much the quantity changes with it.
    """

    value: float
    slopes: Mapping[int, float]


class Separation(NamedTuple):
    """The separation gap and its halves, all in [0, 1]; see this module.

    Attributes:
        gap: less is better.
        wanted: mean W, more is better.
        leaked: mean L, less is better.
    """

    gap: Estimate
    wanted: Estimate
    leaked: Estimate


def separation(scores: Sequence[Score]) -> Separation | None:
    """The gap of one cell; None where only one of the two spaces was probed.

    Raises:
        ValueError: where there is nothing that is wanted or nothing that may leak.
    """
    probed = {score.space for score in scores if score.metric in (*WANTED_METRICS, *LEAK_METRICS)}
    if len(probed & set(SPACES)) == 1:
        return None
    halves = [[index for index, score in enumerate(scores) if kind(score)] for kind in (is_wanted, is_leak)]
    if not all(halves):
        raise ValueError("No attribute could be probed: there are too few images or groups of each value.")
    wanted, leaked = (mean_over_attributes(scores, {i: _informed(scores[i]) for i in half}) for half in halves)
    slopes = {i: -slope / 2 for i, slope in wanted.slopes.items()} | {i: s / 2 for i, s in leaked.slopes.items()}
    return Separation(Estimate((1 - wanted.value + leaked.value) / 2, slopes), wanted, leaked)


def is_term(score: Score) -> bool:
    """Whether a score is one of those that the gap is made of."""
    return is_wanted(score) or is_leak(score)


def is_wanted(score: Score) -> bool:
    """Whether it reads, for the gap, an attribute from the space that should hold it."""
    metrics = ("auc",) if score.attribute == IS_TARGET else WANTED_METRICS
    return score.space in SPACES and score.space == score.attribute_space and score.metric in metrics


def is_leak(score: Score) -> bool:
    """Whether it reads, for the gap, an attribute from a space that must not hold it."""
    wrong = score.space in SPACES and score.space != score.attribute_space and score.ideal is not None
    return wrong and score.metric in LEAK_METRICS


def mean_over_attributes(scores: Sequence[Score], informed: Mapping[int, tuple[float, float]]) -> Estimate:
    """The mean over attributes of the mean over an attribute's scores.

    Args:
        scores: of one cell.
        informed: by the place of a score, a value made of it and by how much that changes with the score.
    """
    places: dict[str, list[int]] = {}
    for index in informed:
        places.setdefault(scores[index].attribute, []).append(index)
    shares = {index: 1 / (len(places) * len(same)) for same in places.values() for index in same}
    value = sum(share * informed[index][0] for index, share in shares.items())
    return Estimate(value, {index: share * informed[index][1] for index, share in shares.items()})


def _informed(score: Score) -> tuple[float, float]:
    """The part of the way from chance to 1 that a score has come, and its slope; both 0 at chance and below it."""
    part = (score.value - score.chance) / (1 - score.chance)
    return (min(part, 1.0), 1 / (1 - score.chance)) if part > 0 else (0.0, 0.0)
