"""Ratio PCA: against its formulas in NumPy, and what must and must not change its directions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from cabench.config import ConfigError
from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.errors import UserError
from cabench.experiment.request import ResolvedProfile
from cabench.methods.ratio_pca import RatioPCA, RatioPCAConfig
from cabench.methods.shared.ratios import joint, leading_ratios
from cabench.profiles import load_profile


def dataset(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    info = dataclasses.replace(load_subject("pca").data.info, image_shape=target.shape[1:])
    return ContrastiveDataset(info, *parts)


def rows_with(covariance: np.ndarray, rows: int = 200, seed: int = 0) -> np.ndarray:
    """Rows whose sample covariance (divisor n) is exactly the one given, and whose mean is 0."""
    drawn = np.random.default_rng(seed).normal(size=(rows, len(covariance)))
    drawn -= drawn.mean(0)
    return np.linalg.qr(drawn)[0] * np.sqrt(rows) @ np.linalg.cholesky(covariance).T


def random_covariance(size: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(2 * size, size))
    return factor.T @ factor / (2 * size)


def fitted(data: ContrastiveDataset, **fields: object) -> RatioPCA:
    method = RatioPCA(RatioPCAConfig(**fields))
    method.fit(data, context())
    return method


def covariance(rows: torch.Tensor) -> np.ndarray:
    return np.cov(rows.double().numpy(), rowvar=False, ddof=0)


def expected_directions(target: np.ndarray, background: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The card's algorithm: Cholesky of the background, a symmetric eigenproblem, and back."""
    root = np.linalg.cholesky(background).T
    inverse = np.linalg.inv(root)
    values, vectors = np.linalg.eigh(inverse.T @ target @ inverse)
    directions = inverse @ vectors[:, ::-1][:, :count]
    return values[::-1][:count], directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(count)])


