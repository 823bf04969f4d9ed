"""A covariance of rows that are fewer than their values, of which only products with few vectors are formed.

Two populations of n and m rows of p values may together span all p directions though p exceeds n and m. No basis of
that span is smaller than a matrix of all pairs of values. The leading eigenvectors of a difference of two covariances
are then found by block Krylov iteration with Rayleigh-Ritz steps: Saad, "Numerical methods for large eigenvalue
problems", SIAM 2011, chapter 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cabench.methods.shared.moments import leading_directions

EXTRA = 4
"""How many directions more than wanted are held from one restart to the next."""
DEPTH = 16
"""How many times a restart multiplies by the matrix: fewer cost twice the time, more cost memory."""
RESTARTS = 100
"""At most so many; 1,000 + 1,000 random rows of 1,500 values, which hardly differ in variance, need 10."""
RESIDUAL = 1e-9
"""Of an eigenvector, relative to the largest product: where the iteration stops. Eigenvalues have the square of it."""


class ImplicitCovariance(NamedTuple):
    """The matrix rows.T @ rows, which is not formed.

    Attributes:
        rows: float64 (n, size); of a covariance centred, and divided by the root of n.
    """

    rows: Tensor

    @classmethod
    def of(cls, centred: Tensor) -> ImplicitCovariance:
        """The covariance, with divisor n, of centred rows float64 (n, size)."""
        return cls(centred / len(centred) ** 0.5)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """The product (size, k) with vectors (size, k)."""
        return self.rows.T @ (self.rows @ vectors)

    def trace(self) -> Tensor:
        """The sum of all variances, 0-d."""
        return self.rows.square().sum()


Covariance = Tensor | ImplicitCovariance
"""A float64 (size, size) matrix, or one that is not formed: both have a trace, and products with vectors."""


def leading_directions_of_difference(one: Covariance, other: Covariance, weight: float, count: int) -> Tensor:
    """The eigenvectors (size, at most `count`) of `one - weight other` with the largest eigenvalues, largest first.

    Their signs are arbitrary.

    Args:
        one: of some size; where it is formed, so is the difference.
        other: of the same size.
        weight: of `other`.
        count: how many.
    """
    if isinstance(one, Tensor):
        formed = other if isinstance(other, Tensor) else other.rows.T @ other.rows
        return leading_directions(one - weight * formed, count)
    return _leading_by_products(lambda vectors: one @ vectors - weight * (other @ vectors), one.rows.shape[1], count)


def variances_along(directions: Tensor, covariance: Covariance) -> Tensor:
    """The products u' C u, (k,), of the columns u of directions (size, k) and a covariance C."""
    variances: Tensor = (directions * (covariance @ directions)).sum(0)
    return variances


def _leading_by_products(product: Callable[[Tensor], Tensor], size: int, count: int) -> Tensor:
    count = min(count, size)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(size, min(count + EXTRA, size), dtype=torch.float64, generator=generator)
    held: Tensor = torch.linalg.qr(start)[0]
    for _ in range(RESTARTS):
        held = _improved(product, held)
        wanted, products = held[:, :count], product(held)
        strengths = (wanted * products[:, :count]).sum(0)
        residuals = (products[:, :count] - wanted * strengths).norm(dim=0)
        if residuals.max() <= RESIDUAL * products.norm(dim=0).max():
            break
    return held[:, :count]


def _improved(product: Callable[[Tensor], Tensor], held: Tensor) -> Tensor:
    """As many orthonormal vectors (size, k), nearer to the leading eigenvectors and in their order."""
    space, block = held, held
    for _ in range(DEPTH):
        if space.shape[1] == len(space):
            break
        space = torch.linalg.qr(torch.cat([space, product(block)], 1))[0]
        block = space[:, -held.shape[1] :]
    improved: Tensor = space @ leading_directions(space.T @ product(space), held.shape[1])
    return improved
