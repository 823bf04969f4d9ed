"""Groups of rows that belong together, such as one subject's: as numbers, and their sizes."""

from __future__ import annotations

import numpy as np
import pandas as pd


def group_codes(groups: np.ndarray) -> np.ndarray:
    """Int64 (n,): equal for rows of one group. A row without a group is one of its own.

    Args:
        groups: (n,) text, as data set files hold it; "" = none.
    """
    codes = pd.factorize(groups)[0].astype(np.int64)
    alone = groups == ""
    codes[alone] = len(groups) + np.arange(alone.sum())
    return codes


def group_sizes(groups: np.ndarray) -> np.ndarray:
    """Int64 (number of groups,): the rows of each group, from the smallest to the largest."""
    sizes: np.ndarray = np.sort(np.unique(group_codes(groups), return_counts=True)[1])
    return sizes
