"""The additive projector: the identities of its algebra in NumPy, and planted parts that it gives back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA

from cabench.config import ConfigError
from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population, as_float
from cabench.errors import UserError
from cabench.method import Representation
from cabench.methods.additive_linear import AdditiveLinear, AdditiveLinearConfig
from cabench.methods.ratio_pca import RatioPCA, RatioPCAConfig
from cabench.pictures.generation import reconstruct, remove_salient, swap
from cabench.saving import load_method, save_method

FEATURES = 20


def dataset(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    info = dataclasses.replace(load_subject("pca").data.info, image_shape=target.shape[1:])
    return ContrastiveDataset(info, *parts)


def rows_with(covariance: np.ndarray, rows: int = 300, seed: int = 0) -> np.ndarray:
    """Rows whose sample covariance (divisor n) is exactly the one given, and whose mean is 0."""
    drawn = np.random.default_rng(seed).normal(size=(rows, len(covariance)))
    drawn -= drawn.mean(0)
    root = np.linalg.cholesky(covariance)
    return np.linalg.qr(drawn)[0] * np.sqrt(rows) @ root.T


def fitted(data: ContrastiveDataset, **fields: object) -> AdditiveLinear:
    method = AdditiveLinear(AdditiveLinearConfig(**fields))
    method.fit(data, context())
    return method


def salient_part(method: AdditiveLinear, rows: torch.Tensor) -> np.ndarray:
    """What the salient vectors of some rows stand for, as rows."""
    salient = method.encode(rows).salient
    none = torch.zeros(len(rows), method.common_parts.shape[1])
    with_part, without = (
        method.decode(Representation(none, vectors)) for vectors in (salient, torch.zeros_like(salient))
    )
    return (with_part - without).double().numpy()


def explained(found: np.ndarray, true: np.ndarray) -> float:
    """The share of the variance of the true rows that the found ones explain."""
    errors, true = found - true, true - true.mean(0)
    return float(1 - (errors - errors.mean(0)).var() / true.var())


@pytest.fixture(scope="module")
def model() -> dict[str, np.ndarray]:
    """A contrastive latent variable model: 3 common and 2 salient latents behind 12 features, and noise."""
    generator = np.random.default_rng(0)
    common, salient = generator.normal(size=(12, 3)), generator.normal(size=(12, 2))
    noise = 0.3
    c_background = common @ common.T + noise * np.eye(12)
    return {
        "common": common,
        "salient": salient,
        "loadings": np.hstack([common, salient]),
        "noise": np.array(noise),
        "background": c_background,
        "target": c_background + salient @ salient.T,
    }


def posterior(model: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """E[t | x] of the latents of target rows, by the model's formula; salient ones last."""
    loadings = model["loadings"]
    precision = model["noise"] * np.eye(5) + loadings.T @ loadings
    return rows @ loadings @ np.linalg.inv(precision)


def test_the_salient_part_is_the_one_that_a_contrastive_latent_variable_model_expects(model):
    data = dataset(rows_with(model["background"]), rows_with(model["target"]))
    rows = data.target.images
    expected = posterior(model, rows.double().numpy())[:, 3:] @ model["salient"].T
    for fields in ({"d_salient": 2}, {"d_salient": 12, "least_ratio": 1.05}):
        np.testing.assert_allclose(salient_part(fitted(data, ridge=0, **fields), rows), expected, atol=1e-4)


def test_the_projector_is_a_sum_over_the_directions_of_ratio_pca(model):
    background, target = model["background"], model["target"]
    projector = np.eye(12) - background @ np.linalg.inv(target)
    data = dataset(rows_with(background), rows_with(target))
    ratio_pca = RatioPCA(RatioPCAConfig(components=12, ridge=0))
    ratio_pca.fit(data, context())
    directions, weights = ratio_pca.salient.numpy(), 1 - 1 / ratio_pca.ratios.numpy()
    np.testing.assert_allclose(directions.T @ projector, weights[:, None] * directions.T, atol=1e-4)
    np.testing.assert_allclose(background @ directions @ np.diag(weights) @ directions.T, projector, atol=1e-4)
    np.testing.assert_allclose(weights[2:], 0, atol=1e-5)  # only two directions vary more in the target
    ours = fitted(data, d_salient=2, ridge=0)
    np.testing.assert_allclose((ours.salient_parts @ ours.salient.T).numpy(), projector, atol=1e-4)


