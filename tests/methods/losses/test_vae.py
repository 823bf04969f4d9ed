"""Squared error and Gaussian KL divergence against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from cabench.methods.losses.vae import gaussian_kl, squared_error

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

IMAGES = [
    pytest.param((1, 1, 2, 2), id="1 grey image"),
    pytest.param((3, 3, 4, 5), id="3 colour images"),
    pytest.param((6, 7), id="6 rows of 7 values"),
]
LATENTS = [
    pytest.param((1, 1), id="1 row, 1 dimension"),
    pytest.param((7, 3), id="7 rows, 3 dimensions"),
    pytest.param((24, 16), id="24 rows, 16 dimensions"),
]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def squared_error_by_loops(images: np.ndarray, reconstructions: np.ndarray) -> float:
    total = 0.0
    for index in np.ndindex(images.shape):
        total += (images[index] - reconstructions[index]) ** 2
    return total


def gaussian_kl_by_loops(mean: np.ndarray, log_variance: np.ndarray) -> float:
    # With standard deviation sigma: KL(N(mu, sigma^2) || N(0, 1)) = log(1 / sigma) + (sigma^2 + mu^2) / 2 - 1 / 2.
    total = 0.0
    for index in np.ndindex(mean.shape):
        sigma = math.sqrt(math.exp(log_variance[index]))
        total += math.log(1 / sigma) + (sigma**2 + mean[index] ** 2) / 2 - 0.5
    return total


@pytest.mark.parametrize("shape", IMAGES)
def test_squared_error_is_its_formula(shape: tuple[int, ...]) -> None:
    images, reconstructions = normal(*shape), normal(*shape, seed=1)
    expected = squared_error_by_loops(images.numpy(), reconstructions.numpy())
    assert squared_error(images, reconstructions).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shape", LATENTS)
def test_gaussian_kl_is_its_formula(shape: tuple[int, ...]) -> None:
    mean, log_variance = normal(*shape), normal(*shape, seed=1)
    expected = gaussian_kl_by_loops(mean.numpy(), log_variance.numpy())
    assert gaussian_kl(mean, log_variance).item() == pytest.approx(expected, rel=1e-10)


def test_gaussian_kl_is_the_divergence_that_torch_computes() -> None:
    mean, log_variance = normal(7, 3), normal(7, 3, seed=1)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(posterior, prior).sum()
    assert gaussian_kl(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-10)


def test_gradients() -> None:
    x, y = normal(4, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(squared_error, (x, y))
    assert torch.autograd.gradcheck(gaussian_kl, (x, y))


def test_squared_error_is_symmetric_and_zero_where_images_agree() -> None:
    x, y = normal(4, 3), normal(4, 3, seed=1)
    assert squared_error(x, y).item() == squared_error(y, x).item() > 0
    assert squared_error(x, x).item() == 0


def test_the_standard_normal_has_divergence_zero_and_no_gradient() -> None:
    mean, log_variance = torch.zeros(4, 3, requires_grad=True), torch.zeros(4, 3, requires_grad=True)
    value = gaussian_kl(mean, log_variance)
    value.backward()
    assert value.item() == 0
    assert mean.grad is not None
    assert log_variance.grad is not None
    assert torch.all(mean.grad == 0)
    assert torch.all(log_variance.grad == 0)


@pytest.mark.parametrize("loss", [squared_error, gaussian_kl])
def test_both_are_sums_over_the_batch(loss: Loss) -> None:
    x, y = normal(6, 3), normal(6, 3, seed=1)
    assert loss(x, y).item() == pytest.approx(loss(x[:2], y[:2]).item() + loss(x[2:], y[2:]).item(), rel=1e-12)
    assert loss(x[:0], y[:0]).item() == 0


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("loss", [squared_error, gaussian_kl])
def test_half_precision_is_computed_in_float32(loss: Loss, half: torch.dtype) -> None:
    x, y = normal(32, 16).to(half), normal(32, 16, seed=1).to(half)
    value = loss(x, y)
    assert value.dtype == torch.float32
    assert value.item() == loss(x.float(), y.float()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("loss", [squared_error, gaussian_kl])
def test_autocast_changes_nothing(loss: Loss, dtype: torch.dtype) -> None:
    x, y = normal(64, 16, dtype=dtype), normal(64, 16, seed=1, dtype=dtype)
    outside = loss(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(x, y)
    assert inside.dtype == dtype
    assert inside.item() == pytest.approx(outside.item(), rel=1e-6)


@pytest.mark.parametrize("loss", [squared_error, gaussian_kl])
def test_shapes_that_would_broadcast_are_refused(loss: Loss) -> None:
    with pytest.raises(ValueError, match=f"{loss.__name__} needs two equal shapes"):
        loss(torch.zeros(4, 3), torch.zeros(1, 3))
