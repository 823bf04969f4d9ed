"""How much of each dimension and attribute is shared: one number for every pair, none of them fitted together.

For a real attribute the squared correlation; for classes the correlation ratio, the part of the dimension's variance
that lies between the classes (which is R² of the dimension on the classes). Range [0, 1].
"""

from __future__ import annotations

import numpy as np


def dimension_r2(features: np.ndarray, values: np.ndarray, is_class: bool) -> list[float]:
    """One number for each dimension; 0 where the dimension or the attribute is constant.

    Args:
        features: float64 (n, d).
        values: int64 classes or float64 values (n,).
        is_class: whether values are classes.
    """
    centred = features - features.mean(axis=0)
    within = (centred**2).sum(axis=0)
    if is_class:
        indicators = values[:, None] == np.unique(values)
        shared = ((centred.T @ indicators) ** 2 / indicators.sum(axis=0)).sum(axis=1)
    else:
        deviations = values - values.mean()
        shared = (centred.T @ deviations) ** 2 / max(float(deviations @ deviations), np.finfo(float).tiny)
    # A sum of squares at the level of rounding is that of a constant.
    varies = within > len(features) * (10 * np.finfo(float).eps * np.abs(features).max(axis=0)) ** 2
    return np.divide(shared, within, out=np.zeros_like(within), where=varies).clip(0, 1).tolist()  # type: ignore[no-any-return]
