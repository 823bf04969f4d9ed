"""Sparse principal directions of a symmetric matrix, by variable projection.

Erichson, Zheng, Manohar, Brunton, Kutz, Aravkin. "Sparse principal component analysis via variable projection", SIAM
Journal on Applied Mathematics 80(2), 2020. With H a positive semi-definite matrix and D its largest eigenvalue, the
loadings B (size, k) minimise, together with an orthonormal A (size, k),

    1/2 |H^(1/2) (I - B A')|^2 + penalty D |B|_1 + ridge/2 |B|^2,   ridge = RIDGE D.

H is given by a factor F with H = F F', so that no (size, size) matrix is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cabench.methods.shared.moments import signed

RIDGE = 1e-6
"""Relative to the largest eigenvalue of H."""
GAIN = 1e-5
"""Rounds end where they lower the objective by less than this share of it."""
ROUNDS = 1000


class _Penalties(NamedTuple):
    """The weights of both, and the trace of H."""

    lasso: float
    ridge: float
    trace: float

    def objective(self, loadings: Tensor, scores: Tensor, ideal: Tensor) -> float:
        """The sum that is minimised, at B and A, from B, F' B and F' A."""
        # A is orthonormal, so |F' B A'| = |F' B|.
        error = self.trace - 2 * (scores * ideal).sum() + scores.square().sum()
        penalty = self.lasso * loadings.abs().sum() + self.ridge / 2 * loadings.square().sum()
        return (error / 2 + penalty).item()


def sparse_directions(factor: Tensor, start: Tensor, penalty: float) -> Tensor:
    """Sparse loadings, float64 (size, at most k), of unit length; columns of zeros are dropped.

    They need not be orthogonal, and those of penalty 0 span what `start` spans. Their entry of largest magnitude is
    positive.

    Args:
        factor: F, float64 (size, r), columns orthogonal, the longest first.
        start: float64 (size, k), the leading unit eigenvectors of H.
        penalty: of the sum of magnitudes, relative to the largest eigenvalue of H; at least 0.
    """
    loadings, _ = descent(factor, start, penalty)
    lengths = loadings.norm(dim=0)
    return signed(loadings[:, lengths > 0] / lengths[lengths > 0])


def descent(factor: Tensor, start: Tensor, penalty: float) -> tuple[Tensor, list[float]]:
    """The loadings as they come out of the rounds, float64 (size, k), and the objective after each round.

    Args:
        factor: as of `sparse_directions`.
        start: likewise.
        penalty: likewise.
    """
    largest = factor[:, 0].square().sum().item()
    penalties = _Penalties(penalty * largest, RIDGE * largest, factor.square().sum().item())
    step = 1 / (largest + penalties.ridge)
    loadings, scores, objectives = start, factor.T @ start, [float("inf")]
    while len(objectives) <= ROUNDS:
        pulled = factor @ scores  # H B
        ideal = factor.T @ _orthonormal(pulled)
        moved = loadings + step * (factor @ ideal - pulled - penalties.ridge * loadings)
        loadings = moved.sign() * (moved.abs() - step * penalties.lasso).clamp(min=0)
        scores = factor.T @ loadings
        objectives.append(penalties.objective(loadings, scores, ideal))
        if objectives[-2] - objectives[-1] < GAIN * abs(objectives[-1]):
            break
    return loadings, objectives[1:]


def _orthonormal(pulled: Tensor) -> Tensor:
    """The orthonormal A (size, k) that suits loadings B best: P R' of the decomposition P Q R' of H B (size, k)."""
    left, _, right = torch.linalg.svd(pulled, full_matrices=False)
    rotated: Tensor = left @ right
    return rotated
