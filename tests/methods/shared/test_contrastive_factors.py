"""The model's likelihood, gradient, fit and posterior against dense NumPy formulas in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from cabench.methods.shared.contrastive_factors import (
    LEAST_NOISE,
    Factors,
    Spread,
    likelihood,
    maximise,
    spectral_start,
)
from cabench.methods.shared.low_rank_gaussian import posterior

COMMON, SALIENT = 3, 2


def planted(values: int, background: int, target: int, noise: float = 0.5, seed: int = 0):
    """Background and target rows, and the loadings S and W that made them."""
    generator = np.random.default_rng(seed)
    shared, own = generator.normal(size=(values, COMMON)), generator.normal(size=(values, SALIENT))
    y = generator.normal(size=(background, COMMON)) @ shared.T
    x = generator.normal(size=(target, COMMON)) @ shared.T + generator.normal(size=(target, SALIENT)) @ own.T
    return *(rows + noise * generator.normal(size=rows.shape) for rows in (y, x)), shared, own


def posterior_means(rows: np.ndarray, loadings: np.ndarray, noise: float) -> np.ndarray:
    return posterior(
        *(torch.from_numpy(each) for each in (rows, loadings)), torch.tensor(noise, dtype=torch.float64)
    ).means.numpy()


def spread(rows: np.ndarray) -> Spread:
    centred = torch.from_numpy(rows - rows.mean(0))
    return Spread(len(rows), rows.shape[1], float(centred.square().sum(1).mean()), centred.T @ centred / len(centred))


def dense_likelihood(rows: np.ndarray, loadings: np.ndarray, noise: float) -> float:
    covariance = loadings @ loadings.T + noise * np.eye(rows.shape[1])
    return multivariate_normal(rows.mean(0), covariance).logpdf(rows).sum()


def total(background: Spread, target: Spread, factors: Factors) -> float:
    return (
        likelihood(target, factors.both, factors.noise).value
        + likelihood(background, factors.common, factors.noise).value
    )


def expectation_maximisation(y: np.ndarray, x: np.ndarray, shared, own, noise, steps: int) -> list[float]:
    """The closed-form EM of complete rows, as card F1 writes it; the likelihood before each step and at the end."""
    y, x = y - y.mean(0), x - x.mean(0)
    k, found = shared.shape[1], []
    for _ in range(steps):
        both = np.hstack([shared, own])
        found.append(dense_likelihood(x, both, noise) + dense_likelihood(y, shared, noise))
        inverse = np.linalg.inv(noise * np.eye(both.shape[1]) + both.T @ both)
        of_x = x @ both @ inverse
        g, a = len(x) * noise * inverse + of_x.T @ of_x, x.T @ of_x
        inverse = np.linalg.inv(noise * np.eye(k) + shared.T @ shared)
        of_y = y @ shared @ inverse
        g_b, a_b = len(y) * noise * inverse + of_y.T @ of_y, y.T @ of_y
        g_all, a_all = g.copy(), a.copy()
        g_all[:k, :k] += g_b
        a_all[:, :k] += a_b
        both = a_all @ np.linalg.inv(g_all)
        shared, own = both[:, :k], both[:, k:]
        of_target = (x**2).sum() - 2 * np.trace(both.T @ a) + np.trace(both.T @ both @ g)
        of_background = (y**2).sum() - 2 * np.trace(shared.T @ a_b) + np.trace(shared.T @ shared @ g_b)
        noise = (of_target + of_background) / (x.shape[1] * (len(x) + len(y)))
    return [*found, dense_likelihood(x, both, noise) + dense_likelihood(y, shared, noise)]


def test_the_likelihood_is_that_of_the_dense_normal_distribution():
    y, x, shared, own = planted(12, 40, 60)
    loadings = np.hstack([shared, own])
    for noise in (0.01, 0.3, 2.0):
        found = likelihood(spread(x), torch.from_numpy(loadings), noise).value
        assert found == pytest.approx(dense_likelihood(x, loadings, noise), rel=1e-11)
        found = likelihood(spread(y), torch.from_numpy(shared), noise).value
        assert found == pytest.approx(dense_likelihood(y, shared, noise), rel=1e-11)


def test_the_gradient_is_that_of_the_dense_formulas_and_of_differences():
    _, x, shared, own = planted(12, 40, 60)
    loadings, noise, step = np.hstack([shared, own]), 0.3, 1e-5
    found = likelihood(spread(x), torch.from_numpy(loadings), noise)
    inverse = np.linalg.inv(loadings @ loadings.T + noise * np.eye(12))
    by_covariance = -len(x) / 2 * (inverse - inverse @ np.cov(x.T, bias=True) @ inverse)
    np.testing.assert_allclose(found.loadings, 2 * by_covariance @ loadings, rtol=1e-9, atol=1e-9)
    assert found.noise == pytest.approx(np.trace(by_covariance), rel=1e-10)

    for place in [(0, 0), (5, 2), (11, 4)]:
        moved = [loadings.copy(), loadings.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        ahead, behind = (dense_likelihood(x, each, noise) for each in moved)
        assert float(found.loadings[place]) == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)
    ahead, behind = (dense_likelihood(x, loadings, noise + each) for each in (step, -step))
    assert found.noise == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)


def test_the_likelihood_counts_what_lies_outside_of_the_basis():
    """Loadings in the span of an orthonormal basis: moments in that basis, and the total power, are enough."""
    _, x, _, _ = planted(12, 40, 60)
    generator = np.random.default_rng(1)
    basis = np.linalg.qr(generator.normal(size=(12, 6)))[0]
    inside = generator.normal(size=(6, 4))
    whole = spread(x)
    within = whole._replace(covariance=torch.from_numpy(basis.T @ whole.covariance.numpy() @ basis))
    found = likelihood(within, torch.from_numpy(inside), 0.7)
    assert found.value == pytest.approx(dense_likelihood(x, basis @ inside, 0.7), rel=1e-11)


def test_the_posterior_of_the_worked_example():
    """S = (2, 0), W = (0, 3), noise 1, x - mean = (1, 2): (z, t) = (0.4, 0.6); as a background's, z = 0.4."""
    loadings, row = np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([[1.0, 2.0]])
    np.testing.assert_allclose(posterior_means(row, loadings, 1.0), [[0.4, 0.6]], rtol=1e-14)
    np.testing.assert_allclose(posterior_means(row, loadings[:, :1], 1.0), [[0.4]], rtol=1e-14)


