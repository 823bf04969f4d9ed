"""The contrastive dimension on planted directions."""

from __future__ import annotations

import numpy as np
import pytest

from cabench import Examples, write_arrays
from cabench.data import contrastive_dimension
from cabench.data.contrastive_dimension import (
    ContrastiveDimension,
    described,
    estimated_dimension,
    intrinsic_dimension,
    lacking_directions,
)


def planted(common: int, salient: int, rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Target and background of 20 features, which vary by 3 in directions at right angles and by 0.3 in all others."""
    generator = np.random.default_rng(seed)
    directions = np.linalg.qr(generator.normal(size=(20, common + salient)))[0].T
    noise = generator.normal(0, 0.3, (2, rows, 20))
    target = generator.normal(0, 3, (rows, common + salient)) @ directions + noise[0]
    background = generator.normal(0, 3, (rows, common)) @ directions[:common] + noise[1]
    return target - target.mean(0), background - background.mean(0)


@pytest.mark.parametrize("seed", range(3))
def test_planted_directions_are_counted(seed):
    target, background = planted(3, 2, seed=seed)
    assert lacking_directions(target, background, 5, 3) == 2
    assert lacking_directions(target, background, 5, 5) == 2
    same, other = planted(3, 0, seed=seed)
    assert lacking_directions(same, other, 3, 3) == 0


@pytest.mark.parametrize(("cosine", "lacking"), [(0.89, 1), (0.91, 0)])
def test_directions_are_apart_where_the_cosine_is_a_tenth_short_of_1(cosine, lacking):
    lines = np.array([[1.0, 0.0], [cosine, np.sqrt(1 - cosine**2)]])
    background, target = (np.array([[-1.0], [1.0]]) * line for line in lines)
    assert lacking_directions(target, background, 1, 1) == lacking
    assert lacking_directions(target, background, 1, 0) == 1


def test_directions_in_which_the_target_varies_more_do_not_count():
    target, background = planted(3, 0)
    assert lacking_directions(5 * target, background, 3, 3) == 0


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_intrinsic_dimension_of_a_flat_piece(dimension):
    generator = np.random.default_rng(0)
    rows = generator.uniform(-1, 1, (500, dimension)) @ generator.normal(size=(dimension, 30))
    rows -= rows.mean(0)
    assert abs(intrinsic_dimension(rows) - dimension) <= (dimension > 2)
    assert intrinsic_dimension(100 * rows) == intrinsic_dimension(rows)


def test_it_is_the_formula_of_the_method_of_moments():
    rows = np.random.default_rng(0).normal(size=(150, 6))
    rows -= rows.mean(0)
    distances = np.sort(np.linalg.norm(rows[:, None] - rows, axis=2), axis=1)[:, 1:101]
    each = distances.mean(1) / (distances[:, -1] - distances.mean(1))
    assert intrinsic_dimension(rows) == round(each.mean())


def test_rows_at_equal_distances_have_dimension_1():
    assert intrinsic_dimension(np.repeat([[-1.0, 0], [1, 0]], 200, axis=0)) == 1
    assert intrinsic_dimension(np.array([[-1.0], [1.0]])) == 1


def file_of(path, target: np.ndarray, background: np.ndarray):
    parts = (
        Examples(rows.astype(np.float32), {}, is_test=np.arange(len(rows)) % 4 == 0) for rows in (background, target)
    )
    return write_arrays(path / "mine.h5", *parts, [])


def test_a_table_is_estimated_with_gaps_filled(tmp_path):
    target, background = planted(2, 2, rows=900)
    target[::7, 3] = np.nan
    found = estimated_dimension(file_of(tmp_path, target, background))
    assert found is not None
    assert found.salient == 2
    assert 4 <= found.target <= 6


def test_too_few_rows_give_none(tmp_path):
    target, background = planted(2, 1, rows=24)
    assert estimated_dimension(file_of(tmp_path, target, background)) is None
    assert "not estimated" in described(None)


def test_equal_rows_give_none(monkeypatch):
    rows = np.full((300, 3), 0.1)  # their mean is another number, by rounding
    assert (rows - rows.mean(0)).any()
    monkeypatch.setattr(contrastive_dimension, "_rows", lambda file: [rows, rows])
    assert estimated_dimension(None) is None


def test_it_is_told_with_what_it_rests_on():
    told = described(ContrastiveDimension(2, 5, 3))
    assert told == "about 2, a rough estimate; intrinsic dimensions: target 5, background 3"


def test_data_info_tells_it(cabench_here):
    said = cabench_here("data", "info", "planted", "--profile", "smoke").stdout
    assert "estimated salient dimension  about 2, a rough estimate" in said
