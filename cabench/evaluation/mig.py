"""Mutual information gap: whether each attribute is held by one dimension of a representation and by no other.

For each attribute, the mutual information of the dimension that has most of it minus that of the next, divided by the
attribute's entropy (Chen et al., NeurIPS 2018). Dimensions and real attributes are cut into 20 bins of equal width, as
in Locatello et al. (ICML 2019). Range [0, 1]; chance is 0. Where there is a single dimension, 0 is taken off.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import mutual_info_score

from cabench.evaluation.measurement import Measurement, NotMeasurableError

BINS = 20


def mig(features: np.ndarray, values: np.ndarray, is_class: bool) -> Measurement:
    """Mutual information gap of one attribute.

    Args:
        features: float64 (n, d).
        values: int64 classes or float64 values (n,).
        is_class: whether values are classes, which are not binned.

    Raises:
        NotMeasurableError: where all values are equal.
    """
    codes = values if is_class else _binned(values)
    if len(np.unique(codes)) < 2:
        raise NotMeasurableError("all values are equal")
    information = sorted(mutual_info_score(codes, _binned(column)) for column in features.T)
    gap = information[-1] - (information[-2] if len(information) > 1 else 0.0)
    return Measurement(float(gap / mutual_info_score(codes, codes)), 0.0, None)


def _binned(values: np.ndarray) -> np.ndarray:
    """Int64 (n,): the bin of each value."""
    edges = np.linspace(values.min(), values.max(), BINS + 1)[1:-1]
    return np.searchsorted(edges, values, side="right")
