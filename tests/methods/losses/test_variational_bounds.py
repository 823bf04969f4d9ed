"""The Gaussian likelihood and the three bounds made of it: against loops, and against known mutual information."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cabench.methods.losses.variational_bounds import log_likelihood, pairwise_log_likelihood, vclub, vl1out, vub

BOUNDS = (vclub, vl1out, vub)


def parts(rows: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Means, log-variances and vectors."""
    return torch.randn(3, rows, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).unbind()


def density(x: np.ndarray, mean: np.ndarray, log_variance: np.ndarray) -> float:
    total = 0.0
    for value, m, lv in zip(x, mean, log_variance, strict=True):
        total += -0.5 * ((value - m) ** 2 / math.exp(lv) + lv + math.log(2 * math.pi))
    return total


def matrix(mean: Tensor, log_variance: Tensor, x: Tensor) -> np.ndarray:
    """Entry ij: log-density of row j under the prediction of row i."""
    m, lv, s = mean.numpy(), log_variance.numpy(), x.numpy()
    return np.array([[density(s[j], m[i], lv[i]) for j in range(len(s))] for i in range(len(s))])


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (5, 3), (8, 16)])
def test_likelihoods_are_their_formula(rows, size):
    tensors = parts(rows, size)
    expected = matrix(*tensors)
    np.testing.assert_allclose(pairwise_log_likelihood(*tensors).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(log_likelihood(*tensors).numpy(), expected.diagonal(), rtol=1e-12)


@pytest.mark.parametrize(("rows", "size"), [(2, 1), (6, 3), (9, 8)])
def test_bounds_are_their_formulas(rows, size):
    tensors = parts(rows, size)
    m = matrix(*tensors)
    own = [m[i, i] for i in range(rows)]
    assert vclub(*tensors).item() == pytest.approx(np.mean(own) - np.mean(m), rel=1e-10)
    others = [math.log(sum(math.exp(m[j, i]) for j in range(rows) if j != i) / (rows - 1)) for i in range(rows)]
    assert vl1out(*tensors).item() == pytest.approx(np.mean(own) - np.mean(others), rel=1e-10)
    x = tensors[2].numpy()
    marginal = [density(row, np.zeros(size), np.zeros(size)) for row in x]
    assert vub(*tensors).item() == pytest.approx(np.mean(own) - np.mean(marginal), rel=1e-10)


@pytest.mark.parametrize("bound", [vclub, vl1out])
def test_a_prediction_that_ignores_c_carries_no_information(bound):
    mean, log_variance, x = parts(7, 3)
    same = (part[:1].expand(7, 3) for part in (mean, log_variance))
    assert bound(*same, x).item() == pytest.approx(0, abs=1e-12)


def test_predicting_the_marginal_carries_no_information_in_vub():
    x = parts(7, 3)[2]
    assert vub(torch.zeros_like(x), torch.zeros_like(x), x).item() == 0


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds_lie_above_the_information_under_the_true_conditional(bound, correlation):
    c, noise = torch.randn(2, 4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    variance = torch.tensor(1 - correlation**2)
    s = correlation * c + variance.sqrt() * noise
    information = -0.5 * math.log(variance)
    found = bound(correlation * c, variance.log().expand_as(c), s).item()
    assert found > information - 0.05
    if bound is not vclub:  # vCLUB is loose for strong dependence: here 8 against 0.8 nats
        assert found < information + 0.1


@pytest.mark.parametrize("bound", BOUNDS)
def test_gradients(bound):
    assert torch.autograd.gradcheck(bound, tuple(part.requires_grad_() for part in parts(4, 2)))


@pytest.mark.parametrize("bound", BOUNDS)
def test_half_precision_is_computed_in_float32(bound):
    half = [part.bfloat16() for part in parts(4, 2)]
    assert bound(*half).dtype == torch.float32
    assert bound(*half) == bound(*(part.float() for part in half))


@pytest.mark.parametrize("bound", BOUNDS)
def test_misfitting_shapes_are_refused(bound):
    with pytest.raises(ValueError, match=r"need one shape \(n, d\) with n >= 1"):
        bound(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="need one shape"):
        bound(*torch.zeros(3, 0, 2))


def test_leaving_one_out_needs_two():
    with pytest.raises(ValueError, match="at least two rows"):
        vl1out(*torch.zeros(3, 1, 2))


def test_far_rows_do_not_overflow():
    mean, log_variance, x = parts(5, 3)
    assert vl1out(1e4 * mean, log_variance, x).isfinite()
