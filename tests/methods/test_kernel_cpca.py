"""Kernel contrastive PCA: linear kernel against contrastive PCA, others against explicit features."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch

from cabench.config import ConfigError
from cabench.conformance import context, load_subject
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.methods.kernel_cpca import KernelCPCA, KernelCPCAConfig
from cabench.methods.shared.kernel_contrast import centred_by_population, contrast, factor_of

SIZE = 6


def table(background: np.ndarray, target: np.ndarray) -> ContrastiveDataset:
    parts = (Population(torch.from_numpy(rows.astype(np.float32)), {}) for rows in (background, target))
    return ContrastiveDataset(load_subject("pca").data.info, *parts)


def fitted(data: ContrastiveDataset, **fields: object) -> KernelCPCA:
    method = KernelCPCA(KernelCPCAConfig(**fields))
    method.fit(data, context())
    return method


@pytest.fixture(scope="module")
def data() -> ContrastiveDataset:
    generator = np.random.default_rng(0)
    spread = np.linspace(0.5, 2, SIZE)
    background, target = generator.normal(size=(40, SIZE)) * spread, generator.normal(size=(50, SIZE)) * spread[::-1]
    return table(background + 1, target - 2)


def explicit(features: np.ndarray, new: np.ndarray, alpha: float, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Contrastive PCA by covariances of 50 targets and 40 backgrounds: eigenvalues, and scores of new rows."""
    target, background = features[:50], features[50:]
    difference = np.cov(target.T, bias=True) - alpha * np.cov(background.T, bias=True)
    values, vectors = np.linalg.eigh(difference)
    return values[::-1][:k], (new - target.mean(0)) @ vectors[:, ::-1][:, :k]


def stacked(data: ContrastiveDataset) -> np.ndarray:
    return np.concatenate([data.target.images.double().numpy(), data.background.images.double().numpy()])


def quadratic(rows: np.ndarray) -> np.ndarray:
    """The features of which (x y + 1)^2 is the product."""
    pairs = [
        rows[:, i] * rows[:, j] * (1 if i == j else 2**0.5)
        for i, j in combinations_with_replacement(range(rows.shape[1]), 2)
    ]
    return np.column_stack([np.ones(len(rows)), 2**0.5 * rows, *pairs])


def assert_alike(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Equal up to the sign of each column."""
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found * signs, expected, atol=tolerance * np.abs(expected).max())


def test_a_linear_kernel_gives_contrastive_pca_to_rounding(data):
    """The card's identity, in float64: scores and eigenvalues."""
    rows = stacked(data)
    kernel = torch.from_numpy(rows @ rows.T)
    counts = [50, 40]
    centred = centred_by_population(centred_by_population(kernel, counts).T, counts)
    weights = torch.from_numpy(np.r_[np.full(50, 1 / 50), np.full(40, -2 / 40)])
    coefficients = contrast(factor_of(centred), weights, 3)
    values, scores = explicit(rows, rows[:50], 2.0, 3)
    found = (centred @ coefficients).numpy()
    assert_alike(found[:50], scores, 1e-11)
    np.testing.assert_allclose((weights[:, None].numpy() * found**2).sum(0), values, rtol=1e-11)
    np.testing.assert_allclose((coefficients.T @ centred @ coefficients).numpy(), np.eye(3), atol=1e-10)
    # D K_c a = lambda a, on what K_c sees
    np.testing.assert_allclose(centred.numpy() @ (weights[:, None].numpy() * found), found * values, atol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 2.0, 20.0])
def test_new_rows_are_encoded_as_contrastive_pca_does(data, alpha):
    method = fitted(data, kernel="linear", components=3, alpha=alpha)
    new = np.random.default_rng(5).normal(size=(30, SIZE)).astype(np.float32)
    _, scores = explicit(stacked(data), new.astype(float), alpha, 3)
    assert_alike(method.encode(torch.from_numpy(new)).salient.double().numpy(), scores, 1e-5)


