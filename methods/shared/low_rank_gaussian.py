"""A Gaussian whose covariance is low rank plus isotropic noise, of rows of which some values may be unknown.

x ~ N(mean, W W' + noise I) with W = directions * lengths, the directions orthonormal: probabilistic principal
components (Tipping and Bishop, "Probabilistic principal component analysis", JRSS B 61(3), 1999). Everything is
computed through the (k, k) matrices noise I + W' W, so no (size, size) matrix is formed. An unknown value is NaN, and
what is known of its row is used alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cabench.methods.shared.moments import signed

ROWS = 500
"""Rows whose (k, k) matrices are held at a time."""


class Posterior(NamedTuple):
    """What the known values of n rows say of their k latent values t, where x = mean + W t + noise.

    Attributes:
        means: float64 (n, k), E[t | x].
        projected: float64 (n, k), W' (x - mean).
        lower: float64 (n, k, k), the Cholesky factor of M = noise I + W' W; the covariance of t given x is noise M^-1.
            Of rows that are all known, one for all: (1, k, k).
    """

    means: Tensor
    projected: Tensor
    lower: Tensor


class LowRankGaussian(NamedTuple):
    """The parameters of N(mean, W W' + noise I), all float64.

    Attributes:
        mean: (size,).
        directions: (size, k), orthonormal columns.
        lengths: (k,), at least 0; W is `directions * lengths`.
        noise: (), above 0: the variance of the noise.
    """

    mean: Tensor
    directions: Tensor
    lengths: Tensor
    noise: Tensor

    @property
    def loadings(self) -> Tensor:
        """W, (size, k)."""
        return self.directions * self.lengths

    def codes(self, rows: Tensor) -> Tensor:
        """E[t | known values], (n, k), of float64 (n, size) rows."""
        return torch.cat([posterior(part - self.mean, self.loadings, self.noise).means for part in _in_parts(rows)])

    def filled(self, rows: Tensor) -> Tensor:
        """Float64 (n, size) rows with every unknown value replaced by its expectation given the known ones.

        That is mean_U + Sigma_UO Sigma_OO^-1 (x_O - mean_O), which equals mean_U + W_U E[t | x_O].
        """
        return torch.where(rows.isnan(), self.mean + self.codes(rows) @ self.loadings.T, rows)

    def log_likelihood(self, rows: Tensor) -> Tensor:
        """The log-density of each row's known values, (n,), of float64 (n, size) rows."""
        return torch.cat([log_likelihood(part - self.mean, self.loadings, self.noise) for part in _in_parts(rows)])


def orthogonal(loadings: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal directions (size, k) and lengths (k,), longest first, of a W (size, k) with the same W W'."""
    directions, lengths, _ = torch.linalg.svd(loadings, full_matrices=False)
    return signed(directions), lengths


def posterior(deviations: Tensor, loadings: Tensor, noise: Tensor) -> Posterior:
    """The latent values of rows given their known values.

    Args:
        deviations: float64 (n, size), rows minus their mean; NaN = unknown.
        loadings: W, float64 (size, k).
        noise: float64 (), above 0.
    """
    k = loadings.shape[1]
    known = ~deviations.isnan()
    if known.all():
        inner = (loadings.T @ loadings)[None]
    else:
        products = (loadings[:, :, None] * loadings[:, None, :]).flatten(1)  # (size, k * k)
        inner = (known.to(loadings.dtype) @ products).reshape(-1, k, k)
    lower = torch.linalg.cholesky(inner + noise * torch.eye(k, dtype=loadings.dtype))
    projected = deviations.nan_to_num() @ loadings
    return Posterior(torch.cholesky_solve(projected[:, :, None], lower)[:, :, 0], projected, lower)


def log_likelihood(deviations: Tensor, loadings: Tensor, noise: Tensor) -> Tensor:
    """The log-density (n,) of rows minus their mean under N(0, W W' + noise I), of their known values alone.

    Args:
        deviations: float64 (n, size), NaN = unknown.
        loadings: W, float64 (size, k).
        noise: float64 (), above 0.
    """
    return log_likelihood_given(posterior(deviations, loadings, noise), deviations, noise)


def log_likelihood_given(latent: Posterior, deviations: Tensor, noise: Tensor) -> Tensor:
    """The same, (n,), where the posterior of the rows is there already."""
    squares = deviations.nan_to_num().square().sum(1) - (latent.means * latent.projected).sum(1)
    known = (~deviations.isnan()).sum(1, dtype=torch.float64)
    log_determinant = (known - latent.means.shape[1]) * noise.log()
    log_determinant = log_determinant + 2 * latent.lower.diagonal(0, 1, 2).log().sum(1)
    return -(known * math.log(2 * math.pi) + log_determinant + squares / noise) / 2


def _in_parts(rows: Tensor) -> tuple[Tensor, ...]:
    return torch.split(rows, ROWS)
