"""The multi-kernel MMD against its formula, its expectation under known distributions, and its properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cabench.methods.losses.mmd import INVERSE_WIDTHS, mmd


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def mmd_by_loops(x: np.ndarray, y: np.ndarray) -> float:
    def mean_kernel(left: np.ndarray, right: np.ndarray) -> float:
        kernels = []
        for a in left:
            for b in right:
                squared_distance = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
                kernels.extend(math.exp(-(10.0**k) * squared_distance) for k in range(-6, 7))
        return math.fsum(kernels) / (len(left) * len(right))

    return max(0.0, mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))


@pytest.mark.parametrize(
    ("x_rows", "y_rows", "dimensions"),
    [
        pytest.param(1, 1, 4, id="1 row against 1"),
        pytest.param(1, 6, 3, id="1 row against 6"),
        pytest.param(8, 8, 1, id="8 rows against 8, 1 dimension"),
        pytest.param(12, 5, 3, id="12 rows against 5"),
        pytest.param(9, 20, 16, id="9 rows against 20, 16 dimensions"),
    ],
)
def test_mmd_is_its_formula(x_rows: int, y_rows: int, dimensions: int) -> None:
    x, y = normal(x_rows, dimensions), 0.5 + normal(y_rows, dimensions, seed=1)
    assert mmd(x, y).item() == pytest.approx(mmd_by_loops(x.numpy(), y.numpy()), rel=1e-10)


def test_the_kernels_span_twelve_decades() -> None:
    assert len(INVERSE_WIDTHS) == 13
    assert list(INVERSE_WIDTHS) == pytest.approx([10.0**k for k in range(-6, 7)])


def test_gradients() -> None:
    x, y = normal(5, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(mmd, (x, y))


def test_gradients_at_coincident_rows() -> None:
    x, y = normal(5, 3), normal(4, 3, seed=1)
    x[1], y[0] = x[0], x[0]
    mmd(x.requires_grad_(), y.requires_grad_()).backward()
    assert x.grad is not None
    assert y.grad is not None
    assert torch.all(torch.isfinite(x.grad))
    assert torch.all(torch.isfinite(y.grad))


def test_a_sample_has_distance_zero_from_itself() -> None:
    x = normal(32, 8, dtype=torch.float32)
    assert mmd(x, x.clone()).item() == 0


def test_identical_zero_batches_have_distance_zero_and_no_gradient() -> None:
    x = torch.zeros(32, 8, requires_grad=True)
    value = mmd(x, torch.zeros(16, 8))
    value.backward()
    assert value.item() == 0
    assert x.grad is not None
    assert torch.all(x.grad == 0)


def test_a_value_below_zero_becomes_a_constant_zero() -> None:
    # A permuted sample has MMD 0 up to rounding, of either sign.
    x = normal(64, 8, dtype=torch.float32)
    values = [mmd(x, x[torch.randperm(64, generator=torch.Generator().manual_seed(seed))]) for seed in range(8)]
    assert all(0 <= value.item() < 1e-4 for value in values)


def test_standard_normal_against_zeros() -> None:
    # E exp(-g ||x||^2) = (1 + 2g)^(-d/2) and E exp(-g ||x - x'||^2) = (1 + 4g)^(-d/2), with n diagonal terms of n^2.
    n, d = 256, 16
    expected = math.fsum(
        1 / n + (1 - 1 / n) * (1 + 4 * 10.0**k) ** (-d / 2) + 1 - 2 * (1 + 2 * 10.0**k) ** (-d / 2)
        for k in range(-6, 7)
    )
    value = mmd(normal(n, d, dtype=torch.float32), torch.zeros(n, d)).item()
    assert value == pytest.approx(expected, abs=0.05)
    assert value == pytest.approx(7.64, abs=0.05)


def test_float32_keeps_the_narrow_kernels_far_from_the_origin() -> None:
    # Distances by a matrix product would be off by about 10^-3 here, squared and times g = 10^6: the diagonal lost.
    x, y = (10 + normal(64, 16, seed=seed, dtype=torch.float32) for seed in (0, 1))
    assert mmd(x, y).item() == pytest.approx(mmd(x.double(), y.double()).item(), abs=1e-4)


def test_two_samples_of_one_distribution_are_close() -> None:
    assert mmd(normal(256, 16), normal(256, 16, seed=1)).item() == pytest.approx(0.06, abs=0.02)


def test_far_apart_constants_reach_the_ceiling() -> None:
    # Within a constant sample each of 13 kernels is 1, and between the two, at squared distance 10^10, each is 0.
    assert mmd(torch.zeros(4, 1), torch.full((3, 1), 1e5)).item() == pytest.approx(26, rel=1e-6)


def test_it_is_symmetric() -> None:
    x, y = normal(12, 3), normal(5, 3, seed=1)
    assert mmd(x, y).item() == pytest.approx(mmd(y, x).item(), rel=1e-12)


def test_it_keeps_under_joint_rotation_and_translation_and_under_permutation() -> None:
    x, y = normal(6, 3), normal(5, 3, seed=1)
    turn, shift = torch.linalg.qr(normal(3, 3, seed=2))[0], normal(3, seed=3)
    moved = mmd((x @ turn + shift)[[3, 0, 5, 1, 4, 2]], y @ turn + shift)
    assert moved.item() == pytest.approx(mmd(x, y).item(), rel=1e-10)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(half: torch.dtype) -> None:
    x = normal(32, 16).to(half)
    value = mmd(x, torch.zeros(16, 16))
    assert value.dtype == torch.float32
    assert value.item() == mmd(x.float(), torch.zeros(16, 16)).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    x, y = normal(64, 16, dtype=dtype), 0.5 + normal(48, 16, seed=1, dtype=dtype)
    outside = mmd(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        inside = mmd(x, y)
    assert inside.dtype == dtype
    assert inside.item() == pytest.approx(outside.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        pytest.param((0, 3), (4, 3), id="first sample empty"),
        pytest.param((4, 3), (0, 3), id="second sample empty"),
        pytest.param((4, 3), (4, 2), id="unequal dimensions"),
        pytest.param((4,), (4, 3), id="one axis"),
    ],
)
def test_mmd_refuses(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mmd needs shapes"):
        mmd(torch.zeros(x), torch.zeros(y))
