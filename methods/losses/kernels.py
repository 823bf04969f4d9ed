"""Measures of dependence and of discrepancy with Gaussian kernels: HSIC, k-JEM and MMD.

Sources: HSIC: Gretton, Bousquet, Smola, Schölkopf. "Measuring statistical dependence with Hilbert-Schmidt norms", ALT
2005. k-JEM: SepCLR, ICLR 2024, arXiv 2402.11928, with the constants of its released loss code (commit 0e40bff). MMD:
MM-cVAE, AISTATS 2022, arXiv 2202.10560, with the kernels of its released code (commit 58df4e0).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cabench.methods.losses.precision import exact

INVERSE_WIDTHS = tuple(10.0**exponent for exponent in range(-6, 7))
"""The factors g of the 13 kernels exp(-g d^2) of `mmd`: 10^-6, 10^-5, ..., 10^6."""


def hsic(common: Tensor, salient: Tensor, temperature: float = 0.5) -> Tensor:
    """The biased estimate of how far c and s depend on each other.

    hsic(c, s) = trace(K H L H) / n^2,  K_ij = k(c_i, c_j),  L_ij = k(s_i, s_j),  H = I - 1/n
    k(a, b) = exp(-||a - b||^2 / (2 temperature))

    It equals the squared maximum mean discrepancy, under the product of both kernels, between the pairs (c_i, s_i) and
    all pairs (c_i, s_j): what a shuffled s would give, averaged over all shuffles.

    Args:
        common: (n, d_c) floats, n >= 1.
        salient: (n, d_s) floats, row i of the same image as row i of `common`.
        temperature: width of both Gaussian kernels; at 0.5 the divisors are 1.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; at least 0 up to rounding, and 0 where
        either sample is constant.

    Raises:
        ValueError: if a shape is not (n, d), the row counts differ, or there is no row.
    """
    _check_pairs("hsic", common, salient)
    # trace(K H L H) = sum of the entries of H K H times those of H L H, since H is symmetric and H H = H.
    return (_centred(_log_kernel(common, temperature).exp()) * _centred(_log_kernel(salient, temperature).exp())).mean()


def joint_entropy(common: Tensor, salient: Tensor, temperature: float = 0.5) -> Tensor:
    """Minus the joint entropy of (c, s); minimising it lowers the mutual information of c and s.

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
    _check_pairs("joint_entropy", common, salient)
    log_kernel = _log_kernel(salient, temperature) + _log_kernel(common, temperature)
    return (torch.logsumexp(log_kernel, dim=1) - math.log(len(log_kernel))).mean()


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """The squared maximum mean discrepancy: how far apart the distributions of two samples are.

    mmd(x, y) = max(0, mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 mean_ij k(x_i, y_j))
    k(a, b) = sum_g exp(-g ||a - b||^2),  g = 10^-6, 10^-5, ..., 10^6

    This is the biased V-statistic of the squared MMD: the means include i = j. Rounding can take it below zero, where
    it is replaced by a constant 0 that has no gradient. It is a mean, which does not grow with the batch.

    Args:
        x: (n, d) floats, n >= 1.
        y: (m, d) floats, m >= 1, which may differ from n; of the dtype of `x`, unless one is in half precision.

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
    x, y = exact(x), exact(y)
    return (_mean_kernel(x, x) + _mean_kernel(y, y) - 2 * _mean_kernel(x, y)).clamp(min=0)


def _check_pairs(name: str, common: Tensor, salient: Tensor) -> None:
    if common.ndim != 2 or salient.ndim != 2 or len(common) != len(salient) or len(common) == 0:
        raise ValueError(
            f"{name} needs shapes (n, d_c) and (n, d_s) with the same n >= 1, "
            f"but got {tuple(common.shape)} and {tuple(salient.shape)}."
        )


def _log_kernel(x: Tensor, temperature: float) -> Tensor:
    """-||x_i - x_j||^2 / (2 temperature) for all i, j."""
    x = exact(x)
    return -_squared_distances(x, x) / (2 * temperature)


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """||x_i - y_j||^2 by exact differences: a row has distance 0 from itself, where a matrix product would round."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()


def _centred(kernel: Tensor) -> Tensor:
    """H K H: rows and columns of mean 0."""
    return kernel - kernel.mean(0, keepdim=True) - kernel.mean(1, keepdim=True) + kernel.mean()


def _mean_kernel(x: Tensor, y: Tensor) -> Tensor:
    """mean_ij k(x_i, y_j) of `mmd`."""
    distances = _squared_distances(x, y)
    return torch.stack([torch.exp(-g * distances).mean() for g in INVERSE_WIDTHS]).sum()
