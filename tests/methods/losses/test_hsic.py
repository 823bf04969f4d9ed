"""HSIC against its formula, as a maximum mean discrepancy, and its properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cabench.methods.losses.hsic import hsic


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


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


def test_gradients():
    c, s = normal(5, 2).requires_grad_(), normal(5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(hsic, (c, s))


def test_half_precision_is_computed_in_float32():
    c, s = normal(5, 2).bfloat16(), normal(5, 3, seed=1).bfloat16()
    assert hsic(c, s).dtype == torch.float32
    assert hsic(c, s) == hsic(c.float(), s.float())


@pytest.mark.parametrize(("c", "s"), [((3, 2), (4, 2)), ((3,), (3, 2)), ((0, 2), (0, 2))])
def test_misfitting_shapes_are_refused(c, s):
    with pytest.raises(ValueError, match=r"hsic needs shapes \(n, d_c\) and \(n, d_s\)"):
        hsic(torch.zeros(c), torch.zeros(s))
