"""Contrastive losses: SepCLR's terms and NT-Xent.

Sources: SepCLR, ICLR 2024, arXiv 2402.11928, with the constants of its released loss code (commit 0e40bff); alignment
and uniformity, the two halves of a contrastive loss, go back to Wang and Isola, ICML 2020, arXiv 2005.10242. NT-Xent:
Chen, Kornblith, Norouzi, Hinton. "A simple framework for contrastive learning of visual representations", ICML 2020,
arXiv 2002.05709, equation 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from cabench.methods.losses.precision import exact

SAME_CLASS_DIVISOR = 1e-5
"""Divides squared differences of class indices in the kernel: any two different classes have weight exp(-100000)."""


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
    return (exact(u) - exact(v)).square().sum(dim=1).mean() / (2 * temperature)


def uniformity(u: Tensor, temperature: float = 0.5) -> Tensor:
    """Drives the rows of a batch apart.

    uniformity(u) = log mean_{i<j} exp(-||u_i - u_j||^2 / (2 temperature))

    The mean runs over the n(n-1)/2 unordered pairs, without i = j, and the logarithm stands outside it. The distances
    are exact differences, so rows that coincide have distance 0, and a gradient of zero from each other.

    SepCLR's salient term passes the whole batch with background rows overwritten by zero. Pairs of background rows
    then contribute a constant, so the value cannot fall below the logarithm of their share of all pairs (log 0.2495 =
    -1.388 for 256 background rows of 512).

    Args:
        u: (n, d) floats, n >= 2.
        temperature: width of the Gaussian kernel; at 0.5 the divisor is 1.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast. At most 0; 0 where all rows coincide.

    Raises:
        ValueError: if the shape is not (n, d), or there are fewer than two rows.
    """
    if u.ndim != 2 or len(u) < 2:
        raise ValueError(f"uniformity needs a shape (n, d) with n >= 2, but got {tuple(u.shape)}.")
    squared_distances = torch.pdist(exact(u)).square()
    return torch.logsumexp(-squared_distances / (2 * temperature), dim=0) - math.log(len(squared_distances))


def empty_background(salient: Tensor, backgrounds: int) -> Tensor:
    """`salient` (n, d) with its first `backgrounds` rows, those of background images, replaced by zero (s~)."""
    return torch.cat([torch.zeros_like(salient[:backgrounds]), salient[backgrounds:]])


def information_less(salient_background: Tensor, temperature: float = 0.5) -> Tensor:
    """Draws the salient vectors of background images to the information-less vector s' = 0.

    information_less(s) = alignment(s, 0) = mean_i ||s_i||^2 / (2 temperature)

    Args:
        salient_background: (n, d) floats, the salient vectors of the background rows only, n >= 1.
        temperature: width of the Gaussian kernel; at 0.5 the divisor is 1.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if the shape is not (n, d), or there is no row.
    """
    return alignment(salient_background, torch.zeros_like(salient_background), temperature)


def attribute_alignment(salient: Tensor, attribute: Tensor, divisor: float) -> Tensor:
    """Draws images together along one salient dimension, the more the closer they are in one attribute.

    attribute_alignment(s, a) = mean_{i<j} exp(-(a_i - a_j)^2 / divisor) (s_i - s_j)^2

    The mean runs over the unordered pairs of rows whose attribute is defined; the weights are not normalised.

    Args:
        salient: (n,) floats, one salient dimension of the target images.
        attribute: (n,) floats, NaN where undefined.
        divisor: 2 tau of a real attribute's kernel, in the attribute's unit squared; for a class attribute
            `SAME_CLASS_DIVISOR`, which makes the kernel an indicator of the same class.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; 0 with a gradient of zero where fewer than
        two rows are defined.

    Raises:
        ValueError: if the shapes differ or are not (n,).
    """
    if salient.ndim != 1 or attribute.shape != salient.shape:
        raise ValueError(
            "attribute_alignment needs two equal shapes (n,), "
            f"but got {tuple(salient.shape)} and {tuple(attribute.shape)}."
        )
    s = exact(salient)
    defined = ~attribute.isnan()
    a = torch.where(defined, attribute, 0).to(s.dtype)
    weights = torch.exp(-_squared_differences(a) / divisor) * (defined[:, None] & defined)
    pairs = defined.sum() * (defined.sum() - 1)  # ordered; the diagonal adds nothing
    return (weights * _squared_differences(s)).sum() / pairs.clamp(min=1)


def nt_xent(u: Tensor, v: Tensor, temperature: float = 0.5) -> Tensor:
    """Draws the two views of each image together and apart from all other views of the batch.

    With z the 2n rows of u and v, and i' the other view of i:

    nt_xent(u, v) = mean_i -log [ exp(cos(z_i, z_i') / temperature) / sum_{k != i} exp(cos(z_i, z_k) / temperature) ]

    Args:
        u: (n, d) floats, one row an image, n >= 1.
        v: (n, d) floats, row i the other view of image i.
        temperature: divisor of the cosines.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; 0 for a single image.

    Raises:
        ValueError: if the shapes differ, are not (n, d), or hold no row.
    """
    if u.ndim != 2 or u.shape != v.shape or len(u) == 0:
        raise ValueError(
            f"nt_xent needs two equal shapes (n, d) with n >= 1, but got {tuple(u.shape)} and {tuple(v.shape)}."
        )
    rows = len(u)
    views = normalize(exact(torch.cat([u, v])))
    itself = torch.eye(2 * rows, dtype=torch.bool, device=views.device)
    with torch.autocast(views.device.type, enabled=False):
        similarities = (views @ views.T / temperature).masked_fill(itself, -math.inf)
    other_view = torch.arange(2 * rows, device=views.device).roll(rows)
    return cross_entropy(similarities, other_view)


def _squared_differences(x: Tensor) -> Tensor:
    return (x[:, None] - x).square()
