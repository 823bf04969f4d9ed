"""CLVM on planted Gaussian tables: what it finds, decodes and refuses."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population, as_float
from cabench.errors import UserError
from cabench.method import Representation
from cabench.methods.clvm import CLVM, CLVMConfig
from cabench.methods.shared.low_rank_gaussian import log_likelihood
from cabench.pictures.generation import remove_salient


def dataset(info, background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    """A table of these rows."""
    counts = {"train": {"background": len(background), "target": len(target)}}
    info = dataclasses.replace(info, image_shape=background.shape[1:], counts=counts)
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    return ContrastiveDataset(info, *parts)


def fitted(data: ContrastiveDataset, **fields) -> CLVM:
    method = CLVM(CLVMConfig(**fields))
    method.check(data.info)
    method.fit(data, context())
    return method


@pytest.fixture(scope="module")
def info(planted_table):
    return planted_table.info


@pytest.fixture(scope="module")
def gaussian(info):
    """Thirty features, three common factors, two salient ones, and different means: the data, S and W."""
    generator = np.random.default_rng(0)
    shared, own = generator.normal(size=(30, 3)), generator.normal(size=(30, 2))
    y = generator.normal(size=(150, 3)) @ shared.T + 2
    x = generator.normal(size=(200, 3)) @ shared.T + generator.normal(size=(200, 2)) @ own.T - 1
    return dataset(info, *(rows + 0.5 * generator.normal(size=rows.shape) for rows in (y, x))), shared, own


def smallest_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of the principal angles of two spans."""
    return np.linalg.svd(np.linalg.qr(one)[0].T @ np.linalg.qr(other)[0])[1].min()


@pytest.mark.parametrize("scaling", ["pooled", "none"])
def test_planted_loadings_are_recovered(gaussian, scaling):
    data, shared, own = gaussian
    method = fitted(data, d_common=3, d_salient=2, scaling=scaling)
    scale = method.scale.numpy()[:, None]
    assert smallest_cosine(method.factors.common.numpy() * scale, shared) > 0.97
    assert smallest_cosine(method.factors.salient.numpy() * scale, own) > 0.97


def groups_of_the_toy(info):
    """The release's toy data: four groups of the target, in two of thirds of features, among larger variances."""
    generator = np.random.default_rng(1)
    background = generator.normal(size=(400, 30)) * np.repeat([10.0, 3.0, 1.0], 10)
    target = generator.normal(size=(400, 30)) * np.repeat([10.0, 1.0, 1.0], 10)
    groups = np.repeat(np.arange(4), 100)
    target[:, 10:20] += np.array([0, 0, 6, 6])[groups, None]
    target[:, 20:] += np.array([0, 3, 0, 3])[groups, None]
    return dataset(info, background, target), groups


def read(vectors: torch.Tensor, groups: np.ndarray) -> float:
    return cross_val_score(LogisticRegression(max_iter=1000), vectors.numpy(), groups, cv=5).mean()


@pytest.mark.parametrize(
    ("d_common", "salient", "common"),
    [(2, (0.25, 0.4), 0.35), (8, (0.4, 0.6), 0.35), (10, (0.99, 1.0), 0.35), (12, (0.99, 1.0), 0.35)],
)
def test_the_groups_of_the_toy_data(info, d_common, salient, common):
    """Read at 1.00 from the salient space, near chance (.25) from the common one; too few common factors fail."""
    data, groups = groups_of_the_toy(info)
    found = fitted(data, d_common=d_common, d_salient=2, scaling="none").encode(data.target.images)
    assert salient[0] <= read(found.salient, groups) <= salient[1]
    assert read(found.common, groups) < common


