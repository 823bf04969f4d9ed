"""The k-JEM term against its formula, and what it says of dependence between common and salient vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cabench.methods.losses.joint_entropy import joint_entropy


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def joint_entropy_by_loops(common: np.ndarray, salient: np.ndarray, temperature: float) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * temperature))

    rows = range(len(common))
    logs = []
    for i in rows:
        kernels = [kernel(salient[i], salient[j]) * kernel(common[i], common[j]) for j in rows]
        logs.append(math.log(math.fsum(kernels) / len(kernels)))
    return math.fsum(logs) / len(logs)


@pytest.mark.parametrize("temperature", [pytest.param(t, id=f"temperature {t}") for t in (0.5, 0.1, 2.0)])
@pytest.mark.parametrize(
    ("rows", "common_dimensions", "salient_dimensions"),
    [
        pytest.param(2, 1, 1, id="2 rows, 1 and 1 dimensions"),
        pytest.param(7, 3, 5, id="7 rows, 3 and 5 dimensions"),
        pytest.param(24, 16, 4, id="24 rows, 16 and 4 dimensions"),
    ],
)
def test_joint_entropy_is_its_formula(
    rows: int, common_dimensions: int, salient_dimensions: int, temperature: float
) -> None:
    # Rows close to each other, so that the sum over j has more than its diagonal.
    common, salient = 0.3 * normal(rows, common_dimensions), 0.3 * normal(rows, salient_dimensions, seed=1)
    expected = joint_entropy_by_loops(common.numpy(), salient.numpy(), temperature)
    assert joint_entropy(common, salient, temperature).item() == pytest.approx(expected, rel=1e-10)


def test_the_default_temperature_is_one_half() -> None:
    common, salient = normal(6, 3), normal(6, 2, seed=1)
    assert joint_entropy(common, salient).item() == joint_entropy(common, salient, temperature=0.5).item()


def test_gradients() -> None:
    common, salient = normal(6, 3).requires_grad_(), normal(6, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(joint_entropy, (common, salient))


def test_gradients_at_coincident_rows() -> None:
    common, salient = normal(6, 3), normal(6, 2, seed=1)
    common[1], salient[:3] = common[0], 0
    assert torch.autograd.gradcheck(joint_entropy, (common.requires_grad_(), salient.requires_grad_()))


def test_far_apart_rows_reach_the_floor() -> None:
    far = 100 * torch.eye(16)
    assert joint_entropy(far, torch.zeros(16, 4)).item() == pytest.approx(math.log(1 / 16), rel=1e-6)
    assert joint_entropy(torch.zeros(16, 4), far).item() == pytest.approx(math.log(1 / 16), rel=1e-6)


def test_float32_is_exact_far_from_the_origin() -> None:
    common, salient = (100 + 0.3 * normal(64, 4, seed=seed, dtype=torch.float32) for seed in (0, 1))
    expected = joint_entropy(common.double(), salient.double()).item()
    assert joint_entropy(common, salient).item() == pytest.approx(expected, rel=1e-6)


def test_coincident_rows_reach_the_ceiling() -> None:
    assert joint_entropy(torch.ones(16, 3), torch.ones(16, 4)).item() == pytest.approx(0, abs=1e-6)


def test_one_row_is_its_own_only_neighbour() -> None:
    assert joint_entropy(normal(1, 3), normal(1, 2)).item() == 0


def test_common_and_salient_play_the_same_part() -> None:
    common, salient = normal(6, 3), normal(6, 2, seed=1)
    assert joint_entropy(common, salient).item() == pytest.approx(joint_entropy(salient, common).item(), rel=1e-12)


def test_pairs_can_be_permuted() -> None:
    common, salient, order = normal(6, 3), normal(6, 2, seed=1), [3, 0, 5, 1, 4, 2]
    assert joint_entropy(common[order], salient[order]).item() == pytest.approx(
        joint_entropy(common, salient).item(), rel=1e-12
    )


def test_each_space_can_be_rotated_and_translated_alone() -> None:
    common, salient = normal(6, 3), normal(6, 2, seed=1)
    moved = common @ torch.linalg.qr(normal(3, 3, seed=2))[0] + normal(3, seed=3)
    assert joint_entropy(moved, salient).item() == pytest.approx(joint_entropy(common, salient).item(), rel=1e-12)
    assert joint_entropy(common, salient + 5).item() == pytest.approx(joint_entropy(common, salient).item(), rel=1e-12)


def test_a_second_variable_never_raises_the_value() -> None:
    # Kernels are at most 1, and 1 throughout for a constant: H(c, s) >= H(c) and H(s), with the sign turned.
    common, salient, constant = 0.3 * normal(12, 3), 0.3 * normal(12, 2, seed=1), torch.zeros(12, 1).double()
    both = joint_entropy(common, salient).item()
    assert both < joint_entropy(common, constant).item()
    assert both < joint_entropy(constant, salient).item()


def test_independence_halves_the_value_that_a_copy_has() -> None:
    # c takes m values, all far apart, m times each. Where s is a copy of c, m rows of m^2 share a pair: log(m / m^2).
    # Where the m^2 pairs form a grid, with the same marginals, each pair is alone: log(1 / m^2), twice as low.
    m = 5
    values = 100 * torch.eye(m)
    common = values.repeat_interleave(m, dim=0)
    copy, independent = joint_entropy(common, common), joint_entropy(common, values.repeat(m, 1))
    assert copy.item() == pytest.approx(-math.log(m), rel=1e-6)
    assert independent.item() == pytest.approx(-2 * math.log(m), rel=1e-6)


def test_overwritten_rows_have_no_gradient() -> None:
    common = normal(8, 3, dtype=torch.float32).requires_grad_()
    salient = normal(8, 3, seed=1, dtype=torch.float32).requires_grad_()
    background = torch.arange(8) < 4
    zeroed = salient.clone()
    zeroed[background] = 0
    joint_entropy(common, zeroed).backward()
    assert salient.grad is not None
    assert common.grad is not None
    assert torch.all(salient.grad[background] == 0)
    assert torch.all(torch.isfinite(salient.grad))
    assert torch.all(salient.grad[~background].norm(dim=1) > 0)
    assert torch.all(common.grad.norm(dim=1) > 0)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(half: torch.dtype) -> None:
    common, salient = (0.3 * normal(32, 16)).to(half), (0.3 * normal(32, 4, seed=1)).to(half)
    value = joint_entropy(common, salient)
    assert value.dtype == torch.float32
    assert value.item() == joint_entropy(common.float(), salient.float()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    common, salient = 0.3 * normal(64, 16, dtype=dtype), 0.3 * normal(64, 4, seed=1, dtype=dtype)
    outside = joint_entropy(common, salient)
    with torch.autocast("cpu", torch.bfloat16):
        inside = joint_entropy(common, salient)
    assert inside.dtype == dtype
    assert inside.item() == pytest.approx(outside.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("common", "salient"),
    [
        pytest.param((0, 3), (0, 2), id="no rows"),
        pytest.param((4, 3), (5, 2), id="unequal rows"),
        pytest.param((4,), (4, 2), id="one axis"),
    ],
)
def test_joint_entropy_refuses(common: tuple[int, ...], salient: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="joint_entropy needs shapes"):
        joint_entropy(torch.zeros(common), torch.zeros(salient))
