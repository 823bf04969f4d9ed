"""The maximum of a contrastive likelihood: of target rows minus gamma times that of background rows.

Both populations are rows of the one model N(mean, W W' + noise I), each about its own mean. With the covariances C_t
and C_b about these means, q columns of W, p values of a row, and gamma per row (the paper's gamma is n / m of it),

    L / n = -1/2 [(1 - gamma) log det(W W' + noise I) + tr((W W' + noise I)^-1 (C_t - gamma C_b))].

Its maximum follows from the eigenvalues d_1 >= d_2 >= ... of C_t - gamma C_b, with eigenvectors u_j:

    noise = (d_{q+1} + ... + d_p) / ((p - q) (1 - gamma)),   W = [u_j (d_j / (1 - gamma) - noise)^(1/2)] for j <= q.

It exists where gamma < 1 and noise > 0. The sum d_{q+1} + ... + d_p is concave in gamma and not negative at 0, so there
is one bound below which it is positive. Beyond it L grows without limit as the noise goes to 0.

Where values are unknown there is no closed form, and L of the known values is climbed by L-BFGS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
from cabench.methods.shared.low_rank_gaussian import LowRankGaussian, log_likelihood, orthogonal
from cabench.methods.shared.moments import (
    NO_VARIANCE,
    deviations,
    moments,
    principal_directions,
    principal_directions_of_rows,
    signed,
)

STEPS = 500
"""The most steps of L-BFGS."""
LAST_STEP = 1e-6
"""Towards the bound of gamma: Newton's steps have the square of the one before, so that the bound is far nearer."""
FARTHEST = 30.0
"""How many times W may grow, and the noise's deviation grow or shrink: where there is no maximum, they get there."""


class JointCovariances(NamedTuple):
    """Covariances of two populations in a basis that holds all that varies in either.

    Attributes:
        means: float64 (2, size), of background and target.
        basis: float64 (size, reduced), orthonormal; None stands for the values themselves.
        background: (reduced, reduced), with divisor the number of rows.
        target: likewise.
    """

    means: Tensor
    basis: Tensor | None
    background: Covariance
    target: Covariance

    def exchanged(self) -> JointCovariances:
        """The same with the background as the target."""
        return JointCovariances(self.means.flip(0), self.basis, self.target, self.background)


def joint_covariances(background: Tensor, target: Tensor) -> JointCovariances:
    """The covariances of two populations of images or rows, about their own means.

    Where the rows of each population are fewer than a row has values, no (size, size) matrix is formed.

    Args:
        background: uint8 (m, channels, height, width), or float32 or float64 (m, size) without unknown values.
        target: likewise.
    """
    size, counts = math.prod(target.shape[1:]), (len(background), len(target))
    if size <= max(counts):
        own = [moments([images]) for images in (background, target)]
        return JointCovariances(torch.stack([part.mean for part in own]), None, *(part.covariance for part in own))
    parts = [deviations([images]) for images in (background, target)]
    means, rows = torch.stack([part.mean for part in parts]), [part.rows for part in parts]
    if size <= sum(counts):
        return JointCovariances(means, None, *map(ImplicitCovariance.of, rows))
    basis = principal_directions_of_rows(torch.cat(rows), sum(counts))
    projected = [part @ basis for part in rows]
    return JointCovariances(means, basis, *(part.T @ part / len(part) for part in projected))


def most_components(target: Covariance, count: int) -> int:
    """The most columns of W, up to `count`, that leave the target (reduced, reduced) a variance to call noise."""
    if isinstance(target, ImplicitCovariance):
        return principal_directions_of_rows(target.rows, count + 1).shape[1] - 1
    return principal_directions(target, count + 1).shape[1] - 1 if len(target) > 1 else 0


def gamma_bound(joint: JointCovariances, count: int) -> float:
    """The largest gamma, at most 1, below which the likelihood with `count` columns of W has a maximum.

    What is left for the noise is concave in gamma, so Newton's steps from 1 come down to the bound and never pass it.
    """
    gamma, step = 1.0, 1.0
    while step > LAST_STEP:
        directions, strengths, left = _eigen(joint, count, gamma)
        slope = joint.background.trace() - variances_along(directions, joint.background)[strengths > 0].sum()
        step = max(-left.item(), 0.0) / max(slope.item(), torch.finfo(torch.float64).tiny)
        gamma -= step
    return gamma