def test_vectors_are_the_posterior_means_given_a_target(gaussian):
    data, *_ = gaussian
    method = fitted(data, d_common=3, d_salient=2)
    rows = torch.cat([data.background.images, data.target.images])
    loadings, noise = method.factors.both.numpy(), method.factors.noise
    deviation = rows.double().numpy() - data.target.images.double().numpy().mean(0)
    parts = [part.images.double().numpy() for part in (data.background, data.target)]
    pooled = np.sqrt(sum(((part - part.mean(0)) ** 2).sum(0) for part in parts) / 350)
    covariance = loadings @ loadings.T + noise * np.eye(30)
    expected = (deviation / pooled) @ np.linalg.solve(covariance, loadings)
    found = torch.cat(tuple(method.encode(rows)), dim=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_decoding_gives_back_what_the_factors_explain(gaussian):
    data, *_ = gaussian
    method = fitted(data, d_common=3, d_salient=2)
    target, background = data.target.images, data.background.images
    rest = (method.decode(method.encode(target)) - target).std()
    assert rest < 1.1 * 0.5
    assert target.std() > 1.5
    # Without the salient part a target is like a background: around its mean, and without W.
    removed = remove_salient(method, target)
    torch.testing.assert_close(removed.mean(0), background.mean(0), atol=1e-4, rtol=0)
    zero = Representation(torch.zeros(1, 3), torch.zeros(1, 2))
    torch.testing.assert_close(method.decode(zero)[0], background.mean(0), atol=1e-5, rtol=0)
    spans = removed.double().numpy() - background.double().numpy().mean(0)
    shared = (method.factors.common * method.scale[:, None]).numpy()
    projected = np.linalg.lstsq(shared, spans.T, rcond=None)[0]
    np.testing.assert_allclose(shared @ projected, spans.T, atol=1e-4)


def test_missing_values_are_left_out(gaussian):
    data, _, own = gaussian
    generator = np.random.default_rng(1)
    parts = [part.images.numpy().copy() for part in (data.background, data.target)]
    for rows in parts:
        rows[generator.random(rows.shape) < 0.2] = np.nan
    parts[0][:, 7] = np.nan  # known of targets alone
    for rows in parts:
        rows[:, 9] = np.nan  # known of none
    holed = dataset(data.info, *parts)
    method = fitted(holed, d_common=3, d_salient=2)
    loadings = method.factors.salient.numpy() * method.scale.numpy()[:, None]
    assert not loadings[9].any()
    assert smallest_cosine(np.delete(loadings, 9, 0), np.delete(own, 9, 0)) > 0.95

    complete = fitted(data, d_common=3, d_salient=2).encode(data.target.images)
    found = method.encode(holed.target.images)
    for one, other in zip(found, complete, strict=True):
        assert one.isfinite().all()
        assert smallest_cosine(one.numpy(), other.numpy()) > 0.95
    torch.testing.assert_close(method.mean[0, 7], method.mean[1, 7])
    whole = method.encode(data.target.images)  # where nothing is missing
    assert whole.salient.isfinite().all()
    assert method.decode(found).isfinite().all()


def test_a_row_without_any_value_is_the_mean(gaussian):
    data, *_ = gaussian
    method = fitted(data, d_common=3, d_salient=2)
    common, salient = method.encode(torch.full((2, 30), torch.nan))
    assert not common.any()
    assert not salient.any()


def test_constant_values_change_nothing(gaussian):
    data, *_ = gaussian
    plain = fitted(data, d_common=3, d_salient=2)
    parts = [np.insert(part.images.numpy(), 4, 5.0, axis=1) for part in (data.background, data.target)]
    widened = dataset(data.info, *parts)
    method = fitted(widened, d_common=3, d_salient=2)
    for one, other in zip(method.encode(widened.target.images), plain.encode(data.target.images), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)
    assert (method.decode(method.encode(widened.target.images))[:, 4] == 5).all()
    changed = widened.target.images.clone()
    changed[:, 4] = 7
    assert torch.equal(method.encode(changed).salient, method.encode(widened.target.images).salient)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_units_and_origins_change_nothing(gaussian, missing):
    """One feature is a hundred million times as large, another far from 0, as float32 allows."""
    data, *_ = gaussian
    generator = np.random.default_rng(1)
    holes = [generator.random(part.images.shape) < missing for part in data[1:]]
    parts = [np.where(hole, np.nan, part.images.numpy()) for hole, part in zip(holes, data[1:], strict=True)]
    plain = dataset(data.info, *parts)
    for rows in parts:
        rows[:, 3] *= 1e8
        rows[:, 4] += 1024
    moved = dataset(data.info, *parts)
    found = [fitted(each, d_common=3, d_salient=2).encode(each.target.images) for each in (plain, moved)]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.abs(), other.abs(), atol=5e-3, rtol=0)


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_the_search_does_not_depend_on_the_unit_of_all_values(gaussian, unit):
    data, *_ = gaussian
    scaled = dataset(data.info, *(part.images.double().numpy() * unit for part in data[1:]))
    found = [
        fitted(each, d_common=3, d_salient=2, scaling="none").encode(each.target.images) for each in (data, scaled)
    ]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=5e-3, rtol=0)


