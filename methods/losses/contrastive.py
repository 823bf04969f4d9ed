"""Alignment and uniformity, the two halves of a contrastive loss.

Source: SepCLR, ICLR 2024, arXiv 2402.11928, with the constants of its released loss code (commit 0e40bff); the two
terms go back to Wang and Isola, ICML 2020, arXiv 2005.10242.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def alignment(u: Tensor, v: Tensor, temperature: float = 0.5) -> Tensor:
    """Draws the two views of each image together.

    alignment(u, v) = mean_i ||u_i - v_i||^2 / (2 temperature)

    Args:
        u: (n, d) floats, one row an image, n >= 1.
        v: (n, d) floats, row i the other view of image i.
        temperature: width of the Gaussian kernel; at 0.5 the divisor is 1.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast. Zero where the views agree.

    Raises:
        ValueError: if the shapes differ, are not (n, d), or hold no row.
    """
    if u.ndim != 2 or u.shape != v.shape or len(u) == 0:
        raise ValueError(
            f"alignment needs two equal shapes (n, d) with n >= 1, but got {tuple(u.shape)} and {tuple(v.shape)}."
        )
    u, v = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (u, v))
    return (u - v).square().sum(dim=1).mean() / (2 * temperature)


def uniformity(u: Tensor, temperature: float = 0.5) -> Tensor:
    """Drives the rows of a batch apart.

    uniformity(u) = log mean_{i<j} exp(-||u_i - u_j||^2 / (2 temperature))

    The mean runs over the n(n-1)/2 unordered pairs, without i = j, and the logarithm stands outside it. The distances
    are exact differences, so rows that coincide have distance 0, and a gradient of zero from each other.

    SepCLR's salient term passes the whole batch with background rows overwritten by zero. Pairs of background rows
    then contribute a constant, below whose share of the pairs the value cannot fall (log 0.2495 = -1.388 for 256
    background rows of 512).

    Args:
        u: (n, d) floats, n >= 2.
        temperature: width of the Gaussian kernel; at 0.5 the divisor is 1.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast. At most zero, which it is where all rows
        coincide.

    Raises:
        ValueError: if the shape is not (n, d), or there are fewer than two rows.
    """
    if u.ndim != 2 or len(u) < 2:
        raise ValueError(f"uniformity needs a shape (n, d) with n >= 2, but got {tuple(u.shape)}.")
    u = u.to(torch.promote_types(u.dtype, torch.float32))
    squared_distances = torch.pdist(u).square()
    return torch.logsumexp(-squared_distances / (2 * temperature), dim=0) - math.log(len(squared_distances))
