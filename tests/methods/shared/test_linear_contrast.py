"""What contrastive PCAs share: their reduction against NumPy, values that count as constant, decoding, few rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population, as_float
from cabench.methods.cpca import CPCA, CPCAConfig
from cabench.methods.scpca import SCPCA, SCPCAConfig
from cabench.methods.shared.linear_contrast import LinearContrast
from cabench.methods.uca import UCA, UCAConfig
from cabench.pictures.generation import reconstruct, remove_salient, swap
from cabench.saving import load_method, save_method

FEW = "cabench.methods.shared.linear_contrast.few_rows"
MANY_ROWS, FEW_ROWS = (60, 50, 12), (15, 12, 40)  # targets, backgrounds, values


def table(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    info = dataclasses.replace(load_subject("pca").data.info, image_shape=target.shape[1:])
    return ContrastiveDataset(info, *parts)


def drawn(targets: int, backgrounds: int, values: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated rows of both, which vary most along a direction that they share; the target also along two others."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(values, values)) * np.geomspace(3, 0.3, values)[:, None]
    shared, own = 15 * generator.normal(size=(1, values)), 6 * generator.normal(size=(2, values))
    background, target = (
        generator.normal(size=(rows, values)) @ mixing + generator.normal(size=(rows, 1)) @ shared
        for rows in (backgrounds, targets)
    )
    return background - 2, target + generator.normal(size=(targets, 2)) @ own + 1


def methods(standardize: bool) -> list[LinearContrast]:
    sizes = {"standardize": standardize, "components": 3}
    search = {"alpha_count": 3, "alpha_range": (0.5, 5.0), "penalties": (0.05,)}
    return [CPCA(CPCAConfig(alpha=1.5, **sizes)), UCA(UCAConfig(**sizes)), SCPCA(SCPCAConfig(**sizes, **search))]


def fitted(method: LinearContrast, data: ContrastiveDataset) -> LinearContrast:
    method.fit(data, context())
    return method


def released(background: np.ndarray, target: np.ndarray, alpha: float, reduced: int) -> np.ndarray:
    """Target scores of the released library: a PCA of the stacked rows of both, each standardised by itself, first."""
    parts = [(rows - rows.mean(0)) / rows.std(0) for rows in (background, target)]
    basis = np.linalg.svd(np.concatenate(parts), full_matrices=False)[2][:reduced].T
    c_background, c_target = (np.cov((rows @ basis).T) for rows in parts)
    leading = np.linalg.eigh(c_target - alpha * c_background)[1][:, :-4:-1]
    return parts[1] @ basis @ leading


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize(("targets", "backgrounds"), [(300, 60), (60, 300)])
def test_populations_weigh_in_the_reduction_as_in_the_released_library(targets, backgrounds, few, monkeypatch):
    """Each by its rows less one; by its rows, columns are 4e-3 off."""
    monkeypatch.setattr(FEW, lambda _: few)
    data = table(*drawn(targets, backgrounds, 20))
    method = fitted(CPCA(CPCAConfig(components=3, alpha=2.0, preprocess_components=8)), data)
    expected = released(*(part.images.double().numpy() for part in (data.background, data.target)), 2.0, 8)
    found = method.encode(data.target.images).salient.double().numpy()
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found * signs, expected, atol=2e-5)


@pytest.mark.parametrize("rows", [MANY_ROWS, FEW_ROWS])
def test_the_unit_of_a_table_does_not_matter(rows):
    background, target = drawn(*rows)
    usual, tiny = (
        fitted(CPCA(CPCAConfig(alpha=1.0)), data).encode(data.target.images)
        for data in (table(background, target), table(1e-7 * background, 1e-7 * target))
    )
    for one, other in zip(usual, tiny, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rows", [MANY_ROWS, FEW_ROWS])
def test_a_value_that_is_constant_but_for_rounding_counts_as_constant(rows):
    background, target = drawn(*rows)
    target[:, 3] = 0.1
    constant = table(background, target)
    target[::2, 3] = np.nextafter(np.float32(0.1), np.float32(1))
    rounded = table(background, target)
    assert rounded.target.images[:, 3].var() > 0
    one, other = (fitted(CPCA(CPCAConfig(alpha=1.0)), data) for data in (constant, rounded))
    assert (other.salient[3] == 0).all()
    torch.testing.assert_close(other.salient, one.salient, rtol=1e-5, atol=1e-6)


def test_constant_values_do_not_move_the_limit_of_uca():
    background, target = drawn(*MANY_ROWS)
    border = np.full((len(background), 30), 4.0), np.full((len(target), 30), 4.0)
    plain, padded = (
        fitted(UCA(UCAConfig(standardize=False)), table(*parts))
        for parts in (
            (background, target),
            [np.hstack(part) for part in zip((background, target), border, strict=True)],
        )
    )
    assert padded.alpha == pytest.approx(plain.alpha, rel=1e-5) != 0


def test_a_weight_of_uca_follows_the_targets_unit():
    """Whatever it is: a search within fixed bounds would end in an error here."""
    background, target = drawn(*MANY_ROWS)
    plain, large = (
        fitted(UCA(UCAConfig(standardize=False)), table(background, factor * target)).alpha for factor in (1, 1e5)
    )
    assert large == pytest.approx(1e10 * plain, rel=1e-4) != 0


def test_common_directions_are_no_more_than_the_background_varies_in():
    """Others would be arbitrary: which rounding decides."""
    generator = np.random.default_rng(0)
    data = table(generator.normal(size=(4, 30)), generator.normal(size=(50, 30)))
    common, salient = fitted(CPCA(CPCAConfig(components=10, alpha=1.0)), data).encode(data.target.images)
    assert common.shape == (50, 3)
    assert salient.shape == (50, 10)


class Projections:
    """In NumPy: scaled rows, and the orthogonal projectors on both spans, from what a method encodes with."""

    def __init__(self, method: LinearContrast, data: ContrastiveDataset) -> None:
        target = data.target.images.flatten(1).double().numpy()
        deviations = target.std(0)
        varies = deviations > 1e-6
        standardized = method.config.standardize
        self.scale = np.where(varies, 1 / np.where(varies, deviations, 1), 0) if standardized else np.ones(len(varies))
        self.inverse = np.where(self.scale > 0, 1 / np.where(self.scale > 0, self.scale, 1), 0)
        self.mean = target.mean(0)
        self.salient, self.common = (
            directions @ np.linalg.pinv(directions, rcond=1e-4)
            for directions in (
                self.inverse[:, None] * part.double().numpy() for part in (method.salient, method.common)
            )
        )

    def scaled(self, rows: torch.Tensor) -> np.ndarray:
        return (rows.double().numpy() - self.mean) * self.scale

    def unscaled(self, rows: np.ndarray) -> np.ndarray:
        return rows * self.inverse


@pytest.fixture(scope="module", params=[MANY_ROWS, FEW_ROWS], ids=["many rows", "few rows"])
def data(request: pytest.FixtureRequest) -> ContrastiveDataset:
    """The first value is constant in the target, the second in the background, the third in both."""
    background, target = drawn(*request.param)
    target[:, [0, 2]], background[:, [1, 2]] = 5, -3
    return table(background, target)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("number", range(3), ids=["cpca", "uca", "scpca"])
def test_decoding_is_projection(data, standardize, number):
    method = fitted(methods(standardize)[number], data)
    space, rows = Projections(method, data), data.target.images
    z = space.scaled(rows)
    own, shared = z @ space.salient, z @ space.common
    rest = shared - shared @ space.salient
    decoded, removed = reconstruct(method, rows).double().numpy(), remove_salient(method, rows).double().numpy()
    close = {"atol": 2e-4 * np.abs(space.unscaled(z)).max()}
    np.testing.assert_allclose(decoded, space.mean + space.unscaled(own + rest), **close)
    background = data.background.images.double().numpy().mean(0)
    np.testing.assert_allclose(removed, background + space.unscaled(rest), **close)
    swapped = swap(method, rows, rows.flip(0)).double().numpy()
    np.testing.assert_allclose(swapped, space.mean + space.unscaled(own[::-1] + rest), **close)
    again = method.encode(reconstruct(method, rows)).salient
    torch.testing.assert_close(again, method.encode(rows).salient, rtol=1e-3, atol=1e-3)
    without = method.encode(remove_salient(method, rows)).salient
    of_background = method.encode(data.background.images.mean(0, keepdim=True)).salient
    torch.testing.assert_close(without, of_background.expand_as(without), rtol=1e-3, atol=1e-3)
    if standardize:
        np.testing.assert_allclose(decoded[:, [0, 2]], 5, atol=1e-6)


@pytest.mark.parametrize("number", range(3), ids=["cpca", "uca", "scpca"])
def test_rows_in_the_span_of_common_directions_are_given_back(data, number):
    method = fitted(methods(True)[number], data)
    inverse = Projections(method, data).inverse[:, None]
    weights = np.random.default_rng(0).normal(size=(9, method.common.shape[1]))
    deviations = inverse**2 * method.common.double().numpy() @ weights.T
    rows = (method.mean + torch.from_numpy(deviations.T)).float()
    torch.testing.assert_close(reconstruct(method, rows), rows, rtol=1e-4, atol=1e-3)


def test_rows_in_the_span_of_directions_at_right_angles_are_given_back():
    generator = np.random.default_rng(0)
    rows = np.linalg.qr(np.column_stack([np.ones(100), generator.normal(size=(100, 6))]))[0][:, 1:] * 10
    data = table(rows * [5, 4, 1, 1, 1, 1], rows * [5, 4, 3, 2, 1, 1] + 7)
    method = fitted(CPCA(CPCAConfig(alpha=1.0, standardize=False)), data)
    inside = data.target.images.clone()
    inside[:, 4:] = data.target.images[:, 4:].mean(0)
    torch.testing.assert_close(reconstruct(method, inside), inside, rtol=1e-4, atol=1e-4)
    removed = remove_salient(method, inside)
    torch.testing.assert_close(removed[:, :2], inside[:, :2] - 7, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(removed[:, 2:], torch.zeros(100, 4), rtol=1e-4, atol=1e-4)


def test_equal_sparse_directions_are_decoded_as_one():
    from cabench.methods.shared.linear_contrast import _decoding

    generator = torch.Generator().manual_seed(0)
    one, common = (torch.randn(8, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    twice = torch.cat([one, one + 1e-9 * common], 1)
    row = torch.randn(8, generator=generator, dtype=torch.float64)
    own, _ = _decoding(twice, common)
    torch.testing.assert_close(own @ (twice.T @ row), (one @ one.T @ row) / one.square().sum(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("number", range(3), ids=["cpca", "uca", "scpca"])
def test_images_are_decoded_as_images_and_the_same_after_loading(number, tmp_path):
    data = load_subject("cpca").data
    method = fitted(methods(True)[number], data)
    images = as_float(data.target.images)
    decoded = reconstruct(method, images)
    assert decoded.shape == images.shape
    assert 0 <= decoded.min() < decoded.max() <= 1
    save_method(method, tmp_path / "method.safetensors")
    loaded = load_method(tmp_path / "method.safetensors", type(method))
    assert torch.equal(reconstruct(loaded, images), decoded)
    assert loaded.alpha == method.alpha


def test_tables_are_decoded_without_bounds(data):
    decoded = reconstruct(fitted(methods(True)[0], data), data.target.images)
    assert decoded.shape == data.target.images.shape
    assert decoded.min() < 0
    assert decoded.max() > 1