def test_rows_of_which_nothing_is_known_change_nothing(gaussian):
    data, *_ = gaussian
    holed = [part.images.numpy().copy() for part in data[1:]]
    for rows in holed:
        rows[::7, 3] = np.nan
    nothing = np.full((50, 30), np.nan)
    more = dataset(data.info, *(np.concatenate([nothing, rows]) for rows in holed))
    found = [fitted(each, d_common=3, d_salient=2) for each in (dataset(data.info, *holed), more)]
    assert torch.equal(found[0].factors.both, found[1].factors.both)
    with pytest.raises(UserError, match="3 such background"):
        fitted(dataset(data.info, np.concatenate([nothing, holed[0][:3]]), np.concatenate([nothing, holed[1][:3]])))


def test_noise_free_rows_keep_as_many_factors_as_are_asked_for(info):
    """Five directions in all, and no more: the noise is near its floor."""
    generator = np.random.default_rng(6)
    shared, own = generator.normal(size=(30, 3)), generator.normal(size=(30, 2))
    y, x = (generator.normal(size=(100, 3)) @ shared.T for _ in range(2))
    method = fitted(dataset(info, y, x + generator.normal(size=(100, 2)) @ own.T), d_common=3, d_salient=2)
    assert (method.factors.common.shape[1], method.factors.salient.shape[1]) == (3, 2)
    scale = method.scale.numpy()[:, None]
    assert smallest_cosine(method.factors.common.numpy() * scale, shared) > 0.999
    assert smallest_cosine(method.factors.both.numpy() * scale, np.hstack([shared, own])) > 0.999


@pytest.mark.parametrize("values", [20, 40, 60, 80])
def test_the_likelihood_is_as_large_whatever_is_formed(info, values):
    """Of 20 and 40 values a covariance is formed, of 60 its products alone, of 80 one in the span of all rows."""
    generator = np.random.default_rng(2)
    shared, own = generator.normal(size=(values, 2)), generator.normal(size=(values, 1))
    y = generator.normal(size=(35, 2)) @ shared.T + 0.5 * generator.normal(size=(35, values))
    x = generator.normal(size=(40, 2)) @ shared.T + generator.normal(size=(40, 1)) @ own.T
    data = dataset(info, y, x + 0.5 * generator.normal(size=x.shape))
    method = fitted(data, d_common=2, d_salient=1, scaling="none")
    centred = [(part.images.double() - part.images.double().mean(0)) / method.scale for part in data[1:]]

    def likelihood(common, salient, log_noise):
        loadings = [common, torch.cat([common, salient], 1)]
        return sum(log_likelihood(*each, log_noise.exp()).sum() for each in zip(centred, loadings, strict=True))

    factors = method.factors
    parameters = [factors.common, factors.salient, torch.tensor(factors.noise, dtype=torch.float64).log()]
    parameters = [each.clone().requires_grad_() for each in parameters]
    gradients = torch.autograd.grad(likelihood(*parameters), parameters)
    assert max(each.abs().max() for each in gradients) < 0.05  # of a likelihood of thousands, in rows of deviation 2
    assert smallest_cosine(factors.salient.numpy(), own) > 0.9


