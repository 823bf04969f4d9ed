"""The information-less term against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cabench.methods.losses.contrastive import alignment
from cabench.methods.losses.information_less import information_less


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def information_less_by_loops(salient: np.ndarray, temperature: float) -> float:
    total = 0.0
    for row in salient:
        for value in row:
            total += value**2
    return total / len(salient) / (2 * temperature)


@pytest.mark.parametrize("temperature", [pytest.param(t, id=f"temperature {t}") for t in (0.5, 0.1, 2.0)])
@pytest.mark.parametrize(
    ("rows", "dimensions"),
    [
        pytest.param(1, 4, id="1 row, 4 dimensions"),
        pytest.param(7, 3, id="7 rows, 3 dimensions"),
        pytest.param(24, 16, id="24 rows, 16 dimensions"),
    ],
)
def test_information_less_is_its_formula(rows: int, dimensions: int, temperature: float) -> None:
    salient = normal(rows, dimensions)
    expected = information_less_by_loops(salient.numpy(), temperature)
    assert information_less(salient, temperature).item() == pytest.approx(expected, rel=1e-10)


def test_the_default_temperature_is_one_half() -> None:
    assert information_less(normal(6, 3)).item() == information_less(normal(6, 3), temperature=0.5).item()


def test_it_is_the_alignment_with_zero() -> None:
    salient = normal(6, 3)
    assert information_less(salient).item() == alignment(torch.zeros_like(salient), salient).item()


def test_gradient() -> None:
    assert torch.autograd.gradcheck(information_less, (normal(6, 3).requires_grad_(),))


def test_zero_vectors_are_the_optimum() -> None:
    salient = torch.zeros(6, 3, requires_grad=True)
    value = information_less(salient)
    value.backward()
    assert value.item() == 0
    assert salient.grad is not None
    assert torch.all(salient.grad == 0)


def test_it_keeps_under_rotation() -> None:
    salient, turn = normal(6, 3), torch.linalg.qr(normal(3, 3, seed=1))[0]
    assert information_less(salient @ turn).item() == pytest.approx(information_less(salient).item(), rel=1e-12)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(half: torch.dtype) -> None:
    salient = normal(32, 16).to(half)
    value = information_less(salient)
    assert value.dtype == torch.float32
    assert value.item() == information_less(salient.float()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    salient = normal(64, 16, dtype=dtype)
    outside = information_less(salient)
    with torch.autocast("cpu", torch.bfloat16):
        inside = information_less(salient)
    assert inside.dtype == dtype
    assert inside.item() == pytest.approx(outside.item(), rel=1e-6)


@pytest.mark.parametrize("shape", [pytest.param((0, 3), id="no rows"), pytest.param((4,), id="one axis")])
def test_information_less_refuses(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="information_less needs a shape"):
        information_less(torch.zeros(shape))