def test_ratio_pca_is_the_salient_posterior_up_to_a_linear_map(model):
    data = dataset(rows_with(model["background"]), rows_with(model["target"]))
    method = RatioPCA(RatioPCAConfig(components=2, ridge=0))
    method.fit(data, context())
    latents = posterior(model, data.target.images.double().numpy())[:, 3:]
    pairs = CCA(2, max_iter=5000, tol=1e-12).fit_transform(method.encode(data.target.images).salient.numpy(), latents)
    for ours, theirs in zip(*(part.T for part in pairs), strict=True):
        assert abs(np.corrcoef(ours, theirs)[0, 1]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("ridge", [0.01, 0.3])
def test_the_projector_with_a_ridge_is_that_of_both_changed_covariances(model, ridge):
    level = np.trace(model["target"] + model["background"]) / 24
    changed = [(1 - ridge) * model[name] + ridge * level * np.eye(12) for name in ("background", "target")]
    projector = np.eye(12) - changed[0] @ np.linalg.inv(changed[1])
    method = fitted(dataset(rows_with(model["background"]), rows_with(model["target"])), d_salient=2, ridge=ridge)
    np.testing.assert_allclose((method.salient_parts @ method.salient.T).numpy(), projector, atol=1e-4)


def test_fewer_rows_than_values_give_what_full_covariances_give():
    generator = np.random.default_rng(0)
    background, target = generator.normal(size=(2, 15, 50)) * np.geomspace(3, 0.3, 50)
    ridge = 0.2
    method = fitted(dataset(background, target), d_salient=14, ridge=ridge, least_ratio=1)
    changed = [np.cov(rows, rowvar=False, ddof=0) for rows in (background, target)]
    level = np.trace(sum(changed)) / 100
    changed = [(1 - ridge) * part + ridge * level * np.eye(50) for part in changed]
    projector = np.eye(50) - changed[0] @ np.linalg.inv(changed[1])
    values = np.linalg.eigvals(projector).real  # 1 - 1 / ratio
    np.testing.assert_allclose(np.sort(values)[::-1][:14].sum(), np.trace(method.salient.T @ method.salient_parts))
    torch.testing.assert_close(
        torch.from_numpy(projector) @ method.salient_parts,
        method.salient_parts * (method.salient * method.salient_parts).sum(0),
        atol=1e-5,
        rtol=0,
    )


@pytest.fixture(scope="module")
def noise_free() -> dict[str, np.ndarray]:
    """Rows that are sums of parts in subspaces which are not at right angles, uncorrelated in the sample too."""
    generator = np.random.default_rng(1)
    common, salient = generator.normal(size=(FEATURES, 4)), generator.normal(size=(FEATURES, 2))
    factors = rows_with(np.eye(6), 500)
    return {
        "common": common,
        "salient": salient,
        "background": rows_with(np.eye(4), 400, 1) @ common.T,
        "common part": factors[:, :4] @ common.T,
        "salient part": factors[:, 4:] @ salient.T,
    }


def test_parts_without_noise_are_taken_apart_exactly(noise_free):
    common, salient = noise_free["common"], noise_free["salient"]
    data = dataset(noise_free["background"], noise_free["common part"] + noise_free["salient part"])
    method = fitted(data, ridge=0)
    assert method.salient.shape == (FEATURES, 2)
    projector = (method.salient_parts @ method.salient.T).numpy()
    np.testing.assert_allclose(projector @ common, 0, atol=1e-4)
    np.testing.assert_allclose(projector @ salient, salient, atol=1e-4)
    np.testing.assert_allclose(projector @ projector, projector, atol=1e-4)
    c_background, c_target = (
        np.cov(part.images.double().numpy(), rowvar=False, ddof=0) for part in (data.background, data.target)
    )
    expected = (c_target - c_background) @ np.linalg.pinv(c_target, rcond=1e-8)
    np.testing.assert_allclose(projector, expected, atol=1e-4)
    rows = data.target.images
    np.testing.assert_allclose(salient_part(method, rows), noise_free["salient part"], atol=1e-3)
    torch.testing.assert_close(
        remove_salient(method, rows), torch.from_numpy(noise_free["common part"]).float(), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(reconstruct(method, rows), rows, atol=1e-4, rtol=0)


def test_both_vectors_of_targets_are_uncorrelated_and_backgrounds_have_no_salient_one(noise_free):
    data = dataset(noise_free["background"], noise_free["common part"] + noise_free["salient part"])
    method = fitted(data, ridge=0)
    common, salient = (vectors.numpy() for vectors in method.encode(data.target.images))
    assert np.abs(np.corrcoef(common.T, salient.T)[:4, 4:]).max() < 1e-5
    assert method.encode(data.background.images).salient.abs().max() < 1e-5
    assert common.shape[1] == 4


def test_the_orthogonal_projector_leaves_both_parts_correlated(noise_free):
    """It makes all salient vectors of backgrounds 0 as well: that alone does not tell the parts apart."""
    rows = noise_free["common part"] + noise_free["salient part"]
    basis = np.linalg.qr(noise_free["common"])[0]
    along = rows @ basis
    off = rows - along @ basis.T
    assert np.abs(noise_free["background"] - noise_free["background"] @ basis @ basis.T).max() < 1e-9
    assert np.abs(np.corrcoef(along.T, off.T)[:4, 4:]).max() > 0.3


def additive(seed: int, rows: int = 1500) -> tuple[ContrastiveDataset, np.ndarray]:
    """Four common and two salient linear factors behind 20 features, without noise, and the salient part of targets."""
    generator = np.random.default_rng(seed)
    loadings = generator.normal(size=(6, FEATURES))
    background, target = generator.normal(size=(2, rows, 4)) @ loadings[:4]
    salient = generator.normal(size=(rows, 2)) @ loadings[4:]
    return dataset(background, target + salient), salient


@pytest.mark.parametrize("seed", range(3))
def test_planted_salient_parts_are_explained(seed):
    data, true = additive(seed)
    shares = {
        name: explained(salient_part(fitted(data, **fields), data.target.images), true)
        for name, fields in {
            "usual": {},
            "without ridge": {"ridge": 0},
            "all directions": {"ridge": 0, "least_ratio": 1},
        }.items()
    }
    assert shares["usual"] > 0.99
    assert shares["without ridge"] > 0.99
    assert 0.97 < shares["all directions"] < shares["without ridge"]


def test_the_common_vector_keeps_what_is_common_and_leaves_what_is_salient():
    data, true = additive(0)
    method = fitted(data)
    common = remove_salient(method, data.target.images).double().numpy()
    assert explained(common, data.target.images.numpy() - true) > 0.98
    factors = method.encode(data.target.images)
    assert np.abs(np.corrcoef(factors.common.T, factors.salient.T)[:4, 4:]).max() < 0.1


def test_a_swap_exchanges_the_salient_parts(noise_free):
    parts = [torch.from_numpy(noise_free[name]).float() for name in ("common part", "salient part")]
    data = dataset(noise_free["background"], noise_free["common part"] + noise_free["salient part"])
    rows, order = data.target.images, torch.arange(len(parts[0])).flip(0)
    swapped = swap(fitted(data, ridge=0), rows, rows[order])
    torch.testing.assert_close(swapped, parts[0] + parts[1][order], atol=1e-3, rtol=0)


def test_zero_vectors_are_the_mean_of_the_background():
    data = dataset(rows_with(np.eye(4)) + 3, rows_with(np.diag([9.0, 1, 1, 1])) - 3)
    method = fitted(data)
    zeros = Representation(*(torch.zeros_like(vectors[:1]) for vectors in method.encode(data.target.images)))
    torch.testing.assert_close(method.decode(zeros), data.background.images.mean(0)[None])
    shift = method.encode(data.target.images).salient.mean(0)
    assert shift.abs().max() > 0.5, "a difference of means along a salient direction is salient"


def test_directions_of_low_ratios_are_left_out_but_for_one():
    data = dataset(rows_with(np.eye(5)), rows_with(np.diag([9.0, 3, 1.5, 1, 0.5])))
    sizes = {least: fitted(data, ridge=0, least_ratio=least).salient.shape[1] for least in (1.2, 2, 5, 100)}
    assert sizes == {1.2: 3, 2: 2, 5: 1, 100: 1}
    assert fitted(data, ridge=0, d_salient=1).salient.shape[1] == 1
    weights = (method := fitted(data, ridge=0)).salient.T @ method.salient_parts
    torch.testing.assert_close(weights.diagonal(), torch.tensor([8 / 9, 2 / 3]).double(), rtol=1e-5, atol=0)


def test_targets_that_vary_less_have_no_salient_part():
    method = fitted(dataset(rows_with(np.eye(3)), rows_with(np.eye(3) / 4)), ridge=0)
    assert (method.salient == 0).all()
    torch.testing.assert_close(method.common, method.common_parts)


def test_images_are_decoded_as_images_and_the_same_after_loading(tmp_path):
    data = load_subject("additive_linear").data
    method = fitted(data, d_common=40)
    images = as_float(data.target.images)
    decoded = reconstruct(method, images)
    assert decoded.shape == images.shape
    assert 0 <= decoded.min() < decoded.max() <= 1
    assert explained(decoded.flatten(1).double().numpy(), images.flatten(1).double().numpy()) > 0.9
    save_method(method, tmp_path / "method.safetensors")
    assert torch.equal(reconstruct(load_method(tmp_path / "method.safetensors", AdditiveLinear), images), decoded)


def test_tables_are_decoded_without_bounds(noise_free):
    data = dataset(noise_free["background"], noise_free["common part"] + noise_free["salient part"])
    decoded = reconstruct(fitted(data), data.target.images)
    assert decoded.shape == data.target.images.shape
    assert decoded.min() < 0
    assert decoded.max() > 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d_salient": 0}, r"additive_linear.d_salient = 0 is not allowed; it must be at least 1"),
        ({"ridge": 1.0}, r"additive_linear.ridge = 1.0 is not allowed; it must be at least 0 and at most 0.99"),
        ({"least_ratio": 0.5}, r"additive_linear.least_ratio = 0.5 is not allowed; it must be at least 1"),
        ({"preprocess_components": 20}, r"it must be at least additive_linear.d_common = 32"),
        ({"d_salient": 8, "d_common": 2, "preprocess_components": 4}, r"at least additive_linear.d_salient = 8"),
    ],
)
def test_wrong_values_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        AdditiveLinearConfig(**fields)


def test_data_that_do_not_fit_are_refused(planted_info):
    many = dataclasses.replace(planted_info, image_shape=(40_000,), counts={"train": {"target": 50_000}})
    with pytest.raises(UserError, match=r"additive_linear needs a covariance .* has 40000"):
        AdditiveLinear().check(many)
    with pytest.raises(UserError, match=r"are the same within each population"):
        fitted(dataset(np.ones((10, 3)), np.zeros((10, 3))))
