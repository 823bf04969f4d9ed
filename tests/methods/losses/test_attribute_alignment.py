"""Alignment along an attribute: against loops, and its limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from cabench.methods.losses.attribute_alignment import SAME_CLASS_DIVISOR, attribute_alignment


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("divisor", [0.05, 2.0])
@pytest.mark.parametrize("undefined", [[], [0, 3]])
def test_it_is_its_formula_over_pairs_of_defined_rows(divisor, undefined):
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


def test_gradients():
    a = normal(5, seed=1)
    a[2] = math.nan
    assert torch.autograd.gradcheck(lambda s: attribute_alignment(s, a, 0.5), (normal(5).requires_grad_(),))


def test_misfitting_shapes_are_refused():
    with pytest.raises(ValueError, match="two equal shapes"):
        attribute_alignment(torch.zeros(3, 1), torch.zeros(3), 0.05)
