"""A covariance of rows that are fewer than their values, of which only products with few vectors are formed.

Two populations of n and m rows of p values may together span all p directions though p exceeds n and m. No basis of
that span is smaller than a matrix of all pairs of values. The leading eigenvectors of a difference of two covariances
are then found by SciPy's ARPACK (implicitly restarted Lanczos iteration), which takes products alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cabench.methods.shared.moments import leading_directions


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
    if count >= size:  # the eigenvectors themselves are a matrix of that size
        return leading_directions(product(torch.eye(size, dtype=torch.float64)), count)
    from scipy.sparse.linalg import LinearOperator, eigsh  # Late: importing it takes a quarter of a second.

    def times(vectors: np.ndarray) -> np.ndarray:
        return product(torch.from_numpy(vectors.reshape(size, -1))).numpy()

    operator = LinearOperator((size, size), matvec=times, matmat=times, dtype=np.float64)
    drawn = np.random.default_rng(0)  # also where rows span fewer directions than are wanted
    vectors = eigsh(operator, count, which="LA", v0=drawn.normal(size=size), rng=drawn)[1]  # smallest eigenvalue first
    return torch.from_numpy(vectors[:, ::-1].copy())
