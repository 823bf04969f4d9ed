"""Log-densities of diagonal Gaussians that predict one vector from another: what variational bounds are made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_likelihood(mean: Tensor, log_variance: Tensor, x: Tensor) -> Tensor:
    """Log N(x_i; mean_i, variance_i) for each row i.

    Args:
        mean: (n, d) floats.
        log_variance: (n, d) floats, natural logarithms.
        x: (n, d) floats.

    Returns:
        (n,) tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if the shapes differ or are not (n, d) with n >= 1.
    """
    mean, log_variance, x = _checked(mean, log_variance, x)
    return _log_density(mean, log_variance, x)


def pairwise_log_likelihood(mean: Tensor, log_variance: Tensor, x: Tensor) -> Tensor:
    """Log N(x_j; mean_i, variance_i) for all rows i, j.

    Args:
        mean: (n, d) floats.
        log_variance: (n, d) floats, natural logarithms.
        x: (n, d) floats.

    Returns:
        (n, n) tensor, entry ij the density of row j under the prediction of row i; float32 (float64 for float64 input).

    Raises:
        ValueError: if the shapes differ or are not (n, d) with n >= 1.
    """
    mean, log_variance, x = _checked(mean, log_variance, x)
    return _log_density(mean[:, None], log_variance[:, None], x[None])


def _log_density(mean: Tensor, log_variance: Tensor, x: Tensor) -> Tensor:
    squares = (x - mean).square() * torch.exp(-log_variance)
    return -(squares + log_variance + math.log(2 * math.pi)).sum(-1) / 2


def _checked(*tensors: Tensor) -> list[Tensor]:
    shapes = [tuple(t.shape) for t in tensors]
    if len(set(shapes)) != 1 or len(shapes[0]) != 2 or shapes[0][0] == 0:
        raise ValueError(f"Mean, log-variance and vectors need one shape (n, d) with n >= 1, but got {shapes}.")
    return [t.to(torch.promote_types(t.dtype, torch.float32)) for t in tensors]
