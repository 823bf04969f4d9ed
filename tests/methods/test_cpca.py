"""Contrastive PCA: against NumPy, on directions planted in pixels, and its choice of alpha."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from cabench.config import ConfigError
from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population, as_float
from cabench.errors import UserError
from cabench.methods.cpca import CPCA, CPCAConfig, affinity, medoids_without_first

PIXELS = 1024


def dataset(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    """Rows of 1,024 values around 128 as grey images of 32 x 32."""
    parts = (
        Population(torch.from_numpy(rows.clip(0, 255).round().astype(np.uint8).reshape(-1, 1, 32, 32)), {})
        for rows in (background, target)
    )
    info = load_subject("pca").data.info
    return ContrastiveDataset(info, *parts)


def rows(data: Population) -> np.ndarray:
    return as_float(data.images).flatten(1).double().numpy()


@pytest.fixture(scope="module")
def planted() -> tuple[ContrastiveDataset, np.ndarray]:
    """Both populations vary most along one pattern; the target alone varies along two others, less strongly."""
    generator = np.random.default_rng(0)
    patterns = np.linalg.qr(generator.normal(size=(PIXELS, 3)))[0].T
    noise = lambda: generator.normal(0, 2, (500, PIXELS))  # noqa: E731
    background = 128 + noise() + generator.normal(0, 400, (500, 1)) * patterns[0]
    target = 128 + noise() + generator.normal(0, [400, 180, 150], (500, 3)) @ patterns
    return dataset(background, target), patterns


def fitted(data: ContrastiveDataset, **fields: object) -> CPCA:
    method = CPCA(CPCAConfig(**fields))
    method.fit(data, context())
    return method


def test_directions_equal_those_of_numpy_for_a_given_alpha(planted):
    data, _ = planted
    method = fitted(data, components=3, standardize=True, preprocess_components=PIXELS, alpha=2.5)
    background, target = rows(data.background), rows(data.target)
    scaled = [(x - x.mean(0)) / x.std(0) for x in (background, target)]
    c_background, c_target = (x.T @ x / (len(x) - 1) for x in scaled)
    values, vectors = np.linalg.eig(c_target - 2.5 * c_background)
    leading = vectors.real[:, np.argsort(-values.real)[:3]]
    expected = scaled[1] @ leading
    found = method.encode(as_float(data.target.images)).salient.double().numpy()
    assert np.abs(subspace_angles(expected, found)).max() < 1e-3
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), np.linalg.norm(expected, axis=0), rtol=1e-3)


def test_salient_directions_are_those_that_the_target_alone_has(planted):
    data, patterns = planted
    method = fitted(data, components=2, standardize=False, preprocess_components=100)
    found = method.salient.double().numpy()
    assert np.abs(np.cos(subspace_angles(found, patterns[1:].T))).min() > 0.95
    assert np.abs(patterns[0] @ found).max() < 0.2
    common = method.common.double().numpy()[:, 0]
    assert abs(common @ patterns[0]) > 0.95


def test_plain_pca_of_the_target_finds_the_shared_direction_instead(planted):
    data, patterns = planted
    target = rows(data.target)
    first = np.linalg.svd(target - target.mean(0), full_matrices=False)[2][0]
    assert abs(first @ patterns[0]) > 0.9


def test_new_images_are_treated_with_the_targets_training_statistics(planted):
    data, _ = planted
    method = fitted(data, components=2, alpha=1.0)
    images = as_float(data.target.images)
    shifted = method.encode(images + 0.25).salient - method.encode(images).salient
    torch.testing.assert_close(shifted, shifted[:1].expand_as(shifted), rtol=1e-3, atol=1e-3)
    assert shifted.abs().max() > 0.01
    assert torch.equal(method.encode(images[:5]).common, method.encode(images).common[:5])


@pytest.mark.parametrize("alpha", [0.0, 1.0, 1000.0])
def test_constant_values_count_for_nothing(alpha):
    generator = np.random.default_rng(0)
    background, target = generator.normal(128, 20, (2, 300, PIXELS))
    background[:, :200] = 10
    target[:, 100:300] = 90
    background[:, 300:400] = target[:, 300:400] = 20
    method = fitted(dataset(background, target), components=4, alpha=alpha, preprocess_components=150)
    assert (method.salient[300:400] == 0).all()
    assert (method.salient.norm(dim=0) > 0.1).all(), "a direction in which nothing varies was chosen"
    assert method.salient.isfinite().all()
    assert method.common.isfinite().all()
    assert (method.salient[100:300] == 0).all()


def test_affinity_is_that_of_orthonormal_bases_of_projected_data():
    generator = np.random.default_rng(0)
    data = generator.normal(size=(60, 10)) * np.linspace(1, 4, 10)
    data -= data.mean(0)
    directions = [np.linalg.qr(generator.normal(size=(10, 3)))[0] for _ in range(4)]
    bases = [np.linalg.qr(data @ one)[0] for one in directions]
    expected = [[np.prod(np.linalg.svd(p.T @ q)[1][:2]) for q in bases] for p in bases]
    covariance = torch.from_numpy(data.T @ data / 59)
    from cabench.methods.cpca import _orthonormal

    found = affinity([_orthonormal(torch.from_numpy(one), covariance) for one in directions], covariance)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_medoids_are_the_middles_of_the_clusters_without_the_first_row():
    positions = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2, 10.0, 10.1, 10.2, 15.0, 15.1, 15.2])
    similarities = np.exp(-((positions[:, None] - positions) ** 2))
    assert sorted(medoids_without_first(similarities)) == [4, 7, 10]


def test_alpha_is_chosen_between_the_extremes_and_without_global_randomness(planted):
    data, _ = planted
    np.random.seed(0)  # noqa: NPY002 - to see that the choice does not depend on it
    first = fitted(data, components=2, standardize=False, preprocess_components=100).alpha
    np.random.seed(1)  # noqa: NPY002
    second = fitted(data, components=2, standardize=False, preprocess_components=100).alpha
    assert first == second
    assert 0.1 <= first <= 1000
    assert first in np.geomspace(0.1, 1000, 40)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_background_that_never_varies_leaves_nothing_to_choose(planted):
    data, _ = planted
    constant = np.full((50, PIXELS), 77.0)
    method = fitted(dataset(constant, rows(data.target) * 255), components=2, preprocess_components=100)
    assert method.alpha > 0
    assert method.encode(as_float(data.target.images)).salient.isfinite().all()


def test_a_given_alpha_is_used(planted):
    assert fitted(planted[0], alpha=4.38, components=2).alpha == 4.38


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"components": 1}, r"cpca.components = 1 is not allowed; it must be at least 2"),
        ({"alpha": -1.0}, r"cpca.alpha = -1.0 is not allowed; it must be at least 0"),
        ({"alpha_range": (5, 1)}, r"cpca.alpha_range = \[5.0, 1.0\] is not allowed; the smaller comes first"),
        ({"components": 8, "preprocess_components": 4}, r"must be at least cpca.components = 8"),
    ],
)
def test_wrong_values_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        CPCAConfig(**fields)


def test_images_that_are_too_many_and_large_are_refused(planted_info):
    info = dataclasses.replace(planted_info, image_shape=(3, 128, 128), counts={"train": {"target": 10_000}})
    with pytest.raises(UserError, match=r"cpca needs a covariance .* has 49152, .* a size with at most 16384"):
        CPCA().check(info)


@pytest.mark.parametrize("fields", [{}, {"standardize": False}, {"alpha": 2.5}, {"preprocess_components": 12}], ids=str)
def test_few_images_give_what_covariances_give(fields, monkeypatch):
    """The covariances of a table are exact in float64; both ways must agree to rounding."""
    generator = np.random.default_rng(3)
    background, target = generator.normal(size=(2, 25, 90)) * np.geomspace(5, 0.5, 90)
    target[:, :3] += generator.normal(0, 9, (25, 3))
    background[:, 80:] = 4
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    data = ContrastiveDataset(load_subject("cpca").data.info, *parts)
    fields = {"components": 3, "preprocess_components": 30, **fields}
    from_images = fitted(data, **fields)
    monkeypatch.setattr("cabench.methods.shared.linear_contrast.few_rows", lambda populations: False)
    from_covariances = fitted(data, **fields)
    assert from_images.alpha == pytest.approx(from_covariances.alpha)
    for name in ("mean", "common", "salient"):
        torch.testing.assert_close(getattr(from_images, name), getattr(from_covariances, name), rtol=1e-4, atol=1e-5)


def test_a_table_of_two_features_is_taken(planted):
    rows = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    parts = (Population(torch.from_numpy(part), {}) for part in np.split(rows, 2))
    common, salient = fitted(planted[0]._replace(background=next(parts), target=next(parts)), components=10).encode(
        torch.from_numpy(rows)
    )
    assert common.shape == salient.shape == (60, 2)
