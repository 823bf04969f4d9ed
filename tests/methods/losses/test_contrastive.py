"""SepCLR's contrastive terms and NT-Xent against their formulas, and the properties that methods rely on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from cabench.methods.losses.contrastive import (
    SAME_CLASS_DIVISOR,
    alignment,
    attribute_alignment,
    information_less,
    nt_xent,
    uniformity,
)

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


def test_the_default_temperature_is_one_half_of_information_less() -> None:
    assert information_less(normal(6, 3)).item() == information_less(normal(6, 3), temperature=0.5).item()


def test_information_less_is_the_alignment_with_zero() -> None:
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


def test_information_less_keeps_under_rotation() -> None:
    salient, turn = normal(6, 3), torch.linalg.qr(normal(3, 3, seed=1))[0]
    assert information_less(salient @ turn).item() == pytest.approx(information_less(salient).item(), rel=1e-12)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32_of_information_less(half: torch.dtype) -> None:
    salient = normal(32, 16).to(half)
    value = information_less(salient)
    assert value.dtype == torch.float32
    assert value.item() == information_less(salient.float()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_autocast_changes_nothing_of_information_less(dtype: torch.dtype) -> None:
    salient = normal(64, 16, dtype=dtype)
    outside = information_less(salient)
    with torch.autocast("cpu", torch.bfloat16):
        inside = information_less(salient)
    assert inside.dtype == dtype
    assert inside.item() == pytest.approx(outside.item(), rel=1e-6)


@pytest.mark.parametrize("shape", [pytest.param((0, 3), id="no rows"), pytest.param((4,), id="one axis")])
def test_information_less_refuses(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="alignment needs two equal shapes"):
        information_less(torch.zeros(shape))


@pytest.mark.parametrize("divisor", [0.05, 2.0])
@pytest.mark.parametrize("undefined", [[], [0, 3]])
def test_attribute_alignment_is_its_formula_over_pairs_of_defined_rows(divisor, undefined):
    s, a = normal(8), normal(8, seed=1)
    a[undefined] = math.nan
    rows = [(x, y) for x, y in zip(s.tolist(), a.tolist(), strict=True) if not math.isnan(y)]
    terms = [math.exp(-((y - z) ** 2) / divisor) * (x - w) ** 2 for (x, y), (w, z) in itertools.combinations(rows, 2)]
    assert attribute_alignment(s, a, divisor).item() == pytest.approx(np.mean(terms), rel=1e-10)


def test_between_classes_only_rows_of_the_same_class_count():
    s, classes = torch.tensor([0.0, 1.0, 5.0, 7.0]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert attribute_alignment(s, classes, SAME_CLASS_DIVISOR).item() == pytest.approx((1 + 4) / 6)


@pytest.mark.parametrize("a", [torch.tensor([math.nan] * 3), torch.tensor([1.0, math.nan, math.nan])])
def test_without_a_pair_there_is_no_loss_and_no_gradient(a):
    s = torch.ones(3).mul(torch.arange(3)).requires_grad_()
    value = attribute_alignment(s, a, 0.05)
    value.backward()
    assert value.item() == 0
    assert (s.grad == 0).all()


def test_gradients_of_attribute_alignment():
    a = normal(5, seed=1)
    a[2] = math.nan
    assert torch.autograd.gradcheck(lambda s: attribute_alignment(s, a, 0.5), (normal(5).requires_grad_(),))


def test_misfitting_shapes_are_refused():
    with pytest.raises(ValueError, match="two equal shapes"):
        attribute_alignment(torch.zeros(3, 1), torch.zeros(3), 0.05)


def by_loops(u: np.ndarray, v: np.ndarray, temperature: float) -> float:
    z = [*u, *v]

    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))) / temperature

    losses = []
    for i, anchor in enumerate(z):
        other = z[(i + len(u)) % len(z)]
        total = sum(math.exp(similarity(anchor, z[k])) for k in range(len(z)) if k != i)
        losses.append(-similarity(anchor, other) + math.log(total))
    return float(np.mean(losses))


@pytest.mark.parametrize(("rows", "temperature"), [(1, 0.5), (2, 0.5), (7, 0.1), (12, 2.0)])
def test_nt_xent_is_its_formula(rows, temperature):
    u, v = normal(rows, 4), normal(rows, 4, seed=1)
    expected = by_loops(u.numpy(), v.numpy(), temperature)
    assert nt_xent(u, v, temperature).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_lengths_of_vectors_and_order_of_views_do_not_matter():
    u, v = normal(6, 3), normal(6, 3, seed=1)
    scales = torch.linspace(0.1, 9, 6, dtype=torch.float64)[:, None]
    assert nt_xent(scales * u, v).item() == pytest.approx(nt_xent(u, v).item(), rel=1e-12)
    assert nt_xent(v, u).item() == pytest.approx(nt_xent(u, v).item(), rel=1e-12)


def test_vectors_that_all_coincide_cost_the_logarithm_of_the_others():
    assert nt_xent(torch.ones(4, 3), torch.ones(4, 3)).item() == pytest.approx(math.log(7), rel=1e-6)


def test_matched_views_cost_less_than_mismatched_ones():
    u = normal(8, 5)
    assert nt_xent(u, u) < nt_xent(u, u.roll(1, 0))


def test_gradients_of_nt_xent():
    assert torch.autograd.gradcheck(nt_xent, (normal(4, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()))


def test_autocast_does_not_lower_the_precision():
    u, v = normal(6, 3).float(), normal(6, 3, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = nt_xent(u, v)
    assert inside.dtype == torch.float32
    assert inside == nt_xent(u, v)


@pytest.mark.parametrize(("u", "v"), [((3, 2), (4, 2)), ((3,), (3,)), ((0, 2), (0, 2))])
def test_misfitting_shapes_are_refused_of_nt_xent(u, v):
    with pytest.raises(ValueError, match="two equal shapes"):
        nt_xent(torch.zeros(u), torch.zeros(v))
