"""Background contrastive NMF: one round by hand, its steps against NumPy and scikit-learn, and planted parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.decomposition import NMF

from cabench.config import ConfigError
from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.errors import UserError
from cabench.experiment.request import check_method
from cabench.method import Representation
from cabench.methods.bcnmf import (
    BCNMF,
    BCNMFConfig,
    Factors,
    contrast,
    contrastive_round,
    factorised,
    likeliest_codes,
    nearest_codes,
)
from cabench.methods.shared.factorisation import Poisson, SquaredError
from cabench.pictures.generation import reconstruct, remove_salient, swap

KINDS = {"squared-error": SquaredError(), "poisson": Poisson()}
FEATURES, ROWS = 40, 200


def table(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    counts = {"train": {"background": len(background), "target": len(target)}}
    info = replace(load_subject("pca").data.info, image_shape=background.shape[1:], counts=counts, are_counts=True)
    return ContrastiveDataset(info, *parts)


def fitted(data: ContrastiveDataset, **fields: object) -> BCNMF:
    method = BCNMF(BCNMFConfig(**fields))
    method.fit(data, context())
    return method


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Background and target rates (n, p) of three common parts, and two parts (p, 2) of the target alone."""
    generator = np.random.default_rng(2)
    common, salient = generator.gamma(0.5, 1, (FEATURES, 3)), generator.gamma(0.5, 1, (FEATURES, 2))
    background = generator.gamma(1, 1, (ROWS, 3)) @ common.T
    target = generator.gamma(1, 1, (ROWS, 3)) @ common.T + generator.gamma(1, 1, (ROWS, 2)) @ salient.T
    noise = 0.01 * generator.random((2, ROWS, FEATURES))
    return background + noise[0], target + noise[1], salient


def start(target: np.ndarray, background: np.ndarray, count: int = 2) -> Factors:
    generator = torch.Generator().manual_seed(0)
    sizes = (target.shape[1], len(target), len(background))
    return Factors(*(torch.rand(size, count, dtype=torch.float64, generator=generator) for size in sizes))


def cosines(parts: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """Of each planted part, with the most similar part found."""
    found, wanted = (w / np.linalg.norm(w, axis=0) for w in (parts, planted))
    return (wanted.T @ found).max(1)


# Steps


def test_one_round_by_hand():
    target, background = torch.tensor([[1.0, 3.0], [2.0, 4.0]]), torch.tensor([[1.0, 0.0], [1.0, 2.0]])
    ones = torch.ones(2, 1, dtype=torch.float64)
    after = contrastive_round(target, background, SquaredError(), 1.0, Factors(ones, ones, ones))
    torch.testing.assert_close(after.target.flatten().tolist(), [2.0, 3.0])
    torch.testing.assert_close(after.background.flatten().tolist(), [0.5, 1.5])
    torch.testing.assert_close(after.parts.flatten().tolist(), [0.7, 1.28125])


def numpy_round(kind, x, y, w, h_x, h_y, alpha):
    """One round with data (p, n) and codes (K, n), from the published formulas."""
    if kind == "squared-error":
        h_x, h_y = (h * (w.T @ v) / (w.T @ w @ h + 1e-10) for v, h in ((x, h_x), (y, h_y)))
        up = x @ h_x.T + alpha * w @ h_y @ h_y.T
        return w * up / (w @ h_x @ h_x.T + alpha * y @ h_y.T + 1e-10), h_x, h_y
    sums = w.sum(0)[:, None]
    h_x, h_y = (h * (w.T @ (v / (w @ h + 1e-16))) / (sums + 1e-16) for v, h in ((x, h_x), (y, h_y)))
    up = (x / (w @ h_x + 1e-16)) @ h_x.T + alpha * np.ones_like(y) @ h_y.T
    down = np.ones_like(x) @ h_x.T + alpha * (y / (w @ h_y + 1e-16)) @ h_y.T
    return w * up / (down + 1e-16), h_x, h_y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.0, 0.7, 3.0])
