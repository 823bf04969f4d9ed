"""The contrastive Poisson latent variable model: its steps against NumPy, that they climb, and planted counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import gammaln

from cabench.config import ConfigError
from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.errors import UserError
from cabench.experiment.request import check_method
from cabench.methods.cplvm import CPLVM, CPLVMConfig, Factors, Rows, em_step, with_features
from cabench.pictures.generation import reconstruct, remove_salient, swap

FEATURES, ROWS = 60, 300


def table(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    info = replace(load_subject("pca").data.info, image_shape=background.shape[1:], are_counts=True)
    return ContrastiveDataset(info, *parts)


def fitted(data: ContrastiveDataset, **fields: object) -> CPLVM:
    method = CPLVM(CPLVMConfig(**fields))
    method.fit(data, context())
    return method


@pytest.fixture(scope="module")
def planted() -> dict[str, np.ndarray]:
    """Counts (n, p) of three shared factors and two of the target, with rows of many sizes, and what made them."""
    generator = np.random.default_rng(0)
    shared, own = (4 * generator.gamma(0.5, 1, (FEATURES, count)) for count in (3, 2))
    z_b, z, t = (generator.gamma(1, 1, (ROWS, count)) for count in (3, 3, 2))
    sizes = generator.lognormal(0, 0.5, (2, ROWS, 1))
    background = generator.poisson(sizes[0] * (z_b @ shared.T))
    target = generator.poisson(sizes[1] * (z @ shared.T + t @ own.T))
    return {"background": background, "target": target, "shared": shared, "own": own, "z": z, "t": t}


def state(background: np.ndarray, target: np.ndarray, k: int = 3, q: int = 2) -> tuple[Rows, Rows, Factors]:
    """Both populations with their size factors, and a start."""
    mean = np.concatenate([background, target]).sum(1).mean()
    populations = (
        Rows(*map(torch.from_numpy, (rows.astype(np.float32), rows.sum(1) / mean, rows.sum(0).astype(float))))
        for rows in (background, target)
    )
    generator = np.random.default_rng(1)
    shapes = ((FEATURES, k), (FEATURES, q), (len(background), k), (len(target), k + q))
    drawn = (torch.from_numpy(generator.gamma(1, 1, shape)) for shape in shapes)
    return *populations, Factors(*drawn, torch.from_numpy(generator.lognormal(0, 0.3, FEATURES)))


def cosines(found: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """Of each planted factor, with the most similar one found."""
    one, other = (factors / np.linalg.norm(factors, axis=0) for factors in (found, planted))
    return (other.T @ one).max(1)


def r2(vectors: torch.Tensor, values: np.ndarray) -> float:
    """How much of some values (n, k) a linear map of vectors (n, d) explains."""
    inputs = np.c_[np.ones(len(values)), vectors.double().numpy()]
    left = values - inputs @ np.linalg.lstsq(inputs, values, rcond=None)[0]
    return float(1 - left.var() / (values - values.mean(0)).var())


# Steps


def numpy_step(y, x, l_y, l_x, s, w, z, u, d):
    """One step with data (p, rows) and codes (k, rows), from the formulas."""
    q = y / (s @ z)
    z = z * (s.T @ q) / (1 + l_y * (s.T @ d)[:, None])
    both = np.hstack([s, w])
    q = x / (both @ u)
    u = u * (both.T @ q) / (1 + l_x * both.sum(0)[:, None])
    q_y, q_x = y / (s @ z), x / (both @ u)
    own_z, t = u[: s.shape[1]], u[s.shape[1] :]
    down = 1 + d[:, None] * (l_y * z).sum(1) + (l_x * own_z).sum(1)
    s, w = s * (q_y @ z.T + q_x @ own_z.T) / down, w * (q_x @ t.T) / (1 + (l_x * t).sum(1))
    return s, w, z, u, y.sum(1) / (s @ (l_y * z).sum(1))


def log_posterior(y, x, l_y, l_x, s, w, z, u, d):
    """Of Poisson counts and Gamma(1, 1) priors, with every constant."""
    rates = (d[:, None] * (s @ z) * l_y, np.hstack([s, w]) @ u * l_x)
    likelihood = sum((v * np.log(r) - r - gammaln(v + 1)).sum() for v, r in zip((y, x), rates, strict=True))
    return likelihood - sum(values.sum() for values in (s, w, z, u))


def test_steps_and_their_posterior_equal_those_of_numpy(planted):
    background, target, factors = state(planted["background"], planted["target"])
    y, x = (planted[name].T.astype(float) for name in ("background", "target"))
    sizes = [population.sizes.numpy() for population in (background, target)]
    s, w, d = (values.numpy() for values in (factors.shared, factors.own, factors.features))
    z, u = factors.background.numpy().T, factors.target.numpy().T
    reached, expected = [], []
    for _ in range(6):
        expected.append(log_posterior(y, x, *sizes, s, w, z, u, d))
        factors, value = em_step(background, target, factors)
        factors = with_features(background, factors)
        reached.append(value)
        s, w, z, u, d = numpy_step(y, x, *sizes, s, w, z, u, d)
    for found, wanted in zip(factors, (s, w, z.T, u.T, d), strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-8)
    np.testing.assert_allclose(np.array(reached) - reached[0], np.array(expected) - expected[0], rtol=1e-8, atol=1e-4)


@pytest.mark.parametrize("learned", [False, True])
def test_no_step_lowers_the_posterior(planted, learned):
    background, target, factors = state(planted["background"], planted["target"])
    reached = []
    for _ in range(200):
        factors, value = em_step(background, target, factors)
        reached.append(value)
        if learned:
            factors = with_features(background, factors)
    assert np.diff(reached).min() > 0


def test_the_posterior_of_the_fit_is_that_of_the_best_start(planted):
    data = table(planted["background"], planted["target"])

    def posterior(restarts: int) -> float:
        method = fitted(data, d_common=3, d_salient=2, steps=30, restarts=restarts)
        populations = [method._rows(part.images) for part in (data.background, data.target)]
        codes = [torch.ones(ROWS, count, dtype=torch.float64) for count in (3, 5)]
        factors = Factors(method.shared, method.own, *codes, method.features)
        for _ in range(300):
            moved, value = em_step(*populations, factors)
            factors = factors._replace(background=moved.background, target=moved.target)
        return value

    assert posterior(4) > posterior(1)


def test_entries_shrink_to_nothing_where_a_feature_never_counts(planted):
    background, target = (np.hstack([planted[name], np.zeros((ROWS, 1))]) for name in ("background", "target"))
    method = fitted(table(background, target), d_common=3, d_salient=2, restarts=1)
    assert (method.shared[-1] == 0).all()
    assert (method.own[-1] == 0).all()
    assert all(space.isfinite().all() for space in method.encode(torch.from_numpy(target).float()))


# Recovery


@pytest.mark.parametrize("feature_factors", ["none", "learned"])
def test_planted_factors_are_found(planted, feature_factors):
    data = table(planted["background"], planted["target"])
    method = fitted(data, d_common=3, d_salient=2, restarts=2, feature_factors=feature_factors)
    assert cosines(method.shared.numpy(), planted["shared"]).min() > 0.99
    assert cosines(method.own.numpy(), planted["own"]).min() > 0.98
    common, salient = method.encode(data.target.images)
    of_background = method.encode(data.background.images).salient
    assert of_background.mean() < 0.1 * salient.mean()
    assert r2(salient, np.log1p(planted["t"])) > 0.65 > 0.3 > r2(common, np.log1p(planted["t"]))
    assert r2(common, np.log1p(planted["z"])) > 0.65 > 0.2 > r2(salient, np.log1p(planted["z"]))


def test_without_size_factors_codes_hold_amounts(planted):
    """A row's total tells of t as well: shares of it hold both codes, amounts do not."""
    generator = np.random.default_rng(2)
    target = generator.poisson(planted["z"] @ planted["shared"].T + planted["t"] @ planted["own"].T)
    data = table(planted["background"], target)
    method = fitted(data, d_common=3, d_salient=2, restarts=2, size_factors="none")
    common, salient = method.encode(data.target.images)
    assert r2(salient, np.log1p(planted["t"])) > 0.9 > 0.1 > r2(common, np.log1p(planted["t"]))


