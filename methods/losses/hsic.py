"""The Hilbert-Schmidt independence criterion (HSIC): how far a sample of pairs is from independence.

Source: Gretton, Bousquet, Smola, Schölkopf. "Measuring statistical dependence with Hilbert-Schmidt norms", ALT 2005.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hsic(common: Tensor, salient: Tensor, temperature: float = 0.5) -> Tensor:
    """The biased estimate of the dependence of c and s.

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
    if common.ndim != 2 or salient.ndim != 2 or len(common) != len(salient) or len(common) == 0:
        raise ValueError(
            "hsic needs shapes (n, d_c) and (n, d_s) with the same n >= 1, "
            f"but got {tuple(common.shape)} and {tuple(salient.shape)}."
        )
    # trace(K H L H) = sum of the entries of H K H times those of H L H, since H is symmetric and H H = H.
    return (_centred(_kernel(common, temperature)) * _centred(_kernel(salient, temperature))).mean()


def _kernel(x: Tensor, temperature: float) -> Tensor:
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.exp(-distances.square() / (2 * temperature))


def _centred(kernel: Tensor) -> Tensor:
    """H K H: rows and columns of mean 0."""
    return kernel - kernel.mean(0, keepdim=True) - kernel.mean(1, keepdim=True) + kernel.mean()
