"""Covariances of both populations in one basis, and the directions in which their variances differ most.

A direction v with C_target v = ratio * C_background v has `ratio` times the background's variance in the target. Solved
here is the form of Fukunaga and Koontz ("Application of the Karhunen-Loève expansion to feature selection and
ordering", IEEE Transactions on Computers C-19(4), 1970),

    C_target v = share * (C_target + C_background) v,      share = ratio / (1 + ratio),

which has the same directions in the same order. Shares are finite where the background does not vary at all, and the
matrix on the right is invertible in every direction in which anything varies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cabench.data.dataset import ContrastiveDataset
from cabench.errors import UserError
from cabench.methods.shared.moments import (
    deviations,
    few_rows,
    moments,
    principal_directions,
    principal_directions_of_rows,
    resolved,
)

Scaling = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Gives the factors (values,) of background and target from their variances (values,), 0 of what is constant."""


class Joint(NamedTuple):
    """Both populations in the leading principal directions, of both together, in which anything varies.

    Attributes:
        background_mean: float64 (values,).
        target_mean: float64 (values,).
        target_scale: float64 (values,), the factors of the target's values.
        basis: float64 (values, reduced), orthonormal.
        background: float64 (reduced, reduced), the covariance of scaled background rows in this basis, divisor n.
        target: likewise.
        level: 0-d float64, the mean variance of a scaled value over both populations, above 0.
    """

    background_mean: Tensor
    target_mean: Tensor
    target_scale: Tensor
    basis: Tensor
    background: Tensor
    target: Tensor
    level: Tensor

    def with_ridge(self, ridge: float) -> Joint:
        """The same with both covariances moved towards equal noise: (1 - ridge) C + ridge * level * I, ridge in [0, 1).

        In directions outside the basis, where nothing varies, both are then equal.
        """
        noise = ridge * self.level * torch.eye(len(self.target), dtype=torch.float64)
        return self._replace(background=(1 - ridge) * self.background + noise, target=(1 - ridge) * self.target + noise)


class Directions(NamedTuple):
    """Directions in which the target varies most, compared with the background; the highest share first.

    Attributes:
        shares: float64 (k,) in [0, 1], of the target in the sum of both populations' variances.
        vectors: float64 (size, k), in which these sums are 1.
    """

    shares: Tensor
    vectors: Tensor


def unscaled(background: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Leaves values as they are."""
    return torch.ones_like(background), torch.ones_like(target)


def joint(data: ContrastiveDataset, count: int, scaling: Scaling = unscaled) -> Joint:
    """Both populations, each centred by its own mean, in at most `count` principal directions of both together.

    Each population weighs the same, however many rows it has. Where each has fewer rows than values, no covariance of
    all values is formed. The basis is as large as one where the rows of both together span all values and `count` keeps
    all of them; that is no larger than the rows themselves.

    Raises:
        UserError: where nothing varies.
    """
    few = few_rows([data.background.images, data.target.images])
    found = (_joint_from_rows if few else _joint_from_covariances)(data, count, scaling)
    if not found.level > 0:
        raise UserError(
            f"All training rows of {data.info.called} are the same within each population, so there is nothing to "
            "compare; use data that vary."
        )
    return found


def leading_ratios(target: Tensor, background: Tensor, count: int) -> Directions:
    """The directions with the highest ratios of variances, uncorrelated in both populations.

    Args:
        target: float64 (size, size), a covariance; the sum of both is invertible.
        background: likewise.
        count: how many; there are at most `size`.
    """
    from scipy.linalg import eigh  # Late: importing it takes a quarter of a second.

    size = len(target)
    wanted = [max(0, size - count), size - 1]
    shares, vectors = eigh(target.numpy(), (target + background).numpy(), subset_by_index=wanted)  # smallest first
    return Directions(torch.from_numpy(shares).flip(0).clamp(0, 1), torch.from_numpy(vectors).flip(1))


def orthogonal_ratios(target: Tensor, background: Tensor, count: int) -> Directions:
    """The direction with the highest ratio, then the highest among those at right angles to all before, and so on.

    Args:
        target: as of `leading_ratios`.
        background: likewise.
        count: likewise.
    """
    size = len(target)
    shares, vectors = torch.zeros(0, dtype=torch.float64), torch.zeros(size, 0, dtype=torch.float64)
    for number in range(min(count, size)):
        free = torch.linalg.qr(vectors, mode="complete")[0][:, number:]  # at right angles to all found
        found = leading_ratios(free.T @ target @ free, free.T @ background @ free, 1)
        shares = torch.cat([shares, found.shares])
        vectors = torch.cat([vectors, free @ found.vectors], 1)
    return Directions(shares, vectors)


def signs(directions: Tensor) -> Tensor:
    """+1 or -1 for each column (size, k), by which its entry of largest magnitude becomes positive."""
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))[0]
    return torch.where(largest < 0, -1.0, 1.0).double()


def _joint_from_covariances(data: ContrastiveDataset, count: int, scaling: Scaling) -> Joint:
    parts = [moments([part.images]) for part in (data.background, data.target)]
    variances = [resolved(part.covariance.diagonal(), part.mean) for part in parts]
    scales = scaling(*variances)
    covariances = [part.covariance.mul_(scale[:, None]).mul_(scale) for part, scale in zip(parts, scales, strict=True)]
    basis = principal_directions(covariances[0] + covariances[1], count)
    background, target = (basis.T @ covariance @ basis for covariance in covariances)
    level = _level(variances, scales)
    return Joint(parts[0].mean, parts[1].mean, scales[1], basis, background, target, level)


def _joint_from_rows(data: ContrastiveDataset, count: int, scaling: Scaling) -> Joint:
    """The same where the rows themselves are smaller than covariances, which are their products."""
    parts = [deviations([part.images]) for part in (data.background, data.target)]
    variances = [resolved(part.rows.square().mean(0), part.mean) for part in parts]
    scales = scaling(*variances)
    factors = [part.rows.mul_(scale / len(part.rows) ** 0.5) for part, scale in zip(parts, scales, strict=True)]
    basis = principal_directions_of_rows(torch.cat(factors), count)
    projected = (factor @ basis for factor in factors)
    background, target = (rows.T @ rows for rows in projected)
    level = _level(variances, scales)
    return Joint(parts[0].mean, parts[1].mean, scales[1], basis, background, target, level)


def _level(variances: list[Tensor], scales: tuple[Tensor, Tensor]) -> Tensor:
    return torch.stack([variance * scale**2 for variance, scale in zip(variances, scales, strict=True)]).mean()