def test_learned_feature_factors_are_those_of_the_background(planted):
    generator = np.random.default_rng(3)
    factors = generator.lognormal(0, 0.7, FEATURES)
    z = generator.gamma(1, 1, (ROWS, 3))
    background = generator.poisson(2 * factors * (z @ planted["shared"].T))
    method = fitted(
        table(background, planted["target"]), d_common=3, d_salient=2, restarts=2, feature_factors="learned"
    )
    assert np.corrcoef(np.log(method.features.numpy()), np.log(factors))[0, 1] > 0.9


# Encoding


def test_codes_of_a_row_solve_its_own_problem(planted):
    data = table(planted["background"], planted["target"])
    method = fitted(data, d_common=3, d_salient=2, restarts=1, encoding_steps=3000)
    rows = data.target.images[:20]
    parts = torch.cat([method.shared, method.own], dim=1).numpy()
    codes = np.expm1(torch.cat([*method.encode(rows)], dim=1).double().numpy()) / parts.mean(0)
    counts = rows.double().numpy()
    sizes = counts.sum(1) / np.concatenate([planted["background"], planted["target"]]).sum(1).mean()
    gradient = (counts / (codes @ parts.T)) @ parts - 1 - np.outer(sizes, parts.sum(0))
    assert np.abs(codes * gradient).max() < 0.01 * counts.sum(1).mean()