def test_rounds_equal_those_of_numpy(planted, kind, alpha):
    background, target = (rows.astype(np.float32) for rows in planted[:2])
    factors = start(target, background)
    w, h_x, h_y = factors.parts.numpy(), factors.target.numpy().T, factors.background.numpy().T
    for _ in range(5):
        factors = contrastive_round(*map(torch.from_numpy, (target, background)), KINDS[kind], alpha, factors)
        w, h_x, h_y = numpy_round(kind, target.T.astype(float), background.T.astype(float), w, h_x, h_y, alpha)
    for found, expected in zip(factors, (w, h_x.T, h_y.T), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(("kind", "loss"), [("squared-error", "frobenius"), ("poisson", "kullback-leibler")])
def test_without_background_it_is_plain_factorisation(planted, kind, loss):
    background, target = (torch.from_numpy(rows).float() for rows in planted[:2])
    first = start(planted[1], planted[0])
    found = factorised(target, background, KINDS[kind], 0.0, 60, first)[1]
    plain = NMF(2, init="custom", solver="mu", beta_loss=loss, max_iter=60, tol=0)
    codes = plain.fit_transform(target.double().numpy(), W=first.target.numpy().copy(), H=first.parts.T.numpy().copy())
    np.testing.assert_allclose(found.parts.numpy(), plain.components_.T, rtol=1e-6)
    np.testing.assert_allclose(found.target.numpy(), codes, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_contrast_falls_at_every_round_up_to_equal_weights(planted, kind, alpha):
    background, target = (torch.from_numpy(rows).float() for rows in planted[:2])
    factors, reached = start(planted[1], planted[0]), []
    for _ in range(200):
        factors = contrastive_round(target, background, KINDS[kind], alpha, factors)
        reached.append(contrast(target, background, KINDS[kind], alpha, factors))
    assert (np.diff(reached) <= 1e-12 * np.abs(reached[:-1])).all()


def test_the_best_of_the_later_rounds_is_kept(planted):
    """With a heavy background the contrast also rises, and is lowest at once, where codes are not fitted yet."""
    background, target = (torch.from_numpy(rows).float() for rows in planted[:2])
    kind, alpha, factors, reached = SquaredError(), 12.0, start(planted[1], planted[0]), []
    value, kept = factorised(target, background, kind, alpha, 100, factors)
    for _ in range(100):
        factors = contrastive_round(target, background, kind, alpha, factors)
        reached.append(contrast(target, background, kind, alpha, factors))
    assert (np.diff(reached) > 0).any()
    assert value == min(reached[50:])
    assert value == contrast(target, background, kind, alpha, kept)


def test_starts_have_the_size_of_the_data(planted):
    """Codes times parts, uniform from 0 to sqrt(mean / K), are a quarter of the mean on average."""
    background, target = (torch.from_numpy(1000 * rows).float() for rows in planted[:2])
    drawn = BCNMF(BCNMFConfig(components=4))._start(target, background, context().randomness.initialisation())
    assert (drawn.target @ drawn.parts.T).mean().item() == pytest.approx(target.mean().item() / 4, rel=0.1)


def test_the_best_of_the_starts_is_kept(planted):
    data = table(*planted[:2])

    def error(restarts: int) -> float:
        method = fitted(data, components=3, rounds=5, restarts=restarts, alpha=0.0)
        rows = data.target.images
        return (rows - method.encode(rows).salient @ method.parts.T).square().sum().item()

    assert error(4) < error(1)


# Encoding


def test_codes_are_the_nearest_non_negative_ones():
    generator = np.random.default_rng(0)
    parts, rows = generator.random((30, 6)), generator.random((50, 30))
    found = nearest_codes(*map(torch.from_numpy, (rows, parts)))
    expected = np.array([nnls(parts, row)[0] for row in rows])
    assert (expected == 0).any()
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_codes_of_counts_maximise_their_likelihood():
    generator = np.random.default_rng(0)
    parts = generator.random((30, 3)) + 0.1
    rows = generator.poisson(generator.gamma(2, 5, (20, 3)) @ parts.T).astype(float)
    codes = likeliest_codes(*map(torch.from_numpy, (rows, parts))).numpy()
    gradient = (rows / (codes @ parts.T)) @ parts - parts.sum(0)
    assert np.abs(codes * gradient).max() < 1e-3 * rows.sum(1).mean(), "the conditions of a maximum"
    assert gradient.max() < 0.01 * parts.sum(0).min()
    assert (likeliest_codes(torch.zeros(1, 30).double(), torch.from_numpy(parts)) == 0).all()


def test_the_product_does_not_change_when_parts_are_scaled(planted):
    background, target = planted[:2]
    data = table(background, target)
    method = fitted(data, components=3, restarts=1)
    np.testing.assert_allclose(np.linalg.norm(method.parts.numpy(), axis=0), 1, rtol=1e-6)
    scaled = np.diag([0.1, 3.0, 20.0])
    one, other = (
        nearest_codes(torch.from_numpy(target), torch.from_numpy(parts)).numpy() @ parts.T
        for parts in (method.parts.double().numpy(), method.parts.double().numpy() @ scaled)
    )
    np.testing.assert_allclose(one, other, rtol=1e-9)


# Recovery


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_the_target_alone_are_found(planted, kind):
    background, target, salient = planted
    if kind == "poisson":
        background, target = (np.random.default_rng(0).poisson(3 * rates) for rates in (background, target))
    data = table(background, target)
    contrastive = fitted(data, components=2, rounds=300, divergence=kind, restarts=2)
    plain = fitted(data, components=2, rounds=300, divergence=kind, restarts=2, alpha=0.0)
    assert cosines(contrastive.parts.numpy(), salient).min() > 0.95
    assert cosines(plain.parts.numpy(), salient).min() < 0.85
    of_background, of_target = (
        contrastive.encode(part.images).salient.mean() for part in (data.background, data.target)
    )
    assert of_background < 0.6 * of_target


def test_a_heavier_background_leaves_parts_that_are_more_the_target_s_own(planted):
    """Card F7, of other draws: (.55, .12) at alpha 0, (.61, .14) at .5, (.98, .74) at 1 and (.96, .94) at 3."""
    background, target = (torch.from_numpy(rows).float() for rows in planted[:2])
    found = []
    for alpha in (0.0, 0.5, 1.0, 3.0):
        value, factors = factorised(target, background, SquaredError(), alpha, 300, start(planted[1], planted[0]))
        assert value >= -alpha * background.double().square().sum(), "what codes of 0 alone would give"
        found.append(cosines(factors.parts.numpy(), planted[2]).mean())
    np.testing.assert_allclose(found, [0.72, 0.74, 0.93, 0.97], atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_the_weight_does_not_depend_on_how_many_background_rows_there_are(planted, kind):
    background, target, _ = planted
    fields = {"components": 2, "rounds": 400, "restarts": 1, "divergence": kind}
    backgrounds = (background, np.concatenate([background, background]))
    # The background's codes start elsewhere, which matters less and less.
    one, two = (np.sort(fitted(table(rows, target), **fields).parts.numpy(), axis=1) for rows in backgrounds)
    np.testing.assert_allclose(one, two, atol=0.05)


def test_the_weight_does_not_depend_on_the_background_s_scale(planted):
    background, target, _ = planted
    fields = {"components": 2, "rounds": 400, "restarts": 1}
    one, ten = (
        np.sort(fitted(table(factor * background, target), **fields).parts.numpy(), axis=1) for factor in (1, 10)
    )
    np.testing.assert_allclose(one, ten, atol=0.05)


def test_there_are_no_more_parts_than_rows_and_features():
    generator = np.random.default_rng(0)
    few = fitted(table(generator.random((9, 6)), generator.random((4, 6))), components=5, rounds=5)
    narrow = fitted(table(generator.random((9, 2)), generator.random((8, 2))), components=5, rounds=5)
    assert (few.parts.shape[1], narrow.parts.shape[1]) == (4, 2)
    assert [space.shape[1] for space in narrow.encode(torch.rand(3, 2))] == [2, 2]


# Decoding


def test_rows_are_decoded_well_and_right_on_average(planted):
    data = table(*planted[:2])
    method = fitted(data, components=2, rounds=300, restarts=2)
    rows = data.target.images
    decoded = reconstruct(method, rows)
    assert (decoded.mean(0) - rows.mean(0)).abs().max() < 0.05 * rows.mean()
    error = (decoded - rows).square().sum() / (rows - rows.mean(0)).square().sum()
    assert error < 0.15, "two parts and two common directions of a table of rank five"


def test_decoding_keeps_the_common_vector_and_adds_the_parts_outside_of_its_directions(planted):
    data = table(*planted[:2])
    method = fitted(data, components=2, rounds=100, restarts=1)
    rows = data.target.images
    common, salient = method.encode(rows)
    directions, parts = method.common.double().numpy(), method.parts.double().numpy()
    outside = parts - directions @ directions.T @ parts
    method.rest += 100  # so that nothing is clipped
    method.mean += 100
    decoded = method.decode(Representation(common, salient)).double().numpy()
    nothing = method.decode(Representation(common, torch.zeros_like(salient))).double().numpy()
    np.testing.assert_allclose(decoded - nothing, salient.double().numpy() @ outside.T, atol=1e-4)
    np.testing.assert_allclose((decoded - method.mean.double().numpy()) @ directions, common.numpy(), atol=1e-3)


def test_removing_and_giving_the_salient_part_moves_rows_towards_the_other_population(planted):
    background, target, _ = planted
    data = table(background, target)
    method = fitted(data, components=2, rounds=300, restarts=2)
    removed = remove_salient(method, data.target.images).double().numpy()
    given = swap(method, data.background.images, data.target.images).double().numpy()
    means = [rows.mean(0) for rows in (background, target)]
    between = np.linalg.norm(means[1] - means[0])
    assert np.linalg.norm(removed.mean(0) - means[0]) < 0.9 * between
    assert np.linalg.norm(given.mean(0) - means[1]) < 0.9 * between
    assert removed.min() >= 0


# Refusals


def test_negative_and_missing_values_are_refused(planted):
    background, target, _ = planted
    for bad, said in (
        (-1.5, "takes values from 0 up, but a target row of planted holds -1.5;"),
        (np.nan, "takes no missing values"),
    ):
        spoiled = target.copy()
        spoiled[3, 2] = bad
        with pytest.raises(UserError, match=f"bcnmf {said}"):
            fitted(table(background, spoiled))


@pytest.mark.parametrize("kind", KINDS)
def test_a_population_of_zeros_is_refused(planted, kind):
    """There would be no parts of it, and its codes would be 0 / 0."""
    background, target, _ = planted
    with pytest.raises(UserError, match="bcnmf learns from values above 0, but all target rows of planted are 0"):
        fitted(table(background, 0 * target), divergence=kind)
    with pytest.raises(UserError, match="all background rows of planted are 0"):
        fitted(table(0 * background, target), divergence=kind)


def test_standardised_tables_and_large_images_are_refused(planted_info, planted_table):
    with pytest.raises(
        UserError, match="bcnmf takes images, tables without negative values and counts, but planted_table"
    ):
        check_method(BCNMF(), planted_table.info)
    large = replace(planted_info, image_shape=(3, 512, 512), counts={"train": {"background": 9000, "target": 9000}})
    with pytest.raises(UserError, match="use a size with at most"):
        BCNMF().check(large)


@pytest.mark.parametrize(
    "wrong", [{"components": 0}, {"alpha": -1.0}, {"divergence": "frobenius"}, {"rounds": 0}, {"restarts": 0}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"bcnmf.{next(iter(wrong))}"):
        BCNMFConfig(**wrong)