def with_ridge(target: np.ndarray, background: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    level = np.trace(target + background) / (2 * len(target))
    return tuple((1 - ridge) * part + ridge * level * np.eye(len(part)) for part in (target, background))


TWO = np.array([[5.0, 1], [1, 2]]), np.array([[4.0, 1], [1, 1]])  # target, background


def test_two_dimensions_have_the_ratios_that_can_be_worked_out_by_hand():
    target, background = TWO
    method = fitted(dataset(rows_with(background), rows_with(target)), ridge=0)
    np.testing.assert_allclose(method.ratios, (11 + np.array([1, -1]) * 13**0.5) / 6, rtol=1e-5)
    np.testing.assert_allclose(method.ratios, [2.43426, 1.23241], rtol=1e-5)
    first = method.salient[:, 0].numpy()
    np.testing.assert_allclose(first / np.linalg.norm(first), [-0.28978, 0.95709], atol=1e-5)
    np.testing.assert_array_equal(target - background, np.eye(2))  # so contrastive PCA of alpha 1 sees no direction


@pytest.mark.parametrize("ridge", [0, 0.01, 0.5])
def test_directions_are_those_of_the_formula(ridge):
    target, background = random_covariance(12, 0), random_covariance(12, 1)
    data = dataset(rows_with(background), rows_with(target))
    method = fitted(data, components=5, ridge=ridge)
    values, directions = expected_directions(*with_ridge(target, background, ridge), 5)
    np.testing.assert_allclose(method.ratios, values, rtol=1e-5)
    np.testing.assert_allclose(method.salient, directions, atol=1e-5)


def test_background_vectors_have_variance_1_and_target_vectors_the_ratio():
    data = dataset(rows_with(random_covariance(8, 1)), rows_with(random_covariance(8, 0)))
    method = fitted(data, components=4, ridge=0)
    background, target = (covariance(method.encode(part.images).salient) for part in (data.background, data.target))
    np.testing.assert_allclose(background, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(target, np.diag(method.ratios), atol=1e-5)


def test_all_published_criteria_have_these_directions_in_this_order():
    target, background = random_covariance(7, 0), random_covariance(7, 1)
    method = fitted(dataset(rows_with(background), rows_with(target)), components=7, ridge=0)
    ratios, directions = method.ratios.numpy(), method.salient.numpy()
    criteria = {
        "gcPCA v3": (target - background, background, ratios - 1),
        "gcPCA v4": (target - background, target + background, (ratios - 1) / (ratios + 1)),
        "Fukunaga-Koontz": (target, target + background, ratios / (ratios + 1)),
        "another divisor": (1.7 * target, background, 1.7 * ratios),
    }
    for name, (above, below, expected) in criteria.items():
        values, vectors = scipy.linalg.eigh(above, below)
        np.testing.assert_allclose(values[::-1], expected, rtol=1e-4, atol=1e-5, err_msg=name)
        cosines = (vectors[:, ::-1] * directions).sum(0) / np.linalg.norm(vectors[:, ::-1], axis=0)
        np.testing.assert_allclose(np.abs(cosines), np.linalg.norm(directions, axis=0), rtol=1e-5, err_msg=name)


def test_whitening_by_the_background_gives_the_same():
    target, background = random_covariance(6, 0), random_covariance(6, 1)
    method = fitted(dataset(rows_with(background), rows_with(target)), components=6, ridge=0)
    whiten = scipy.linalg.inv(scipy.linalg.sqrtm(background))
    values, vectors = np.linalg.eigh(whiten @ target @ whiten)
    directions = (whiten @ vectors)[:, ::-1]
    signs = np.sign((directions * method.salient.numpy()).sum(0))
    np.testing.assert_allclose(method.ratios, values[::-1], rtol=1e-5)
    np.testing.assert_allclose(method.salient, directions * signs, atol=1e-4)


def test_contrastive_pca_with_the_highest_ratio_as_alpha_has_the_same_first_direction_of_value_0():
    target, background = random_covariance(9, 0), random_covariance(9, 1)
    method = fitted(dataset(rows_with(background), rows_with(target)), ridge=0)
    values, vectors = np.linalg.eigh(target - float(method.ratios[0]) * background)
    first = method.salient[:, 0].numpy()
    assert abs(values[-1]) < 1e-5
    assert abs(vectors[:, -1] @ first) == pytest.approx(np.linalg.norm(first), rel=1e-5)


@pytest.mark.parametrize("scaling", ["none", "pooled"])
def test_any_invertible_map_of_both_populations_leaves_the_vectors(scaling):
    background, target = rows_with(random_covariance(10, 1)), rows_with(random_covariance(10, 0))
    mixing = np.random.default_rng(5).normal(size=(10, 10))
    found = []
    for data in (dataset(background, target), dataset(background @ mixing, target @ mixing)):
        vectors = fitted(data, components=4, ridge=0, scaling=scaling).encode(data.target.images).salient
        found.append(vectors * vectors[0].sign())
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)


def test_scaling_by_population_hides_that_a_value_varies_more():
    data = dataset(rows_with(np.eye(2)), rows_with(np.diag([4.0, 1.0])))
    for scaling, expected in {"none": (4, 1), "pooled": (4, 1), "population": (1, 1)}.items():
        np.testing.assert_allclose(fitted(data, ridge=0, scaling=scaling).ratios, expected, rtol=1e-5)


def test_scaling_by_population_equals_scaled_covariances():
    target, background = random_covariance(6, 0), random_covariance(6, 1)
    data = dataset(rows_with(background), rows_with(target))
    method = fitted(data, components=3, ridge=0.05, scaling="population")
    correlations = (part / np.sqrt(np.outer(np.diag(part), np.diag(part))) for part in (target, background))
    values, directions = expected_directions(*with_ridge(*correlations, 0.05), 3)
    np.testing.assert_allclose(method.ratios, values, rtol=1e-5)
    found = method.encode(data.target.images).salient.numpy()
    expected = data.target.images.numpy() / np.sqrt(np.diag(target)) @ directions
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)


def test_pooled_scaling_makes_the_ridge_the_same_for_all_values():
    """Another unit of one feature then changes nothing, whatever the ridge."""
    background, target = rows_with(random_covariance(6, 1)), rows_with(random_covariance(6, 0))
    units = np.array([1, 1, 100, 1, 0.01, 1])
    for scaling, same in {"pooled": True, "none": False}.items():
        methods = [
            fitted(dataset(background * factor, target * factor), ridge=0.1, scaling=scaling) for factor in (1, units)
        ]
        assert torch.allclose(*(method.ratios for method in methods), rtol=1e-4) == same


def test_values_of_few_rows_are_infinite_without_ridge_and_fall_with_it():
    background, target = np.random.default_rng(0).normal(size=(2, 20, 50))
    data = dataset(background, target)
    plain = joint(data, 50)
    shares = leading_ratios(plain.target, plain.background, 50).shares.numpy()
    np.testing.assert_allclose(2 * shares - 1, [1] * 19 + [-1] * 19, atol=1e-9)  # the values of gcPCA's version 4
    for added, highest in {1e-3: 5500, 0.1: 57, 1: 7}.items():
        method = fitted(data, ridge=added / (1 + added))
        assert float(method.ratios[0]) == pytest.approx(highest, rel=0.3)
    with pytest.raises(UserError, match=r"does not vary in some directions .* set ratio_pca.ridge above 0"):
        fitted(data, ridge=0)


