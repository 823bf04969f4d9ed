"""Principal directions of few and of many images against NumPy, and which data are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from cabench.errors import UserError
from cabench.methods.shared.moments import check_values, deviations, few_rows, moments, principal_components


def table(rows: int, features: int, rank: int, offset: float = 0.0) -> torch.Tensor:
    """Float32 rows that vary in `rank` directions, by less in each."""
    generator = np.random.default_rng(0)
    spread = np.geomspace(8, 1, rank)
    values = (generator.normal(size=(rows, rank)) * spread) @ np.linalg.qr(generator.normal(size=(features, rank)))[0].T
    return torch.from_numpy((values + offset).astype(np.float32))


def expected_directions(populations: list[torch.Tensor], count: int) -> np.ndarray:
    rows = torch.cat(populations).flatten(1).double().numpy()
    return np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:count].T


@pytest.mark.parametrize(
    ("rows", "features", "few"),
    [(20, 300, True), (300, 300, True), (420, 300, True), (450, 300, False), (900, 300, False), (2000, 30, False)],
)
def test_directions_are_those_of_a_singular_value_decomposition(rows, features, few):
    values = table(rows, features, min(12, features))
    populations = [values[: rows // 3], values[rows // 3 :]]
    assert few_rows(populations) == few
    mean, directions = principal_components(populations, 5)
    torch.testing.assert_close(mean, values.double().mean(0), atol=1e-5, rtol=0)
    expected = expected_directions(populations, 5)
    signs = np.sign((directions.numpy() * expected).sum(0))
    np.testing.assert_allclose(directions.numpy() * signs, expected, atol=1e-6)
    assert (directions.gather(0, directions.abs().argmax(0, keepdim=True)) > 0).all()


@pytest.mark.parametrize("shape", [(1, 20, 24), (3, 64, 64)])
def test_few_images(shape):
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (24, *shape), dtype=np.uint8))
    _, directions = principal_components([images[:10], images[10:]], 23)
    expected = expected_directions([images.double() / 255], 23)
    assert np.abs(subspace_angles(directions.numpy(), expected)).max() < 1e-6
    torch.testing.assert_close(directions.T @ directions, torch.eye(23, dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("rows", "directions"),
    [
        pytest.param(table(20, 300, 19), 19, id="one less than rows"),
        pytest.param(table(8, 300, 8).repeat(5, 1), 7, id="repeated rows count once"),
        pytest.param(table(500, 2, 2), 2, id="two features"),
    ],
)
def test_there_are_no_more_directions_than_the_data_vary_in(rows, directions):
    """Those beyond them are rounding: what a new image has there is divided by next to nothing."""
    assert principal_components([rows[:5], rows[5:]], 50)[1].shape == (rows.shape[1], directions)


def test_images_that_never_vary_give_one_direction():
    for rows in (3, 200):
        _, directions = principal_components([torch.full((rows, 1, 8, 8), 77, dtype=torch.uint8)], 5)
        assert directions.shape == (64, 1)
        assert directions.isfinite().all()


@pytest.mark.parametrize("rows", [30, 3000])
def test_a_large_offset_costs_no_digits(rows):
    """Times in Unix seconds, as float32 can hold them: multiples of 128."""
    generator = np.random.default_rng(2)
    x = generator.integers(-500, 500, (rows, 60)) * 128.0
    small = generator.normal(size=(rows, 40))
    values = torch.from_numpy(np.concatenate([1.7e9 + x, small], 1).astype(np.float32))
    expected = np.cov(np.concatenate([x, values[:, 60:].numpy()], 1).T.astype(np.float64), bias=True)
    if few_rows([values]):
        found = deviations([values]).rows
        covariance = (found.T @ found / rows).numpy()
    else:
        covariance = moments([values]).covariance.numpy()
    scale = np.sqrt(expected.diagonal())
    np.testing.assert_allclose(covariance / scale / scale[:, None], expected / scale / scale[:, None], atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((3, 64, 64), 10**6), ((3, 224, 224), 1000), ((1, 224, 224), 4708), ((16_384,), 10**6), ((20_000,), 500)],
)
def test_images_that_are_few_or_small_are_taken(planted_info, shape, rows):
    check_values(sized(planted_info, shape, rows), "pca")


@pytest.mark.parametrize(
    ("shape", "rows", "message"),
    [
        ((3, 128, 128), 10**6, "an image of planted has 49152, .* a size with at most 16384.*, or at most 5461 "),
        ((3, 224, 224), 1900, "has 150528, and there are 1900 to learn from; .* at most 1783 training examples"),
        ((20_000,), 10**5, "a row of planted has 20000, .*use fewer features .* or at most 13421 "),
    ],
)
def test_images_that_are_many_and_large_are_refused(planted_info, shape, rows, message):
    with pytest.raises(UserError, match=rf"pca needs a covariance .* {message}"):
        check_values(sized(planted_info, shape, rows), "pca")


def sized(info, shape, rows):
    counts = {"train": {"background": rows // 2, "target": rows - rows // 2}}
    return dataclasses.replace(info, image_shape=shape, counts=counts)
