"""What evidence is worth within levels of something else, such as the site of a scan, and never across them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from cabench.evaluation.metrics.probing import auc, signed_correlation
from cabench.evaluation.score import Measurement, NotMeasurableError

FEWEST_IN_LEVEL = 3  # rows that a correlation is taken of


class _Part(NamedTuple):
    """A metric within one level.

    Attributes:
        level: which.
        rows: bool (n,), those that it is taken of.
        measured: the metric.
        counts: float64, by how much each of its rows adds to the weight of the part.
        weight: how much the part counts.
    """

    level: int
    rows: np.ndarray
    measured: Measurement
    counts: np.ndarray
    weight: float


def within_levels(
    truth: np.ndarray,
    evidence: np.ndarray,
    levels: np.ndarray,
    fewest: int = 1,
    groups: np.ndarray | None = None,
) -> Measurement:
    """An AUC or a correlation taken within each level, and averaged over levels.

    Of classes, every two classes of a level count by their number of pairs of images, so that the result is the part of
    all pairs within levels that the evidence orders rightly; range [0, 1], chance 0.5. Of numbers, a level counts by
    its number of images; range [0, 1], chance 0.

    Args:
        truth: int64 (n,) columns of the evidence, or float64 (n,) numbers.
        evidence: float64 (n, classes), or predictions (n,).
        levels: int64 (n,).
        fewest: levels that must be measurable.
        groups: int64 (n,), the group of each row; None where each is one of its own.

    Raises:
        NotMeasurableError: where fewer levels have two classes, or numbers that differ.
    """
    groups = np.arange(len(truth)) if groups is None else groups
    parts = list(_numbers(truth, evidence, levels, groups) if evidence.ndim == 1 else _classes(truth, evidence, levels))
    if len({part.level for part in parts}) < fewest:
        wanted = "no level" if fewest == 1 else f"fewer than {fewest} levels"
        raise NotMeasurableError(f"{wanted} of the nuisances can be scored apart")
    total = sum(part.weight for part in parts)
    value = sum(part.weight * part.measured.value for part in parts) / total
    influence = np.zeros(len(truth))
    for part in parts:
        own = part.weight * np.asarray(part.measured.influence)
        influence[part.rows] += (own + part.counts * (part.measured.value - value)) / total
    if evidence.ndim == 1:
        return Measurement(max(0.0, value), 0.0, influence=influence)
    return Measurement(value, 0.5, influence=influence)


def _classes(codes: np.ndarray, evidence: np.ndarray, levels: np.ndarray) -> Iterator[_Part]:
    for level in np.unique(levels):
        for one, other in combinations(np.unique(codes[levels == level]).tolist(), 2):
            rows = (levels == level) & ((codes == one) | (codes == other))
            positive = codes[rows] == other
            sizes = np.bincount(positive, minlength=2)
            measured = auc(positive, evidence[rows, other] - evidence[rows, one])
            pairs = sizes[1 - positive.astype(np.int64)]  # each row is in a pair with every row of the other side
            yield _Part(int(level), rows, measured, pairs.astype(np.float64), float(sizes.prod()))


def _numbers(values: np.ndarray, predicted: np.ndarray, levels: np.ndarray, groups: np.ndarray) -> Iterator[_Part]:
    for level in np.unique(levels):
        rows = levels == level
        if rows.sum() >= FEWEST_IN_LEVEL and np.ptp(values[rows]) > 0:
            measured = signed_correlation(values[rows], predicted[rows], groups[rows])
            yield _Part(int(level), rows, measured, np.ones(int(rows.sum())), float(rows.sum()))