def closed_form(joint: JointCovariances, count: int, gamma: float) -> LowRankGaussian:
    """The maximum of the likelihood of complete rows.

    Args:
        joint: of both populations.
        count: columns of W, fewer than a row has values.
        gamma: weight of a background row; at least 0 and below `gamma_bound`.
    """
    directions, strengths, left = _eigen(joint, count, gamma)
    noise = left / ((len(joint.means[1]) - count) * (1 - gamma))
    # Where the rows vary in `count` directions alone, the noise is rounding, and might be negative.
    noise = noise.clamp(min=max(NO_VARIANCE * float(strengths.max()), torch.finfo(torch.float64).tiny))
    lengths = (strengths / (1 - gamma) - noise).clamp(min=0).sqrt()
    if joint.basis is not None:
        directions = joint.basis @ directions
    return LowRankGaussian(joint.means[1], signed(directions), lengths, noise)


def of_known_values(
    background: Tensor, target: Tensor, gamma: float, start: LowRankGaussian, background_mean: Tensor
) -> LowRankGaussian | None:
    """A local maximum of the likelihood of known values over the target's mean, W and the noise, by L-BFGS.

    The background's mean is held: L falls in the background's likelihood, so it would drive that mean away.

    Args:
        background: float64 (m, size), NaN = unknown.
        target: float64 (n, size), likewise.
        gamma: weight of a background row.
        start: where to climb from.
        background_mean: float64 (size,).

    Returns:
        The maximum; None where W or the noise runs farther than it may, as there is none.
    """
    from scipy.optimize import minimize  # Late: importing it takes a quarter of a second.

    size, count = start.directions.shape
    # The search depends on origin and unit of the values.
    unit = (start.noise + start.lengths.square().sum() / size).sqrt()
    without, having = (background - background_mean) / unit, (target - start.mean) / unit

    def parts(flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shift, loadings, log_noise = torch.split(flat, [size, size * count, 1])
        return shift, loadings.reshape(size, count), log_noise[0].exp()

    def minus_likelihood(flat: Tensor) -> Tensor:
        shift, loadings, noise = parts(flat)
        of_target = log_likelihood(having - shift, loadings, noise).sum()
        of_background = log_likelihood(without, loadings, noise).sum() if gamma else 0.0
        return (gamma * len(having) / len(without) * of_background - of_target) / having.numel()

    begin = torch.cat([start.mean * 0, (start.loadings / unit).flatten(), (start.noise / unit**2).log()[None]]).numpy()
    longest, first = FARTHEST * float(start.lengths.max() / unit), begin[-1]

    def is_far(vector: np.ndarray) -> bool:
        entries, log_noise = vector[size:-1], vector[-1]
        return bool(np.abs(entries).max() > longest > 0 or abs(log_noise - first) > 2 * math.log(FARTHEST))

    def stop_when_far(vector: np.ndarray) -> None:
        if is_far(vector):
            raise StopIteration  # SciPy ends the search here

    try:
        found = minimize(
            _with_gradient(minus_likelihood),
            begin,
            jac=True,
            method="L-BFGS-B",
            callback=stop_when_far,
            options={"maxiter": STEPS, "maxfun": 2 * STEPS, "ftol": 1e-12, "gtol": 1e-8},
        )
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return None  # The noise became too small, beside W, for a matrix to be inverted.
    if is_far(found.x):
        return None
    shift, loadings, noise = parts(torch.from_numpy(found.x))
    return LowRankGaussian(start.mean + shift * unit, *orthogonal(loadings * unit), noise * unit**2)


def _eigen(joint: JointCovariances, count: int, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    """The leading directions (reduced, k) of C_t - gamma C_b, their eigenvalues (k,), and the sum of all others."""
    directions = leading_directions_of_difference(joint.target, joint.background, gamma, count)
    strengths = variances_along(directions, joint.target) - gamma * variances_along(directions, joint.background)
    # Directions in which nothing varies are no part of the basis: their eigenvalue 0 comes before a negative one.
    left = joint.target.trace() - gamma * joint.background.trace() - strengths.clamp(min=0).sum()
    return directions, strengths, left


def _with_gradient(function: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The value and the gradient of a function of a float64 vector, as SciPy asks for them."""

    def both(vector: np.ndarray) -> tuple[float, np.ndarray]:
        flat = torch.from_numpy(vector.copy()).requires_grad_()
        value = function(flat)
        (gradient,) = torch.autograd.grad(value, flat)
        return value.item(), gradient.numpy()

    return both
