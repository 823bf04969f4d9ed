"""Double InfoGAN's terms against the released formulas with their 1e-8, and where those would saturate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cabench.methods.losses.infogan import absolute_error, affirmed, denied, shared_dimension

EPS = 1e-8  # what the released code adds inside its logarithms


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("term", "is_positive"),
    [(affirmed, True), (denied, False)],
)
def test_verdicts_are_their_formula(term, is_positive):
    logits = 2 * normal(9)
    values = []
    for logit in logits.tolist():
        p = 1 / (1 + math.exp(-logit))
        values.append(-math.log((p if is_positive else 1 - p) + EPS))
    assert term(logits).item() == pytest.approx(np.mean(values), rel=1e-6)


@pytest.mark.parametrize("term", [affirmed, denied])
def test_verdicts_stay_finite_and_keep_a_gradient(term):
    logits = torch.tensor([300.0, -300.0], requires_grad=True)
    value = term(logits)
    value.backward()
    assert value.item() == 150
    assert logits.grad.abs().max() == 0.5


@pytest.mark.parametrize("shape", [(4, 3), (2, 1, 4, 4)])
def test_absolute_error_is_the_mean_over_all_entries(shape):
    x, y = normal(*shape), normal(*shape, seed=1)
    expected = np.mean([abs(a - b) for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)])
    assert absolute_error(x, y).item() == pytest.approx(expected, rel=1e-12)


def test_absolute_error_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match="two equal shapes"):
        absolute_error(torch.zeros(4, 3), torch.zeros(3))


def test_shared_dimension_is_its_formula():
    logits, dimension = normal(5, 4), torch.tensor([0, 3, 1, 2, 3])
    expected = np.mean(
        [
            math.log(sum(math.exp(v) for v in row)) - row[k]
            for row, k in zip(logits.tolist(), dimension.tolist(), strict=True)
        ]
    )
    assert shared_dimension(logits, dimension).item() == pytest.approx(expected, rel=1e-12)
    assert shared_dimension(torch.zeros(3, 8), torch.zeros(3, dtype=torch.long)).item() == pytest.approx(math.log(8))


def test_half_precision_is_computed_in_float32():
    x = normal(5).bfloat16()
    for term in (affirmed, denied):
        assert term(x).dtype == torch.float32
    assert absolute_error(x, 0 * x).dtype == torch.float32
    assert shared_dimension(x[None], torch.tensor([1])).dtype == torch.float32
