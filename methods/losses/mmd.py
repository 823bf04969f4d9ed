"""Maximum mean discrepancy (MMD) of two samples, under a sum of Gaussian kernels.

Source: MM-cVAE, AISTATS 2022, arXiv 2202.10560, with the kernels of its released code (commit 58df4e0).
"""

from __future__ import annotations

import torch
from torch import Tensor

INVERSE_WIDTHS = tuple(10.0**exponent for exponent in range(-6, 7))
"""The factors g of the 13 kernels exp(-g d^2): 10^-6, 10^-5, ..., 10^6."""


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """How far apart the distributions are that two samples come from.

    mmd(x, y) = max(0, mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 mean_ij k(x_i, y_j))
    k(a, b) = sum_g exp(-g ||a - b||^2),  g = 10^-6, 10^-5, ..., 10^6

    This is the biased V-statistic of the squared MMD: the means include i = j. Rounding can take it below zero, where
    it is replaced by a constant 0 that has no gradient. It is a mean, which does not grow with the batch.

    Args:
        x: (n, d) floats, n >= 1.
        y: (m, d) floats, m >= 1, not necessarily n; of the dtype of `x`, or either in half precision.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; between 0 and 26.

    Raises:
        ValueError: if a shape is not (n, d), the two d differ, or a sample has no row.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or len(x) == 0 or len(y) == 0:
        raise ValueError(
            "mmd needs shapes (n, d) and (m, d) with the same d, n >= 1 and m >= 1, "
            f"but got {tuple(x.shape)} and {tuple(y.shape)}."
        )
    x, y = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in (x, y))
    return (_mean_kernel(x, x) + _mean_kernel(y, y) - 2 * _mean_kernel(x, y)).clamp(min=0)


def _mean_kernel(x: Tensor, y: Tensor) -> Tensor:
    """mean_ij k(x_i, y_j), by exact differences: at g = 10^6 the rounding of a matrix product would show."""
    squared_distances = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
    return torch.stack([torch.exp(-g * squared_distances).mean() for g in INVERSE_WIDTHS]).sum()
