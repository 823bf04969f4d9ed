"""What scores can be: the ranges of metrics, of what stands beside a value, and of numbers of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter, le
from typing import NamedTuple

from cabench.evaluation.score import Score

ROUNDING = 1e-9  # of sums in double precision
GAP_UP_TO_ONE = 3  # the first version of the evaluation under which the separation gap lies in [0, 1]
FRACTIONS = ("balanced_accuracy", "accuracy", "auc", "knn_balanced_accuracy", "knn_auc")
"""Metrics that lie in [0, 1]. Others than those named here lie in [-1, 1]."""
WITHOUT_LEAST = ("r2", "knn_r2", "space_r2")
"""Metrics that are at most 1 and have no least value."""
RATIOS = ("norm_ratio",)
"""Metrics from 0 without a largest value."""
_VALUES = ("value", "chance", "ideal")
_PROBABILITIES = ("p_value", "p_familywise", "p_smallest")
_AMOUNTS = ("standard_error", "n_train", "n_test", "n_groups")
_FIELDS = (*_VALUES, *_PROBABILITIES, *_AMOUNTS)
_numbers = attrgetter(*_FIELDS)


def impossible(scores: Sequence[Score]) -> str:
    """The first number of some scores that cannot be, as a clause; "" where there is none."""
    # By columns, so that no line of Python runs for each number: a report reads hundreds of thousands of scores.
    columns = dict(zip(_FIELDS, zip(*map(_numbers, scores), strict=True), strict=False))
    bounds = _bounds(tuple(score.metric for score in scores))
    for name, part in columns.items():
        low, high = bounds[name] if name != "n_groups" else (bounds[name].low, columns["n_test"])
        known = [least if item is None else item for least, item in zip(low, part, strict=True)]
        if not (all(map(le, low, known)) and all(map(le, known, high))):
            place = next(i for i, item in enumerate(known) if not low[i] <= item <= high[i])
            score = scores[place]
            return f"{name} {part[place]:g} of {score.metric} ({score.attribute}, {score.space}) cannot be"
    return ""


def is_possible(metric: str, value: float) -> bool:
    """Whether a metric can have a value."""
    low, high = _range(metric)
    return low - ROUNDING <= value <= high + ROUNDING


def is_possible_gap(value: float, version: int) -> bool:
    """Whether a separation gap can have a value, under a version of the evaluation.

    It lies in [0, 1]; that of the first two versions was another quantity, without a largest value.
    """
    return value >= -ROUNDING and (value <= 1 + ROUNDING or version < GAP_UP_TO_ONE)


class _Bounds(NamedTuple):
    """The least and the largest number of each score in one field."""

    low: tuple[float, ...]
    high: tuple[float, ...]


@lru_cache(maxsize=256)
def _bounds(metrics: tuple[str, ...]) -> Mapping[str, _Bounds]:
    """By field, the bounds for scores of these metrics. Records that were measured alike share them."""
    low, high = zip(*map(_range, metrics), strict=True) if metrics else ((), ())
    value = _Bounds(tuple(least - ROUNDING for least in low), tuple(largest + ROUNDING for largest in high))
    nothing, endless = (0.0,) * len(metrics), (math.inf,) * len(metrics)
    return {
        **dict.fromkeys(_VALUES, value),
        **dict.fromkeys(_PROBABILITIES, _Bounds(nothing, (1.0,) * len(metrics))),
        **dict.fromkeys(_AMOUNTS, _Bounds(nothing, endless)),
    }


def _range(metric: str) -> tuple[float, float]:
    low = 0.0 if metric in (*FRACTIONS, *RATIOS) else -math.inf if metric in WITHOUT_LEAST else -1.0
    return low, math.inf if metric in RATIOS else 1.0
