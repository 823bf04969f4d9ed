"""How much an attribute tells background from target, from 0 (nothing) to 1 (all)."""

from __future__ import annotations

import numpy as np
from scipy.stats.contingency import association, crosstab

from cabench.data.dataset import Attribute


def cramers_v(first: np.ndarray, second: np.ndarray) -> float:
    """Cramér's V of two columns of classes (n,), in [0, 1]; 0 where a column holds fewer than two classes.

    It is the square root of chi² / (n (k - 1)): chi² is Pearson's statistic without a continuity correction, k the
    number of classes in the column that has fewer (Cramér 1946, section 21.9).
    """
    if min(len(np.unique(first)), len(np.unique(second))) < 2:
        return 0.0
    return float(association(crosstab(first, second).count, method="cramer"))


def dependence_on_population(attribute: Attribute, values: np.ndarray, is_target: np.ndarray) -> float:
    """Cramér's V of a class with the population, or the size of a real attribute's correlation with it; in [0, 1].

    Args:
        attribute: what the values are of.
        values: (n,) class indices or real numbers; rows where it is undefined take no part.
        is_target: bool (n,).
    """
    known = attribute.is_defined(values)
    values, is_target = values[known], is_target[known]
    if attribute.kind == "class":
        return cramers_v(values, is_target)
    if min(len(np.unique(values)), len(np.unique(is_target))) < 2:
        return 0.0
    return float(abs(np.corrcoef(values, is_target)[0, 1]))
