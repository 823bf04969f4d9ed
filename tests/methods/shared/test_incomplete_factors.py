"""EM with missing values against dense NumPy formulas, and against the fit of complete rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from cabench.methods.shared.contrastive_factors import Factors, Spread, likelihood, maximise, spectral_start
from cabench.methods.shared.incomplete_factors import (
    Model,
    expectation_maximisation,
    expected,
    known_means,
    maximised,
)

VALUES, COMMON, SALIENT = 15, 3, 2


def planted(missing: float, seed: int = 0):
    """Background and target rows with means of their own, some values missing, and the loadings W."""
    generator = np.random.default_rng(seed)
    shared, own = generator.normal(size=(VALUES, COMMON)), generator.normal(size=(VALUES, SALIENT))
    y = generator.normal(size=(150, COMMON)) @ shared.T + generator.normal(size=VALUES)
    x = generator.normal(size=(200, COMMON)) @ shared.T + generator.normal(size=(200, SALIENT)) @ own.T
    parts = [rows + 0.5 * generator.normal(size=rows.shape) for rows in (y, x)]
    for rows in parts:
        rows[generator.random(rows.shape) < missing] = np.nan
    return [torch.from_numpy(rows) for rows in parts], own


def begin(background: torch.Tensor, target: torch.Tensor) -> Model:
    generator = torch.Generator().manual_seed(0)
    loadings = torch.randn(VALUES, COMMON + SALIENT, dtype=torch.float64, generator=generator)
    factors = Factors(loadings[:, :COMMON], loadings[:, COMMON:], 1.0)
    return Model(factors, known_means(background, target), known_means(target, background))


def dense_likelihood(rows: torch.Tensor, mean: torch.Tensor, loadings: torch.Tensor, noise: float) -> float:
    covariance = loadings.numpy() @ loadings.numpy().T + noise * np.eye(VALUES)
    found = 0.0
    for row in rows.numpy():
        seen = ~np.isnan(row)
        if seen.any():
            found += multivariate_normal(mean.numpy()[seen], covariance[np.ix_(seen, seen)]).logpdf(row[seen])
    return found


def test_the_likelihood_is_that_of_the_known_values():
    (background, target), _ = planted(0.3)
    background[0] = torch.nan
    model = begin(background, target)
    dense = dense_likelihood(target, model.target, model.factors.both, 1.0)
    dense += dense_likelihood(background, model.background, model.factors.common, 1.0)
    assert expected(background, target, model).likelihood == pytest.approx(dense, rel=1e-11)


def test_the_likelihood_never_falls():
    (background, target), _ = planted(0.3)
    model, steps = begin(background, target), []
    for _ in range(150):
        sums = expected(background, target, model)
        steps.append(sums.likelihood)
        model = maximised(sums, model, 1e-6)
    assert (np.diff(steps) > -1e-8 * abs(steps[-1])).all()
    assert steps[-1] > steps[0] + 100


def test_on_complete_rows_it_ends_where_the_search_does():
    (background, target), _ = planted(0.0)
    model = expectation_maximisation(background, target, begin(background, target), 2000)
    torch.testing.assert_close(model.background, background.mean(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(model.target, target.mean(0), atol=1e-3, rtol=0)
    spreads = []
    for rows in (background, target):
        centred = rows - rows.mean(0)
        power = float(centred.square().sum(1).mean())
        spreads.append(Spread(len(rows), VALUES, power, centred.T @ centred / len(rows)))
    factors = maximise(*spreads, spectral_start(*spreads, COMMON, SALIENT), 2000)
    best = (
        likelihood(spreads[1], factors.both, factors.noise).value
        + likelihood(spreads[0], factors.common, factors.noise).value
    )
    assert best - 0.1 < expected(background, target, model).likelihood < best + 1e-3


def test_planted_loadings_are_recovered():
    (background, target), own = planted(0.2)
    model = expectation_maximisation(background, target, begin(background, target), 2000)
    bases = np.linalg.qr(own)[0], np.linalg.qr(model.factors.salient.numpy())[0]
    assert np.linalg.svd(bases[0].T @ bases[1])[1].min() > 0.97
    assert model.factors.noise == pytest.approx(0.25, rel=0.1)


def test_a_mean_that_no_row_tells_of_is_the_other_population_s():
    (background, target), _ = planted(0.1)
    background[:, 3] = torch.nan
    target[:, 5] = torch.nan
    start = begin(background, target)
    assert start.background[3] == start.target[3] == target[:, 3].nanmean()
    model = expectation_maximisation(background, target, start, 50)
    assert model.background[3] == model.target[3]
    assert model.target[5] == model.background[5]
    assert not model.factors.salient[5].any()
    assert torch.cat([model.background, model.target, model.factors.both.flatten()]).isfinite().all()


def test_rows_in_pieces_are_the_same_as_in_one(monkeypatch):
    (background, target), _ = planted(0.2)
    model = begin(background, target)
    whole = expected(background, target, model)
    monkeypatch.setattr("cabench.methods.shared.incomplete_factors.ROWS", 64)
    pieces = expected(background, target, model)
    assert pieces.likelihood == pytest.approx(whole.likelihood, rel=1e-12)
    assert pieces.known == whole.known
    torch.testing.assert_close(pieces.moments, whole.moments)
    torch.testing.assert_close(pieces.products, whole.products)
