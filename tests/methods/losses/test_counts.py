"""Log-likelihoods of counts against their formulas in NumPy, the values of card F6, and what follows from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from cabench.methods.losses.counts import (
    negative_binomial,
    squared_wasserstein_to_zero,
    zero_inflated_negative_binomial,
)

MU, THETA, LOGIT = 3.0, 0.7, -0.4  # card F6


def drawn(rows: int, genes: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """Counts with zeros, rates, dispersions of genes, and logits."""
    generator = np.random.default_rng(rows)
    rates, dispersions = generator.gamma(1, 5, (rows, genes)), np.exp(generator.normal(size=genes))
    counts = generator.poisson(rates) * (generator.random((rows, genes)) < 0.7)
    arrays = counts, rates, dispersions, 2 * generator.normal(size=(rows, genes))
    return tuple(torch.from_numpy(array).to(dtype) for array in arrays)


def nb_by_loops(counts: np.ndarray, rates: np.ndarray, dispersions: np.ndarray) -> np.ndarray:
    found = np.empty(counts.shape)
    for row, gene in np.ndindex(counts.shape):
        x, mu, theta = counts[row, gene], rates[row, gene], dispersions[gene]
        found[row, gene] = (
            theta * math.log(theta / (theta + mu))
            + x * math.log(mu / (theta + mu))
            + math.lgamma(x + theta)
            - math.lgamma(theta)
            - math.lgamma(x + 1)
        )
    return found


def zinb_by_loops(counts: np.ndarray, rates: np.ndarray, dispersions: np.ndarray, logits: np.ndarray) -> np.ndarray:
    lost = 1 / (1 + np.exp(-logits))
    kept = (1 - lost) * np.exp(nb_by_loops(counts, rates, dispersions))
    return np.log(np.where(counts == 0, lost + kept, kept))


def of_card(counts: torch.Tensor) -> torch.Tensor:
    rate, dispersion, logit = (torch.full_like(counts, value) for value in (MU, THETA, LOGIT))
    return zero_inflated_negative_binomial(counts, rate, dispersion, logit)


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (40, 25)], ids=str)
def test_both_likelihoods_are_their_formulas(shape: tuple[int, int]) -> None:
    counts, rates, dispersions, logits = drawn(*shape)
    arrays = [tensor.numpy() for tensor in (counts, rates, dispersions, logits)]
    np.testing.assert_allclose(negative_binomial(counts, rates, dispersions), nb_by_loops(*arrays[:3]), atol=1e-6)
    found = zero_inflated_negative_binomial(counts, rates, dispersions, logits)
    np.testing.assert_allclose(found, zinb_by_loops(*arrays), atol=1e-6)


def test_the_values_of_the_card() -> None:
    found = of_card(torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64))
    np.testing.assert_allclose(found, [-0.53109, -2.24492, -3.49151], atol=5e-6)


def test_probabilities_sum_to_one_and_their_mean_is_that_of_the_card() -> None:
    counts = torch.arange(2000, dtype=torch.float64)
    probabilities = of_card(counts).exp()
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-7)
    mean = (counts * probabilities).sum().item()
    assert mean == pytest.approx(1.79606, abs=5e-6)
    assert mean == pytest.approx(MU / (1 + math.exp(LOGIT)), abs=1e-6)


def test_the_negative_binomial_has_its_variance_and_is_that_of_scipy() -> None:
    counts = torch.arange(3000, dtype=torch.float64)
    found = negative_binomial(counts, torch.full_like(counts, MU), torch.full_like(counts, THETA))
    np.testing.assert_allclose(found, stats.nbinom.logpmf(counts.numpy(), THETA, THETA / (THETA + MU)), atol=1e-4)
    probabilities = found.exp()
    mean = (counts * probabilities).sum()
    variance = ((counts - mean).square() * probabilities).sum()
    assert mean.item() == pytest.approx(MU, abs=1e-5)
    assert variance.item() == pytest.approx(MU + MU**2 / THETA, abs=1e-4)


def test_without_lost_counts_it_is_the_negative_binomial() -> None:
    counts, rates, dispersions, logits = drawn(20, 6)
    found = zero_inflated_negative_binomial(counts, rates, dispersions, torch.full_like(logits, -60.0))
    np.testing.assert_allclose(found, negative_binomial(counts, rates, dispersions), atol=1e-8)


def test_a_large_dispersion_makes_it_poisson() -> None:
    counts, rates, _, _ = drawn(20, 6)
    found = negative_binomial(counts, rates, torch.full((6,), 1e7, dtype=torch.float64))
    np.testing.assert_allclose(found, stats.poisson.logpmf(counts.numpy(), rates.numpy()), atol=1e-3)


@pytest.mark.parametrize(("count", "theta"), [(1e4, 1e8), (1e5, 1e4), (3.0, 1e9)])
def test_float32_keeps_the_value_where_dispersions_are_large(count: float, theta: float) -> None:
    given = torch.full((1, 1), count)
    found = negative_binomial(given, given, torch.full((1,), theta)).item()
    assert found == pytest.approx(stats.nbinom.logpmf(count, theta, theta / (theta + count)), abs=2e-3)


def test_gradients() -> None:
    counts, rates, dispersions, logits = drawn(4, 3)
    variables = [tensor.requires_grad_() for tensor in (rates, dispersions, logits)]
    assert torch.autograd.gradcheck(lambda *given: zero_inflated_negative_binomial(counts, *given), variables)
    assert torch.autograd.gradcheck(lambda *given: negative_binomial(counts, *given), variables[:2])


def test_extreme_values_stay_finite_with_their_gradients() -> None:
    counts = torch.tensor([[0.0, 0.0, 3.0, 50_000.0]])
    rates = torch.tensor([[0.0, 1e6, 0.0, 1e6]], requires_grad=True)
    logits = torch.tensor([[-80.0, 80.0, 80.0, -80.0]], requires_grad=True)
    found = zero_inflated_negative_binomial(counts, rates, torch.full((4,), 1e-3), logits)
    found.sum().backward()
    assert all(tensor.isfinite().all() for tensor in (found, rates.grad, logits.grad))


def test_float32_and_autocast_give_float32_close_to_float64() -> None:
    given = drawn(30, 8, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = zero_inflated_negative_binomial(*given)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, zero_inflated_negative_binomial(*drawn(30, 8)), atol=1e-3)


def test_the_distance_to_zero_is_the_mean_squared_length_of_samples() -> None:
    generator = np.random.default_rng(0)
    mean, log_variance = generator.normal(size=(5, 3)), generator.normal(size=(5, 3))
    found = squared_wasserstein_to_zero(torch.from_numpy(mean), torch.from_numpy(log_variance)).item()
    assert found == pytest.approx((mean**2).sum() + np.exp(log_variance).sum(), rel=1e-12)
    # Every sample moves to the one point 0, whatever the plan.
    samples = mean + np.exp(log_variance / 2) * generator.normal(size=(40_000, 5, 3))
    assert found == pytest.approx((samples**2).sum((1, 2)).mean(), rel=0.02)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Counts \(2, 3\) and rates \(2, 4\) must have equal shapes"):
        negative_binomial(torch.zeros(2, 3), torch.ones(2, 4), torch.ones(3))
    with pytest.raises(ValueError, match=r"Means \(2, 3\) and variances \(2, 1\)"):
        squared_wasserstein_to_zero(torch.zeros(2, 3), torch.ones(2, 1))