def test_the_salient_part_of_a_row_is_the_oblique_one():
    """Card 0.4, 1: W E[t | x] = (I - Sig_b Sig_t^-1) (x - mean)."""
    _, x, shared, own = planted(12, 40, 60)
    rows, noise = x - x.mean(0), 0.3
    sig_b = shared @ shared.T + noise * np.eye(12)
    expected = rows @ (np.eye(12) - sig_b @ np.linalg.inv(sig_b + own @ own.T)).T
    means = posterior_means(rows, np.hstack([shared, own]), noise)
    np.testing.assert_allclose(means[:, COMMON:] @ own.T, expected, atol=1e-11)


def test_probabilistic_pca_is_the_maximum_of_one_population():
    """With no salient factor and no target: Tipping and Bishop's closed form."""
    y, *_ = planted(12, 400, 10)
    of_y = spread(y)
    variances, directions = np.linalg.eigh(of_y.covariance.numpy())
    noise = variances[:-COMMON].mean()
    loadings = directions[:, -COMMON:] * np.sqrt(variances[-COMMON:] - noise)
    found = likelihood(of_y, torch.from_numpy(loadings), noise)
    assert found.loadings.abs().max() < 1e-8 * len(y)
    assert abs(found.noise) < 1e-8 * len(y)
    start = spectral_start(of_y, spread(y[:10]), COMMON, SALIENT)
    assert start.noise == pytest.approx(noise)
    np.testing.assert_allclose(start.common @ start.common.T, loadings @ loadings.T, atol=1e-10)


def test_em_never_falls_and_ends_where_the_search_does():
    y, x, *_ = planted(30, 150, 200)
    background, target = spread(y), spread(x)
    generator = np.random.default_rng(3)
    first = generator.normal(size=(30, COMMON)), generator.normal(size=(30, SALIENT)), 1.0
    steps = expectation_maximisation(y, x, *first, 600)
    assert (np.diff(steps) > -1e-7).all()
    found = total(background, target, maximise(background, target, spectral_start(background, target, 3, 2), 2000))
    assert found > steps[-1] - 1e-3
    assert found - steps[-1] < 0.1  # EM has a slow tail

    starts = [
        Factors(*(torch.from_numpy(generator.normal(size=(30, size))) for size in (COMMON, SALIENT)), 1.0)
        for _ in range(5)
    ]
    ends = [total(background, target, maximise(background, target, start, 2000)) for start in starts]
    np.testing.assert_allclose(ends, found, atol=1e-4)


def test_the_search_ends_where_the_gradient_vanishes():
    y, x, *_ = planted(30, 150, 200)
    background, target = spread(y), spread(x)
    factors = maximise(background, target, spectral_start(background, target, COMMON, SALIENT), 2000)
    of_target = likelihood(target, factors.both, factors.noise)
    of_background = likelihood(background, factors.common, factors.noise)
    gradient = of_target.loadings.clone()
    gradient[:, :COMMON] += of_background.loadings
    assert gradient.abs().max() < 1e-4 * (len(x) + len(y))
    assert abs(of_target.noise + of_background.noise) < 1e-3 * (len(x) + len(y))


def test_planted_factors_are_recovered():
    y, x, shared, own = planted(30, 150, 200)
    background, target = spread(y), spread(x)
    factors = maximise(background, target, spectral_start(background, target, COMMON, SALIENT), 2000)
    for expected, found in ((shared, factors.common), (own, factors.salient)):
        bases = np.linalg.qr(expected)[0], np.linalg.qr(found.numpy())[0]
        assert np.linalg.svd(bases[0].T @ bases[1])[1].min() > 0.97
    assert factors.noise == pytest.approx(0.25, rel=0.05)


def test_noise_has_a_floor_where_few_rows_have_none():
    """Rows that the factors explain without rest: the likelihood has no bound."""
    y, x, *_ = planted(30, 40, 40, noise=0.0)
    background, target = spread(y), spread(x)
    factors = maximise(background, target, spectral_start(background, target, COMMON, SALIENT), 500)
    least = LEAST_NOISE * (background.power + target.power) / 2 / 30
    assert factors.noise == pytest.approx(least, rel=1e-6)
    assert factors.both.isfinite().all()