def test_a_quadratic_kernel_is_contrastive_pca_of_products(data):
    method = fitted(data, kernel="polynomial", components=3, scale=1.0)
    new = np.random.default_rng(5).normal(size=(30, SIZE)).astype(np.float32)
    _, scores = explicit(quadratic(stacked(data)), quadratic(new.astype(float)), 2.0, 3)
    assert_alike(method.encode(torch.from_numpy(new)).salient.double().numpy(), scores, 1e-5)


def test_the_common_vector_is_the_backgrounds_kernel_pca(data):
    method = fitted(data, kernel="polynomial", components=2, scale=1.0)
    features = quadratic(stacked(data))
    vectors = np.linalg.eigh(np.cov(features[50:].T))[1][:, ::-1][:, :2]
    expected = (features[50:] - features[:50].mean(0)) @ vectors
    assert_alike(method.encode(data.background.images).common.double().numpy(), expected, 1e-5)


def test_rings_are_told_apart_that_no_line_separates():
    """Targets lie on two rings around the backgrounds' mean; the first direction of a radial kernel holds the ring."""
    generator = np.random.default_rng(0)
    inner = np.repeat([1.0, 3.0], 60)
    angles = generator.uniform(0, 2 * np.pi, 120)
    target = inner[:, None] * np.column_stack([np.cos(angles), np.sin(angles)]) + 0.1 * generator.normal(size=(120, 2))
    data = table(generator.normal(0, 0.3, (120, 2)), target)
    first = {
        kernel: fitted(data, kernel=kernel).encode(data.target.images).salient.numpy() for kernel in ("rbf", "linear")
    }
    best = {kernel: max(abs(np.corrcoef(column, inner)[0, 1]) for column in rows.T) for kernel, rows in first.items()}
    assert best["rbf"] > 0.9
    assert best["linear"] < 0.3


def test_few_rows_stand_for_many(data):
    method = fitted(data, most_rows=20)
    assert method.rows.shape == (20, SIZE)
    torch.testing.assert_close(method.rows[0], data.target.images[0])
    torch.testing.assert_close(method.rows[-1], data.background.images[-1])
    assert method.encode(data.target.images).salient.shape == (50, 2)


def test_the_scale_is_one_over_the_values_times_their_average_variance(data):
    within = [part.images.double().var(0, correction=0).mean() * len(part) for part in data[1:]]
    assert fitted(data).scale == pytest.approx(90 / (SIZE * sum(within).item()))
    assert fitted(data, scale=0.25).scale == 0.25


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_an_offset_costs_no_digits(data, kernel):
    """Rows in sixteenths, which float32 holds beside an offset of 2^16."""
    near = [(16 * part.images).round() / 16 for part in data[1:]]
    vectors = [
        fitted(
            data._replace(background=Population(near[0] + far, {}), target=Population(near[1] + far, {})), kernel=kernel
        )
        .encode(near[1] + far)
        .salient
        for far in (0.0, 2.0**16)
    ]
    torch.testing.assert_close(*vectors, rtol=1e-5, atol=1e-6)


def test_common_vectors_have_as_many_dimensions_as_the_background_varies_in(data):
    few = data._replace(background=Population(data.background.images[:3], {}))
    common, salient = fitted(few, kernel="linear", components=5).encode(data.target.images)
    assert common.shape[1] == 2
    assert salient.shape[1] == 5


def test_rows_that_never_vary_are_taken():
    data = table(np.ones((5, 3)), np.ones((6, 3)))
    for kernel in ("rbf", "linear", "polynomial"):
        vectors = fitted(data, kernel=kernel).encode(torch.ones(4, 3))
        assert all(part.isfinite().all() for part in vectors)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel": "cosine"}, r"kernel_cpca.kernel = 'cosine' is not allowed"),
        ({"degree": 0}, r"kernel_cpca.degree = 0 is not allowed; it must be at least 1"),
        ({"most_rows": 2}, r"kernel_cpca.most_rows = 2 is not allowed; it must be at least 4"),
        ({"alpha": -1.0}, r"kernel_cpca.alpha = -1.0 is not allowed; it must be at least 0"),
    ],
)
def test_wrong_values_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        KernelCPCAConfig(**fields)
