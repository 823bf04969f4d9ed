"""A low-rank Gaussian against dense NumPy formulas in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from cabench.methods.shared.low_rank_gaussian import LowRankGaussian, log_likelihood, orthogonal, posterior

SIZE, NOISE = 12, 0.3


@pytest.fixture(scope="module")
def loadings() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(SIZE, 5))


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Sixty rows of which three tenths of the values are unknown, and one row wholly."""
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(60, SIZE))
    rows[generator.random(rows.shape) < 0.3] = np.nan
    rows[0] = np.nan
    return rows


def test_the_posterior_rests_on_known_values(loadings, rows):
    found = posterior(torch.from_numpy(rows), torch.from_numpy(loadings), torch.tensor(NOISE, dtype=torch.float64))
    variances = NOISE * torch.cholesky_inverse(found.lower)
    for row, means, variance in zip(rows, found.means, variances, strict=True):
        seen = loadings[~np.isnan(row)]
        covariance = seen @ seen.T + NOISE * np.eye(len(seen))
        gain = np.linalg.solve(covariance, seen).T
        np.testing.assert_allclose(means, gain @ row[~np.isnan(row)], atol=1e-11)
        np.testing.assert_allclose(variance, np.eye(5) - gain @ seen, atol=1e-11)
    assert not found.means[0].any()


def test_rows_that_are_all_known_share_one_matrix(loadings):
    rows = torch.from_numpy(np.random.default_rng(2).normal(size=(7, SIZE)))
    holed = torch.cat([rows, torch.full_like(rows[:1], torch.nan)])
    whole, beside = (
        posterior(each, torch.from_numpy(loadings), torch.tensor(NOISE, dtype=torch.float64)) for each in (rows, holed)
    )
    assert whole.lower.shape == (1, 5, 5)
    torch.testing.assert_close(whole.means, beside.means[:-1], rtol=1e-12, atol=1e-12)


def test_the_likelihood_is_the_density_of_known_values(loadings, rows):
    covariance = loadings @ loadings.T + NOISE * np.eye(SIZE)
    found = log_likelihood(torch.from_numpy(rows), torch.from_numpy(loadings), torch.tensor(NOISE, dtype=torch.float64))
    assert found[0] == pytest.approx(0.0, abs=1e-12)
    for row, value in zip(rows[1:], found[1:], strict=True):
        known = ~np.isnan(row)
        density = multivariate_normal(np.zeros(known.sum()), covariance[np.ix_(known, known)]).logpdf(row[known])
        assert value.item() == pytest.approx(density, rel=1e-11)


def test_rows_in_parts_are_the_same_as_in_one(loadings, rows, monkeypatch):
    model = LowRankGaussian(
        torch.zeros(SIZE).double(), *orthogonal(torch.from_numpy(loadings)), torch.tensor(NOISE, dtype=torch.float64)
    )
    whole = model.filled(torch.from_numpy(rows)), model.log_likelihood(torch.from_numpy(rows))
    monkeypatch.setattr("cabench.methods.shared.low_rank_gaussian.ROWS", 7)
    parts = model.filled(torch.from_numpy(rows)), model.log_likelihood(torch.from_numpy(rows))
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)


def test_orthogonal_loadings_are_the_same_up_to_a_rotation(loadings):
    directions, lengths = orthogonal(torch.from_numpy(loadings))
    found = (directions * lengths).numpy()
    np.testing.assert_allclose(found @ found.T, loadings @ loadings.T, atol=1e-12)
    np.testing.assert_allclose(directions.T @ directions, np.eye(5), atol=1e-12)
    assert (lengths.diff() < 0).all()
    assert (directions.gather(0, directions.abs().argmax(0, keepdim=True)) > 0).all()
