"""The k-JEM term of SepCLR: minus a kernel estimate of the joint entropy of common and salient vectors.

Source: SepCLR, ICLR 2024, arXiv 2402.11928, with the constants of its released loss code (commit 0e40bff).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def joint_entropy(common: Tensor, salient: Tensor, temperature: float = 0.5) -> Tensor:
    """Minus the joint entropy of (c, s); to minimise it is to lower the mutual information of c and s.

    joint_entropy(c, s) = mean_i log mean_j k(s_i, s_j) k(c_i, c_j),  k(a, b) = exp(-||a - b||^2 / (2 temperature))

    The inner mean runs over all n rows, including j = i, so the value lies between log(1/n), where the pairs
    (c_i, s_i) are far apart, and 0, where they coincide. In `uniformity` the logarithm stands outside the mean; here it
    stands inside. SepCLR passes common heads normalised, and salient heads with background rows overwritten by zero.

    Args:
        common: (n, d_c) floats, n >= 1.
        salient: (n, d_s) floats, row i of the same image as row i of `common`.
        temperature: width of both Gaussian kernels; at 0.5 the divisors are 1.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if a shape is not (n, d), the row counts differ, or there is no row.
    """
    if common.ndim != 2 or salient.ndim != 2 or len(common) != len(salient) or len(common) == 0:
        raise ValueError(
            "joint_entropy needs shapes (n, d_c) and (n, d_s) with the same n >= 1, "
            f"but got {tuple(common.shape)} and {tuple(salient.shape)}."
        )
    log_kernel = _log_kernel(salient, temperature) + _log_kernel(common, temperature)
    return (torch.logsumexp(log_kernel, dim=1) - math.log(len(log_kernel))).mean()


def _log_kernel(x: Tensor, temperature: float) -> Tensor:
    """-||x_i - x_j||^2 / (2 temperature) for all i, j, by exact differences: the diagonal is 0, not rounding noise."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return -distances.square() / (2 * temperature)