@pytest.mark.parametrize("ridge", [0.01, 0.3])
@pytest.mark.parametrize("directions", ["joint", "orthogonal"])
def test_fewer_rows_than_values_give_what_full_covariances_give(ridge, directions, monkeypatch):
    generator = np.random.default_rng(0)
    background, target = generator.normal(size=(2, 15, 60)) * np.geomspace(3, 0.3, 60)
    data = dataset(background, target[:12])
    from_rows = fitted(data, components=4, ridge=ridge, directions=directions)
    monkeypatch.setattr("cabench.methods.shared.ratios.few_rows", lambda populations: False)
    from_covariances = fitted(data, components=4, ridge=ridge, directions=directions)
    for name in ("mean", "common", "salient", "ratios"):
        torch.testing.assert_close(getattr(from_rows, name), getattr(from_covariances, name), rtol=1e-4, atol=1e-5)
    if directions == "joint":
        full = (covariance(part.images) for part in (data.target, data.background))
        values, expected = expected_directions(*with_ridge(*full, ridge), 4)
        np.testing.assert_allclose(from_rows.ratios, values, rtol=1e-5)
        np.testing.assert_allclose(from_rows.salient, expected, rtol=1e-3, atol=1e-5)


def test_orthogonal_directions_are_each_the_best_that_is_left():
    target, background = random_covariance(8, 0), random_covariance(8, 1)
    method = fitted(dataset(rows_with(background), rows_with(target)), components=4, ridge=0, directions="orthogonal")
    found = method.salient.numpy()
    lengths = np.linalg.norm(found, axis=0)
    np.testing.assert_allclose(found.T @ found, np.diag(lengths**2), atol=1e-5)
    for number in range(4):
        free = scipy.linalg.null_space(found[:, :number].T) if number else np.eye(8)
        values, vectors = scipy.linalg.eigh(free.T @ target @ free, free.T @ background @ free)
        best = free @ vectors[:, -1]
        assert float(method.ratios[number]) == pytest.approx(values[-1], rel=1e-5)
        assert abs(best @ found[:, number]) == pytest.approx(np.linalg.norm(best) * lengths[number], rel=1e-5)
    joint_method = fitted(dataset(rows_with(background), rows_with(target)), components=4, ridge=0)
    assert torch.allclose(method.ratios[0], joint_method.ratios[0])
    assert (method.ratios[1:] > joint_method.ratios[1:]).all()  # at right angles is all that is asked of them


def test_groups_that_only_the_target_has_are_told_apart():
    """The toy of the released code of contrastive latent variable models: 30 features, four groups of 100 targets."""
    generator = np.random.default_rng(0)
    background = generator.normal(size=(400, 30)) * np.repeat([10, 3, 1], 10)
    target = generator.normal(size=(400, 30)) * np.repeat([10, 1, 1], 10)
    groups = np.repeat(np.arange(4), 100)
    target[:, 10:20] += np.array([0, 0, 6, 6])[groups, None]
    target[:, 20:] += np.array([0, 3, 0, 3])[groups, None]
    data = dataset(background, target)
    method = fitted(data, components=3, ridge=0)
    np.testing.assert_allclose(method.ratios, [26.6, 10.4, 1.8], rtol=0.15)
    salient = fitted(data).encode(data.target.images).salient
    assert salient.shape == (400, 2)
    assert cross_val_score(LogisticRegression(), salient, groups, cv=5).mean() > 0.99
    components = torch.pca_lowrank(data.target.images, 2, niter=10)[0]
    assert cross_val_score(LogisticRegression(), components, groups, cv=5).mean() < 0.5


def test_common_vectors_are_the_leading_components_of_the_background():
    data = dataset(rows_with(np.diag([1.0, 9, 4])), rows_with(np.diag([8.0, 1, 1])) + 5)
    found = fitted(data).encode(data.target.images).common
    torch.testing.assert_close(found.abs(), (data.target.images - 5)[:, 1:].abs(), rtol=1e-3, atol=1e-4)


def test_rows_are_centred_by_the_target():
    data = dataset(rows_with(TWO[1]) - 3, rows_with(TWO[0]) + 7)
    method = fitted(data)
    assert method.encode(data.target.images).salient.mean(0).abs().max() < 1e-4
    rows = data.background.images
    assert torch.equal(method.encode(rows[:5]).salient, method.encode(rows).salient[:5])


def test_constant_and_repeated_features_count_for_nothing():
    background, target = rows_with(random_covariance(5, 1)), rows_with(random_covariance(5, 0))
    wider = [np.hstack([rows, rows[:, :2], np.full((len(rows), 3), 4.0)]) for rows in (background, target)]
    plain, repeated = fitted(dataset(background, target), ridge=0), fitted(dataset(*wider), ridge=0)
    torch.testing.assert_close(repeated.ratios, plain.ratios, rtol=1e-4, atol=0)
    assert (repeated.salient[-3:].abs() < 1e-9).all()
    assert (fitted(dataset(*wider), scaling="population").salient[-3:].abs() < 1e-9).all()