def test_where_values_exceed_both_populations_rows_no_pairs_of_values_are_formed(info, square_matrices):
    generator = np.random.default_rng(2)
    data = dataset(info, generator.normal(size=(120, 200)), generator.normal(size=(130, 200)))
    with square_matrices(200) as seen:
        fitted(data, d_common=3, d_salient=2)
    assert not seen.made


def test_few_rows_of_many_values_need_little_memory(info):
    """100,000 values would need 80 GB for a covariance."""
    generator = np.random.default_rng(2)
    wide = dataset(info, generator.normal(size=(8, 100_000)), generator.normal(size=(9, 100_000)))
    assert fitted(wide, d_common=2, d_salient=1).factors.common.shape == (100_000, 2)


@pytest.mark.parametrize(
    ("shape", "asked", "given"),
    [
        ((100, 100, 30), (10, 2), (10, 2)),
        ((100, 100, 10), (10, 2), (8, 1)),  # less than 10 values
        ((100, 9, 30), (10, 2), (6, 1)),  # less than the target's 9 rows less one
        ((5, 100, 30), (10, 2), (3, 2)),  # less than the background's 5 rows less one
        ((100, 100, 3), (10, 2), (1, 1)),
        ((3, 4, 30), (10, 2), (1, 1)),
    ],
)
def test_vectors_are_as_long_as_the_data_allow(info, shape, asked, given):
    background, target, values = shape
    generator = np.random.default_rng(3)
    data = dataset(info, generator.normal(size=(background, values)), generator.normal(size=(target, values)))
    found = fitted(data, d_common=asked[0], d_salient=asked[1]).encode(data.target.images)
    assert (found.common.shape[1], found.salient.shape[1]) == given
    assert all(vectors.isfinite().all() for vectors in found)


@pytest.mark.parametrize(
    ("shape", "said"), [((50, 50, 2), "has 2 values"), ((2, 50, 9), "2 such background"), ((9, 3, 9), "3 such target")]
)
def test_what_is_too_small_is_refused(info, shape, said):
    background, target, values = shape
    data = dataset(info, np.zeros((background, values)), np.zeros((target, values)))
    with pytest.raises(UserError, match=said):
        CLVM().check(data.info)


def test_rows_that_are_all_the_same_are_refused(info):
    with pytest.raises(UserError, match="nothing to learn from"):
        fitted(dataset(info, np.ones((20, 9)), np.zeros((20, 9))))


@pytest.mark.parametrize(
    "fields", [{"d_common": 0}, {"d_salient": 0}, {"scaling": "each"}, {"preprocess_components": 1}, {"iterations": 0}]
)
def test_wrong_settings_are_refused(fields):
    with pytest.raises(UserError, match=f"clvm.{next(iter(fields))}"):
        CLVMConfig(**fields)


def test_images_without_their_salient_part_are_backgrounds():
    """In `planted` the upper half of an image is common, the lower one salient, and black in backgrounds."""
    subject = load_subject("clvm", ["clvm.d_common=8", "clvm.d_salient=8"])
    images = as_float(subject.data.target.images[:50])
    upper, lower = images.split(16, dim=2)
    found_upper, found_lower = remove_salient(subject.usual, images).split(16, dim=2)
    assert lower[:, :, 1:].mean() > 0.25
    assert found_lower[:, :, 1:].mean() < 1e-4
    assert (found_upper[:, :, 1:] - upper[:, :, 1:]).abs().mean() < 0.1 * upper.mean()


def test_a_thousand_rows_of_five_hundred_values_take_less_than_ten_seconds(info):
    generator = np.random.default_rng(4)
    shared, own = generator.normal(size=(500, 10)), generator.normal(size=(500, 2))
    y = generator.normal(size=(1000, 10)) @ shared.T
    x = generator.normal(size=(1000, 10)) @ shared.T + generator.normal(size=(1000, 2)) @ own.T
    data = dataset(info, *(rows + 3 * generator.normal(size=rows.shape) for rows in (y, x)))
    before = time.process_time()
    method = fitted(data)
    assert time.process_time() - before < 10
    assert smallest_cosine(method.factors.salient.numpy() * method.scale.numpy()[:, None], own) > 0.95
