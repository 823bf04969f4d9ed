"""HSIC, k-JEM and the multi-kernel MMD against their formulas, and what they say of dependence and of distance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cabench.methods.losses.kernels import INVERSE_WIDTHS, hsic, joint_entropy, mmd


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


def gram(x: np.ndarray, temperature: float) -> np.ndarray:
    return np.array([[math.exp(-sum((a - b) ** 2) / (2 * temperature)) for b in x] for a in x])


@pytest.mark.parametrize(("rows", "temperature"), [(1, 0.5), (2, 0.5), (9, 0.5), (14, 2.0)])
def test_hsic_is_its_formula(rows, temperature):
    c, s = normal(rows, 3), normal(rows, 5, seed=1)
    centring = np.eye(rows) - 1 / rows
    k, l = gram(c.numpy(), temperature), gram(s.numpy(), temperature)  # noqa: E741 - the paper's name
    expected = np.trace(k @ centring @ l @ centring) / rows**2
    assert hsic(c, s, temperature).item() == pytest.approx(expected, rel=1e-9, abs=1e-14)


def test_hsic_is_the_discrepancy_of_the_pairs_from_all_pairs():
    c, s = normal(7, 2), normal(7, 3, seed=1)
    k, l = gram(c.numpy(), 0.5), gram(s.numpy(), 0.5)  # noqa: E741
    joint = np.mean([k[i, j] * l[i, j] for i in range(7) for j in range(7)])
    product = k.mean() * l.mean()
    crossed = np.mean([k[i, j] * l[i, m] for i in range(7) for j in range(7) for m in range(7)])
    assert hsic(c, s).item() == pytest.approx(joint + product - 2 * crossed, rel=1e-9)


def test_a_constant_sample_depends_on_nothing():
    assert hsic(normal(10, 3), torch.ones(10, 2)).item() == pytest.approx(0, abs=1e-15)


def test_dependent_samples_cost_more_than_shuffled_ones():
    c = normal(200, 2)
    assert hsic(c, c.sin()).item() > 5 * hsic(c, c.sin().roll(50, 0)).item()


def test_symmetry_and_common_permutations():
    c, s = normal(12, 2), normal(12, 3, seed=1)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    assert hsic(c, s).item() == pytest.approx(hsic(s, c).item(), rel=1e-12)
    assert hsic(c[order], s[order]).item() == pytest.approx(hsic(c, s).item(), rel=1e-12)


def test_gradients_of_hsic():
    c, s = normal(5, 2).requires_grad_(), normal(5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(hsic, (c, s))


def test_half_precision_is_computed_in_float32_of_hsic():
    c, s = normal(5, 2).bfloat16(), normal(5, 3, seed=1).bfloat16()
    assert hsic(c, s).dtype == torch.float32
    assert hsic(c, s) == hsic(c.float(), s.float())


@pytest.mark.parametrize(("c", "s"), [((3, 2), (4, 2)), ((3,), (3, 2)), ((0, 2), (0, 2))])
def test_misfitting_shapes_are_refused(c, s):
    with pytest.raises(ValueError, match=r"hsic needs shapes \(n, d_c\) and \(n, d_s\)"):
        hsic(torch.zeros(c), torch.zeros(s))


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


def test_gradients_of_mmd() -> None:
    x, y = normal(5, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(mmd, (x, y))


def test_gradients_at_coincident_rows_of_mmd() -> None:
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


def test_mmd_is_symmetric() -> None:
    x, y = normal(12, 3), normal(5, 3, seed=1)
    assert mmd(x, y).item() == pytest.approx(mmd(y, x).item(), rel=1e-12)


def test_mmd_keeps_under_joint_rotation_and_translation_and_under_permutation() -> None:
    x, y = normal(6, 3), normal(5, 3, seed=1)
    turn, shift = torch.linalg.qr(normal(3, 3, seed=2))[0], normal(3, seed=3)
    moved = mmd((x @ turn + shift)[[3, 0, 5, 1, 4, 2]], y @ turn + shift)
    assert moved.item() == pytest.approx(mmd(x, y).item(), rel=1e-10)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32_of_mmd(half: torch.dtype) -> None:
    x = normal(32, 16).to(half)
    value = mmd(x, torch.zeros(16, 16))
    assert value.dtype == torch.float32
    assert value.item() == mmd(x.float(), torch.zeros(16, 16)).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_autocast_changes_nothing_of_mmd(dtype: torch.dtype) -> None:
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