def test_there_are_no_more_dimensions_than_the_data_have():
    data = dataset(rows_with(TWO[1]), rows_with(TWO[0]))
    for directions in ("joint", "orthogonal"):
        common, salient = fitted(data, components=10, directions=directions).encode(data.target.images)
        assert common.shape == salient.shape == (200, 2)


def test_large_data_are_first_reduced():
    generator = np.random.default_rng(0)
    background, target = generator.normal(size=(2, 300, 20)) * np.geomspace(10, 0.1, 20)
    data = dataset(background, target)
    found = fitted(data, components=2, preprocess_components=3).salient.numpy()
    sum_of_both = covariance(data.background.images) + covariance(data.target.images)
    leading = np.linalg.eigh(sum_of_both)[1][:, -3:]
    np.testing.assert_allclose(leading @ (leading.T @ found), found, atol=1e-5)


def test_data_in_which_nothing_varies_are_refused():
    with pytest.raises(UserError, match=r"are the same within each population"):
        fitted(dataset(np.ones((10, 3)), np.zeros((10, 3))))


def test_a_background_that_never_varies_needs_a_ridge():
    data = dataset(np.ones((30, 2)), rows_with(TWO[0]))
    assert fitted(data).encode(data.target.images).salient.isfinite().all()
    with pytest.raises(UserError, match=r"set ratio_pca.ridge above 0"):
        fitted(data, ridge=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"components": 0}, r"ratio_pca.components = 0 is not allowed; it must be at least 1"),
        ({"ridge": -0.1}, r"ratio_pca.ridge = -0.1 is not allowed; it must be at least 0 and at most 0.99"),
        ({"ridge": 1}, r"ratio_pca.ridge = 1.0 is not allowed"),
        ({"scaling": "both"}, r"ratio_pca.scaling = 'both' is not allowed; choose one of none, pooled, population"),
        ({"directions": "sparse"}, r"ratio_pca.directions = 'sparse' is not allowed; choose one of joint, orthogonal"),
        ({"components": 8, "preprocess_components": 4}, r"must be at least ratio_pca.components = 8"),
    ],
)
def test_wrong_values_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        RatioPCAConfig(**fields)


def test_data_that_do_not_fit_are_refused(planted_info):
    many = dataclasses.replace(planted_info, image_shape=(3, 128, 128), counts={"train": {"target": 10_000}})
    with pytest.raises(UserError, match=r"ratio_pca needs a covariance .* has 49152"):
        RatioPCA().check(many)
    RatioPCA().check(planted_info)
    with pytest.raises(
        UserError, match=r"planted has 450 to learn from, of 1024 values each; set ratio_pca.ridge above 0"
    ):
        RatioPCA(RatioPCAConfig(ridge=0)).check(planted_info)
    RatioPCA(RatioPCAConfig(ridge=0, preprocess_components=449)).check(planted_info)


@pytest.mark.parametrize(
    ("variant", "fields"),
    [
        ("ratio_pca_population_scaling", {"scaling": "population"}),
        ("ratio_pca_orthogonal", {"directions": "orthogonal"}),
    ],
)
@pytest.mark.parametrize("profile", ["smoke", "quick", "matched", "paper"])
def test_its_variants_have_names(variant, fields, profile):
    method = ResolvedProfile(load_profile(profile)).method(variant, "mouse_protein")
    assert isinstance(method, RatioPCA)
    for name, value in fields.items():
        assert getattr(method.config, name) == value


@pytest.mark.parametrize("scaling", ["pooled", "population"])
def test_a_value_in_tiny_units_is_scaled_and_not_left_out(scaling):
    """Beside one in huge units, whose variance is 1e16 times as large."""
    background, target = rows_with(random_covariance(6, 1)), rows_with(random_covariance(6, 0))
    units = np.array([1e4, 1e-4, 1, 1, 1, 1])
    usual, mixed = (
        fitted(dataset(background * factor, target * factor), components=6, scaling=scaling) for factor in (1, units)
    )
    torch.testing.assert_close(mixed.ratios, usual.ratios, rtol=1e-4, atol=0)
    constant = target.copy()
    constant[:, 1] = 0.1
    rounded = constant.copy()
    rounded[::2, 1] = np.nextafter(np.float32(0.1), np.float32(1))
    first, second = (fitted(dataset(background, rows), scaling=scaling).ratios for rows in (constant, rounded))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=0)
