"""A Gaussian factor model of two populations that share some factors, of which the target has more of its own.

    target      x = mean + S z + W t + e        background      y = mean + S z + e

with independent standard normal z (k values) and t (q values), and e of variance `noise` in every value. A population
whose factors have loadings L, [S W] or S, is normal with covariance L L^T + noise I. Its likelihood, gradient and
posterior need M = noise I + L^T L alone, of r x r (Woodbury); no matrix of all pairs of values is inverted or formed.

Severson, Ghosh, Ng. "Unsupervised learning with contrastive latent variable models", AAAI 2019. Card F1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cabench.methods.shared.implicit_covariance import (
    Covariance,
    ImplicitCovariance,
    leading_directions_of_difference,
    variances_along,
)

TOLERANCE = 1e-10
"""Of the likelihood: the largest relative change at which L-BFGS stops."""
LEAST_NOISE = 1e-6
"""The least noise, relative to the mean variance of a value: without it the likelihood of few rows has no bound."""


class Spread(NamedTuple):
    """The second moments of one population's centred rows: all that its likelihood needs of them.

    Attributes:
        rows: how many rows, n.
        values: how many values a row has, p.
        power: the mean squared length of a row, the trace of the covariance of all values.
        covariance: (d, d), with divisor n, in an orthonormal basis of the d <= p directions that loadings may have.
    """

    rows: int
    values: int
    power: float
    covariance: Covariance


class Likelihood(NamedTuple):
    """The log-likelihood of one population's rows, and its gradient.

    Attributes:
        value: the sum over rows.
        loadings: float64 (d, r), the derivative by the loadings.
        noise: the derivative by the noise variance.
    """

    value: float
    loadings: Tensor
    noise: float


class Factors(NamedTuple):
    """Parameters of the model, but for the means.

    Attributes:
        common: float64 (d, k), S.
        salient: float64 (d, q), W.
        noise: the variance of e.
    """

    common: Tensor
    salient: Tensor
    noise: float

    @property
    def both(self) -> Tensor:
        """Float64 (d, k + q), [S W]."""
        return torch.cat([self.common, self.salient], dim=1)


def likelihood(spread: Spread, loadings: Tensor, noise: float) -> Likelihood:
    """The log-likelihood of rows under N(mean, L L^T + noise I) and its gradient, in O(d^2 r).

    Args:
        spread: the rows' moments.
        loadings: float64 (d, r).
        noise: above 0.
    """
    count, values, power, covariance = spread
    factors = loadings.shape[1]
    gram = loadings.T @ loadings
    lower = torch.linalg.cholesky(gram + noise * torch.eye(factors, dtype=gram.dtype))
    inverse = torch.cholesky_inverse(lower)
    weights = loadings @ inverse  # B = L M^-1, so that E[latent | x] = B^T x
    products = covariance @ loadings  # C L
    seen = products @ inverse  # C B
    inner = loadings.T @ seen  # L^T C B
    log_determinant = (values - factors) * math.log(noise) + 2 * float(lower.diagonal().log().sum())
    distance = (power - float(inner.trace())) / noise
    residual = power - 2 * float(inner.trace()) + float(((weights.T @ seen) * gram).sum())
    return Likelihood(
        -count / 2 * (values * math.log(2 * math.pi) + log_determinant + distance),
        -count * (weights - (seen - weights @ inner) / noise),
        -count / 2 * ((values - factors + noise * float(inverse.trace())) / noise - residual / noise**2),
    )


def least_noise(background: Spread, target: Spread) -> float:
    """The least noise variance that a fit may reach."""
    total = background.rows * background.power + target.rows * target.power
    return LEAST_NOISE * total / ((background.rows + target.rows) * target.values)


def spectral_start(background: Spread, target: Spread, common: int, salient: int) -> Factors:
    """Factors to start from: probabilistic PCA of the background, then of what it leaves of the target.

    Args:
        background: of centred background rows.
        target: of centred target rows, in the same basis.
        common: k, at least 1.
        salient: q, at least 1.
    """
    least = least_noise(background, target)
    directions = leading_directions_of_difference(background.covariance, target.covariance, 0.0, common)
    variances = variances_along(directions, background.covariance)
    noise = max((background.power - float(variances.sum())) / max(background.values - common, 1), least)
    shared = directions * (variances - noise).clamp(min=least).sqrt()
    explained = ImplicitCovariance(shared.T)
    directions = leading_directions_of_difference(target.covariance, explained, 1.0, salient)
    variances = variances_along(directions, target.covariance) - variances_along(directions, explained)
    own = directions * (variances - noise).clamp(min=least).sqrt()
    return Factors(shared, own, noise)


def maximise(background: Spread, target: Spread, start: Factors, iterations: int) -> Factors:
    """The factors of largest likelihood, the plain sum over both populations, by L-BFGS on S, W and log noise.

    Args:
        background: of centred background rows.
        target: of centred target rows, in the same basis.
        start: where the search starts.
        iterations: at most so many.
    """
    from scipy.optimize import Bounds, minimize  # Late: importing it takes a fifth of a second.

    rows = background.rows + target.rows

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        factors = _unpacked(parameters, start)
        of_target = likelihood(target, factors.both, factors.noise)
        of_background = likelihood(background, factors.common, factors.noise)
        common = of_target.loadings[:, : start.common.shape[1]] + of_background.loadings
        salient = of_target.loadings[:, start.common.shape[1] :]
        gradient = _packed(common, salient, factors.noise * (of_target.noise + of_background.noise))
        return -(of_target.value + of_background.value) / rows, -gradient / rows

    first = _packed(start.common, start.salient, math.log(start.noise))
    lowest = np.full_like(first, -np.inf)
    lowest[-1] = math.log(least_noise(background, target))
    found = minimize(
        loss,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(lowest),
        options={"maxiter": iterations, "maxfun": 10 * iterations, "ftol": TOLERANCE, "gtol": 0.0},
    )
    return _unpacked(found.x, start)


def _packed(common: Tensor, salient: Tensor, last: float) -> np.ndarray:
    packed: np.ndarray = np.concatenate([common.flatten().numpy(), salient.flatten().numpy(), [last]])
    return packed


def _unpacked(parameters: np.ndarray, like: Factors) -> Factors:
    values = torch.from_numpy(np.asarray(parameters[:-1]))
    common, salient = values[: like.common.numel()], values[like.common.numel() :]
    return Factors(common.view_as(like.common), salient.view_as(like.salient), math.exp(parameters[-1]))