@pytest.mark.parametrize("size_factors", ["totals", "none"])
def test_empty_rows_teach_nothing_and_have_empty_codes(planted, size_factors):
    fields = {"d_common": 3, "d_salient": 2, "steps": 50, "restarts": 1, "size_factors": size_factors}
    # As the last rows they leave the start of the others as it is.
    with_empty = np.concatenate([planted["target"], np.zeros((20, FEATURES))])
    method, other = (
        fitted(table(planted["background"], target), **fields) for target in (with_empty, planted["target"])
    )
    torch.testing.assert_close(method.state_dict(), other.state_dict())
    for space in method.encode(torch.zeros(2, FEATURES)):
        assert (space == 0).all()


# Decoding


def codes_of(method: CPLVM, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """z and t of rows, on the scale of the learned S and W."""
    spaces, loadings = method.encode(images), (method.shared, method.own)
    return tuple(np.expm1(v.double().numpy()) / w.numpy().mean(0) for v, w in zip(spaces, loadings, strict=True))


def test_decoded_are_the_rates_of_a_row_of_mean_size(planted):
    data = table(planted["background"], planted["target"])
    method = fitted(data, d_common=3, d_salient=2, restarts=1, encoding_steps=2000)
    background, target = data.background.images[:40], data.target.images[:40]
    (z, t), (z_of_background, _) = codes_of(method, target), codes_of(method, background)
    of_background, shared = (codes @ method.shared.numpy().T for codes in (z_of_background, z))
    own = t @ method.own.numpy().T
    decoded = reconstruct(method, target).numpy()
    np.testing.assert_allclose(decoded, shared + own, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(remove_salient(method, target).numpy(), shared, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(swap(method, background, target).numpy(), of_background + own, rtol=1e-4, atol=1e-4)
    # At the mode a row's rates sum to its total less that of its codes.
    totals = target.sum(1).numpy()
    expected = totals - z.sum(1) - t.sum(1)
    np.testing.assert_allclose(decoded.sum(1) * totals / method.mean_total.item(), expected, rtol=1e-3)


def test_images_are_decoded_as_images_also_after_loading():
    generator = np.random.default_rng(0)
    shapes = generator.random((2, 1, 3, 5))
    images = (255 * shapes[[0] * 30] * generator.random((30, 1, 1, 1)), 255 * shapes[[0, 1] * 15])
    parts = (Population(torch.from_numpy(rows.astype(np.uint8)), {}) for rows in images)
    data = ContrastiveDataset(replace(load_subject("pca").data.info, image_shape=(1, 3, 5)), *parts)
    method = fitted(data, d_common=2, d_salient=2, restarts=2, size_factors="none")
    loaded = CPLVM(method.config)
    loaded.load_state_dict(method.state_dict())
    rows = data.target.images.float() / 255
    decoded = reconstruct(loaded, rows)
    assert torch.equal(decoded, reconstruct(method, rows))
    assert decoded.shape == rows.shape
    assert 0 <= decoded.min() <= decoded.max() <= 1
    assert (decoded - rows).abs().mean() < 0.1


# Refusals


def test_negative_values_and_nothing_at_all_are_refused(planted, planted_table):
    with pytest.raises(UserError, match="cplvm takes values from 0 up, but a background row of planted holds -1;"):
        fitted(table(planted["background"] - 1, planted["target"]))
    nothing = np.zeros((10, 4))
    with pytest.raises(UserError, match="cplvm learns from values above 0, but all target rows of planted are 0"):
        fitted(table(nothing + 1, nothing))
    with pytest.raises(
        UserError, match="cplvm takes images, tables without negative values and counts, but planted_table"
    ):
        check_method(CPLVM(), planted_table.info)


@pytest.mark.parametrize(
    "wrong",
    [
        {"d_common": 0},
        {"d_salient": 0},
        {"size_factors": "mean"},
        {"feature_factors": "yes"},
        {"steps": 0},
        {"tolerance": -1.0},
        {"restarts": 0},
        {"encoding_steps": 0},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"cplvm.{next(iter(wrong))}"):
        CPLVMConfig(**wrong)
