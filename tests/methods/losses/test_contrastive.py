"""Alignment and uniformity against their formulas, and the properties SepCLR relies on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cabench.methods.losses.contrastive import alignment, uniformity

SIZES = [
    pytest.param(2, 1, id="2 rows, 1 dimension"),
    pytest.param(7, 3, id="7 rows, 3 dimensions"),
    pytest.param(24, 16, id="24 rows, 16 dimensions"),
]
TEMPERATURES = [pytest.param(t, id=f"temperature {t}") for t in (0.5, 0.1, 2.0)]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def rotation(dimensions: int) -> torch.Tensor:
    return torch.linalg.qr(normal(dimensions, dimensions, seed=9))[0]


def alignment_by_loops(u: np.ndarray, v: np.ndarray, temperature: float) -> float:
    total = 0.0
    for i in range(u.shape[0]):
        for k in range(u.shape[1]):
            total += (u[i, k] - v[i, k]) ** 2
    return total / u.shape[0] / (2 * temperature)


def uniformity_by_loops(u: np.ndarray, temperature: float) -> float:
    kernels = []
    for i in range(u.shape[0]):
        for j in range(i):
            distance = sum((u[i, k] - u[j, k]) ** 2 for k in range(u.shape[1]))
            kernels.append(math.exp(-distance / (2 * temperature)))
    return math.log(math.fsum(kernels) / len(kernels))


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("rows", "dimensions"), [pytest.param(1, 4, id="1 row, 4 dimensions"), *SIZES])
def test_alignment_is_its_formula(rows: int, dimensions: int, temperature: float) -> None:
    u, v = normal(rows, dimensions), normal(rows, dimensions, seed=1)
    expected = alignment_by_loops(u.numpy(), v.numpy(), temperature)
    assert alignment(u, v, temperature).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize(("rows", "dimensions"), SIZES)
def test_uniformity_is_its_formula(rows: int, dimensions: int, temperature: float) -> None:
    u = normal(rows, dimensions)
    expected = uniformity_by_loops(u.numpy(), temperature)
    assert uniformity(u, temperature).item() == pytest.approx(expected, rel=1e-10)


def test_the_default_temperature_is_one_half() -> None:
    u, v = normal(6, 3), normal(6, 3, seed=1)
    assert alignment(u, v).item() == alignment(u, v, temperature=0.5).item()
    assert uniformity(u).item() == uniformity(u, temperature=0.5).item()


def test_gradients() -> None:
    u, v = normal(6, 3).requires_grad_(), normal(6, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(alignment, (u, v))
    assert torch.autograd.gradcheck(uniformity, (u,))


def test_gradient_of_uniformity_at_coincident_rows() -> None:
    u = normal(6, 3)
    u[1] = u[0]
    assert torch.autograd.gradcheck(uniformity, (u.requires_grad_(),))


def test_alignment_is_symmetric_and_zero_where_the_views_agree() -> None:
    u, v = normal(6, 3), normal(6, 3, seed=1)
    assert alignment(u, v).item() == alignment(v, u).item() > 0
    assert alignment(u, u).item() == 0


def test_alignment_keeps_under_rotation_and_translation() -> None:
    u, v, turn, shift = normal(6, 3), normal(6, 3, seed=1), rotation(3), normal(3, seed=2)
    assert alignment(u @ turn + shift, v @ turn + shift).item() == pytest.approx(alignment(u, v).item(), rel=1e-12)


def test_uniformity_keeps_under_rotation_translation_and_permutation() -> None:
    u = normal(6, 3)
    moved = (u @ rotation(3) + normal(3, seed=2))[[3, 0, 5, 1, 4, 2]]
    assert uniformity(moved).item() == pytest.approx(uniformity(u).item(), rel=1e-12)


def test_uniformity_falls_as_rows_spread() -> None:
    u = normal(6, 3)
    assert uniformity(2 * u).item() < uniformity(u).item() < 0


def test_uniformity_of_coincident_rows_is_zero() -> None:
    assert uniformity(torch.zeros(512, 32)).item() == pytest.approx(0, abs=1e-6)


def test_uniformity_of_rows_so_far_apart_that_every_kernel_underflows() -> None:
    # Two rows at distance 100: the kernel exp(-10^4) is zero in any float, its logarithm is not.
    assert uniformity(torch.tensor([[0.0], [100.0]])).item() == pytest.approx(-1e4, rel=1e-6)


def test_uniformity_cannot_fall_below_the_share_of_zeroed_background_pairs() -> None:
    salient = torch.zeros(512, 32)
    salient[256:] = 1e3 * normal(256, 32, dtype=torch.float32)
    background_pairs, pairs = 256 * 255 / 2, 512 * 511 / 2
    assert uniformity(salient).item() == pytest.approx(math.log(background_pairs / pairs), abs=1e-6)
    assert uniformity(salient).item() == pytest.approx(-1.3883, abs=1e-4)


def test_overwritten_rows_have_no_gradient() -> None:
    salient = normal(8, 3, dtype=torch.float32).requires_grad_()
    background = torch.arange(8) < 4
    zeroed = salient.clone()
    zeroed[background] = 0
    uniformity(zeroed).backward()
    assert salient.grad is not None
    assert torch.all(salient.grad[background] == 0)
    assert torch.all(torch.isfinite(salient.grad))
    assert torch.all(salient.grad[~background].norm(dim=1) > 0)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(half: torch.dtype) -> None:
    u, v = normal(32, 16).to(half), normal(32, 16, seed=1).to(half)
    for value, reference in (
        (alignment(u, v), alignment(u.float(), v.float())),
        (uniformity(u), uniformity(u.float())),
    ):
        assert value.dtype == torch.float32
        assert value.item() == reference.item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    u, v = normal(64, 16, dtype=dtype), normal(64, 16, seed=1, dtype=dtype)
    outside = alignment(u, v), uniformity(u)
    with torch.autocast("cpu", torch.bfloat16):
        inside = alignment(u, v), uniformity(u)
    for value, reference in zip(inside, outside, strict=True):
        assert value.dtype == dtype
        assert value.item() == pytest.approx(reference.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("u", "v"),
    [
        pytest.param((0, 3), (0, 3), id="no rows"),
        pytest.param((4, 3), (5, 3), id="unequal rows"),
        pytest.param((4, 3), (1, 3), id="shapes that would broadcast"),
        pytest.param((4,), (4,), id="one axis"),
    ],
)
def test_alignment_refuses(u: tuple[int, ...], v: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="alignment needs two equal shapes"):
        alignment(torch.zeros(u), torch.zeros(v))


@pytest.mark.parametrize(
    "shape", [pytest.param((0, 3), id="no rows"), pytest.param((1, 3), id="1 row"), pytest.param((4,), id="one axis")]
)
def test_uniformity_refuses(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uniformity needs a shape"):
        uniformity(torch.zeros(shape))
