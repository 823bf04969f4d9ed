"""The model of `contrastive_factors` fitted to rows of which values are missing, by exact EM.

A row's posterior rests on its known values alone. Each value is then regressed, over the rows that know it, on the
latent values and on which population a row belongs to: the coefficients are the value's loadings and its two means.
The likelihood of the known values never falls. Dempster, Laird, Rubin, JRSS B 39, 1977; card F1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from cabench.methods.shared.contrastive_factors import LEAST_NOISE, Factors
from cabench.methods.shared.low_rank_gaussian import log_likelihood_given, posterior

TOLERANCE = 1e-8
"""Of the likelihood: the relative change at which EM stops."""
ROWS = 1000  # in memory with their posterior at a time


class Model(NamedTuple):
    """All parameters.

    Attributes:
        factors: loadings of p values, and the noise.
        background: float64 (p,), the mean of background rows.
        target: float64 (p,), the mean of target rows.
    """

    factors: Factors
    background: Tensor
    target: Tensor


class Expectation(NamedTuple):
    """What the E-step says of some rows: sums that the M-step needs, and the likelihood.

    The latent values are extended by two: 1 where the row is a target's, and 1 where it is a background's.

    Attributes:
        likelihood: the log-likelihood of the known values.
        moments: float64 (p, r + 2, r + 2), of the extended latent values, over the rows that know each value.
        products: float64 (p, r + 2), of each known value and the extended latent values.
        squares: the sum of all known values' squares.
        known: how many values are known.
    """

    likelihood: float
    moments: Tensor
    products: Tensor
    squares: float
    known: int


def known_means(rows: Tensor, others: Tensor) -> Tensor:
    """Float64 (p,): means of the known values; where a population knows none, those of the other, else 0."""
    return rows.nanmean(0).where(~rows.isnan().all(0), others.nanmean(0)).nan_to_num(0.0)


def expectation_maximisation(background: Tensor, target: Tensor, start: Model, steps: int) -> Model:
    """The model of largest likelihood, from `start`.

    Args:
        background: float64 (m, p), NaN = missing; each value is known in some row of either population.
        target: float64 (n, p), likewise.
        start: where EM starts.
        steps: at most so many.
    """
    least = LEAST_NOISE * float(torch.cat([background - start.background, target - start.target]).square().nanmean())
    model, before = start, -math.inf
    for _ in range(steps):
        sums = expected(background, target, model)
        if sums.likelihood - before <= TOLERANCE * abs(sums.likelihood):
            break
        model, before = maximised(sums, model, least), sums.likelihood
    return model


def expected(background: Tensor, target: Tensor, model: Model) -> Expectation:
    """The E-step over all rows of both populations, float64 (m, p) and (n, p), NaN = missing."""
    factors = model.factors
    salient = factors.salient.shape[1]
    pieces = [
        *(_expected(rows, model.target, factors.both, factors.noise, (0, 1, 0)) for rows in _in_pieces(target)),
        *(
            _expected(rows, model.background, factors.common, factors.noise, (salient, 0, 1))
            for rows in _in_pieces(background)
        ),
    ]
    return Expectation(*(sum(parts[1:], parts[0]) for parts in zip(*pieces, strict=True)))


def maximised(sums: Expectation, model: Model, least: float) -> Model:
    """The M-step: a regression for each value, then the noise.

    A value that no row of a population knows has the other's mean; one that no target knows has no salient loadings.

    Args:
        sums: of the E-step.
        model: that the E-step was made with; for its sizes.
        least: the least noise variance.
    """
    unseen = sums.moments.diagonal(dim1=1, dim2=2) == 0  # (p, r + 2)
    coefficients = torch.linalg.solve(sums.moments + torch.diag_embed(unseen.double()), sums.products)
    noise = (sums.squares - float((coefficients * sums.products).sum())) / sums.known
    sizes = [model.factors.common.shape[1], model.factors.salient.shape[1], 2]
    common, salient, means = coefficients.split(sizes, dim=1)
    means = torch.where(unseen[:, -2:], means.flip(1), means)
    return Model(Factors(common, salient, max(noise, least)), means[:, 1], means[:, 0])


def _expected(rows: Tensor, mean: Tensor, loadings: Tensor, noise: float, beside: tuple[int, int, int]) -> Expectation:
    """The E-step on rows of one population.

    Args:
        rows: float64 (n, p).
        mean: float64 (p,).
        loadings: float64 (p, r) of the population's own factors.
        noise: above 0.
        beside: what stands beside its latent values: how many zeros, and the two marks of the population.
    """
    known = ~rows.isnan()
    values = torch.where(known, rows, 0)
    deviations, variance = rows - mean, torch.tensor(noise, dtype=torch.float64)
    latent = posterior(deviations, loadings, variance)
    zeros, *marks = beside
    extended = torch.cat([pad(latent.means, (0, zeros)), mean.new_tensor(marks).expand(len(rows), 2)], dim=1)
    covariances = pad(noise * torch.cholesky_inverse(latent.lower), (0, zeros + 2, 0, zeros + 2))
    pairs = covariances + extended[:, :, None] * extended[:, None, :]
    known_in = known.double().T
    return Expectation(
        float(log_likelihood_given(latent, deviations, variance).sum()),
        (known_in @ pairs.flatten(1)).view(-1, *pairs.shape[1:]),
        values.T @ extended,
        float(values.square().sum()),
        int(known.sum()),
    )


def _in_pieces(rows: Tensor) -> Iterator[Tensor]:
    return (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))
