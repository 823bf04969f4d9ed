"""Contrastive directions in a kernel's feature space, through the kernel's values alone.

With K the kernel of all rows, and H what centres each population by its own mean, K_c = H K H. The leading eigenvectors
of the weighted sum of the centred rows' products are combinations of these rows, with coefficients a for which

    D K_c a = lambda a,   a' K_c a = 1,   D = diag(weights of the rows).

Weights 1/n of n targets and -alpha/m of m backgrounds give contrastive PCA; 0 and 1/m give the background's PCA.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cabench.methods.shared.moments import NO_VARIANCE, leading_directions, principal_directions, signed


def centred_by_population(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows (n, k), of which the first `counts[0]` are of the first population, minus the mean of their population."""
    return torch.cat([part - part.mean(0) for part in torch.split(values, list(counts))])


def factor_of(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvectors (n, r) of a symmetric float64 kernel (n, n) that vary, and their eigenvalues (r,)."""
    directions = leading_directions(kernel, len(kernel))
    eigenvalues = (directions * (kernel @ directions)).sum(0)
    varies = eigenvalues > NO_VARIANCE * eigenvalues[0].clamp(min=torch.finfo(kernel.dtype).tiny)
    varies[0] = True
    return directions[:, varies], eigenvalues[varies].clamp(min=torch.finfo(kernel.dtype).tiny)


def contrast(factor: tuple[Tensor, Tensor], weights: Tensor, count: int) -> Tensor:
    """The coefficients a (n, at most `count`) of the leading directions; scores of the rows are K_c a.

    Args:
        factor: of K_c, by `factor_of`.
        weights: float64 (n,), the diagonal of D.
        count: how many directions.
    """
    return _coefficients(factor, leading_directions(_weighted(factor, weights), count))


def principal(factor: tuple[Tensor, Tensor], weights: Tensor, count: int) -> Tensor:
    """The same for weights of at least 0, without directions in which rows of a positive weight do not vary."""
    return _coefficients(factor, principal_directions(_weighted(factor, weights), count))


def _weighted(factor: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
    """R' D R (r, r), where K_c = R R'."""
    eigenvectors, eigenvalues = factor
    root = eigenvectors * eigenvalues.sqrt()
    return root.T @ (weights[:, None] * root)


def _coefficients(factor: tuple[Tensor, Tensor], rotated: Tensor) -> Tensor:
    """The coefficients (n, k) of directions (r, k) that are given in R's columns."""
    eigenvectors, eigenvalues = factor
    return signed((eigenvectors / eigenvalues.sqrt()) @ rotated)
