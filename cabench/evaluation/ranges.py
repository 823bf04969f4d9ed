"""What scores can be: the ranges of metrics. Those of what stands beside a value are part of `Score`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from cabench.evaluation.score import Score

ROUNDING = 1e-9  # of sums in double precision
GAP_UP_TO_ONE = 3  # the first version of the evaluation under which the separation gap lies in [0, 1]
FRACTIONS = ("balanced_accuracy", "accuracy", "auc", "knn_balanced_accuracy", "knn_auc")
"""Metrics that lie in [0, 1]. Others than those named here lie in [-1, 1]."""
WITHOUT_LEAST = ("r2", "knn_r2", "space_r2")
"""Metrics that are at most 1 and have no least value."""
RATIOS = ("norm_ratio",)
"""Metrics from 0 without a largest value."""


def impossible(scores: Sequence[Score]) -> str:
    """The first number of some scores that cannot be, as a clause; "" where there is none."""
    for score in scores:  # a report reads hundreds of thousands
        low, high = _range(score.metric)
        ideal = score.value if score.ideal is None else score.ideal
        if not (low <= score.value <= high and low <= score.chance <= high and low <= ideal <= high):
            wrong = next(each for each in (score.value, score.chance, ideal) if not low <= each <= high)
            return f"{wrong:g} of {score.metric} ({score.attribute}, {score.space}) cannot be"
        if score.n_groups is not None and score.n_groups > score.n_test:
            return f"{score.n_groups} groups of {score.n_test} rows ({score.attribute}, {score.space}) cannot be"
    return ""


def is_possible(metric: str, value: float) -> bool:
    """Whether a metric can have a value."""
    low, high = _range(metric)
    return low <= value <= high


def is_possible_gap(value: float, version: int) -> bool:
    """Whether a separation gap can have a value, under a version of the evaluation.

    It lies in [0, 1]; that of the first two versions was another quantity, without a largest value.
    """
    return value >= -ROUNDING and (value <= 1 + ROUNDING or version < GAP_UP_TO_ONE)


@lru_cache(maxsize=256)  # of names from outside
def _range(metric: str) -> tuple[float, float]:
    """The least and the largest value of a metric, with room for rounding."""
    low = 0.0 if metric in (*FRACTIONS, *RATIOS) else -math.inf if metric in WITHOUT_LEAST else -1.0
    return low - ROUNDING, math.inf if metric in RATIOS else 1.0 + ROUNDING
