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

ROWS = 500
"""Rows whose (k, k) matrices are held at a time."""


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
        centred = rows - self.mean
        lengths = self.lengths / (self.lengths.square() + self.noise)
        codes = centred @ self.directions * lengths
        for part in torch.split(_with_unknown(rows), ROWS):
            codes[part] = _posterior(centred[part], self.loadings, self.noise)[0]
        return codes

    def filled(self, rows: Tensor) -> Tensor:
        """Float64 (n, size) rows with every unknown value replaced by its expectation given the known ones.

        That is mean_U + Sigma_UO Sigma_OO^-1 (x_O - mean_O), which equals mean_U + W_U E[t | x_O].
        """
        return torch.where(rows.isnan(), self.mean + self.codes(rows) @ self.loadings.T, rows)

    def log_likelihood(self, rows: Tensor) -> Tensor:
        """The log-density of each row's known values, (n,), of float64 (n, size) rows."""
        parts = [log_likelihood(part - self.mean, self.loadings, self.noise) for part in torch.split(rows, ROWS)]
        return torch.cat(parts)


def log_likelihood(deviations: Tensor, loadings: Tensor, noise: Tensor) -> Tensor:
    """The log-density (n,) of rows minus their mean under N(0, W W' + noise I), of their known values alone.

    Args:
        deviations: float64 (n, size), NaN = unknown.
        loadings: W, float64 (size, k).
        noise: float64 (), above 0.
    """
    codes, projected, factor = _posterior(deviations, loadings, noise)
    squares = deviations.nan_to_num().square().sum(1) - (codes * projected).sum(1)
    known = (~deviations.isnan()).sum(1)
    log_determinant = (known - loadings.shape[1]) * noise.log() + 2 * factor.diagonal(0, 1, 2).log().sum(1)
    return -(known * math.log(2 * math.pi) + log_determinant + squares / noise) / 2


def _posterior(deviations: Tensor, loadings: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """E[t | x] (n, k), W' x (n, k) and the Cholesky factors (n, k, k) of noise I + W' W, each over known values."""
    k = loadings.shape[1]
    known = (~deviations.isnan()).to(loadings.dtype)
    products = (loadings[:, :, None] * loadings[:, None, :]).flatten(1)  # (size, k * k)
    inner = (known @ products).reshape(-1, k, k) + noise * torch.eye(k, dtype=loadings.dtype)
    factor = torch.linalg.cholesky(inner)
    projected = deviations.nan_to_num() @ loadings
    return torch.cholesky_solve(projected[:, :, None], factor)[:, :, 0], projected, factor


def _with_unknown(rows: Tensor) -> Tensor:
    """The indices of the rows in which a value is unknown."""
    return rows.isnan().any(1).nonzero()[:, 0]
