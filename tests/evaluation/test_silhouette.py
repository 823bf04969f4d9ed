"""Silhouette of target against background: scikit-learn's, on standardised vectors, with known extremes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

from cabench.data.dataset import spaced
from cabench.evaluation.measurement import NotMeasurableError
from cabench.evaluation.silhouette import MOST_IMAGES, silhouette


@pytest.mark.parametrize("shift", [0.0, 1.0, 5.0])
def test_equals_scikit_learn_on_standardised_vectors(shift: float) -> None:
    generator = np.random.default_rng(0)
    background, target = generator.normal(size=(90, 4)), generator.normal(shift, 1, size=(60, 4)) * [1, 10, 1e-3, 1]
    together = StandardScaler().fit_transform(np.concatenate([background, target]))

    expected = silhouette_score(together, np.repeat([0, 1], [90, 60]))

    assert silhouette(background, target).value == pytest.approx(expected, abs=1e-12)


def test_two_points_are_perfectly_apart() -> None:
    measured = silhouette(np.zeros((5, 2)), np.ones((7, 2)))

    assert (measured.value, measured.standard_error, measured.perfect) == (1.0, 0.0, 1.0)


def test_same_distribution_gives_chance() -> None:
    generator = np.random.default_rng(1)

    measured = silhouette(generator.normal(size=(800, 3)), generator.normal(size=(800, 3)))

    assert abs(measured.value - measured.chance) < 0.01


def test_the_same_vectors_in_both_populations_lack_only_the_distance_of_each_to_itself() -> None:
    vectors = np.random.default_rng(2).normal(size=(50, 3))

    # The own population's mean distance is the other's times 50 / 49.
    assert silhouette(vectors, vectors).value == pytest.approx(-1 / 50)


def test_permuted_populations_give_chance() -> None:
    generator = np.random.default_rng(3)
    vectors = generator.permutation(np.concatenate([np.zeros((200, 2)), np.ones((200, 2))]))

    assert abs(silhouette(vectors[:200], vectors[200:]).value) < 0.02


def test_neither_population_nor_unit_nor_origin_matters() -> None:
    generator = np.random.default_rng(4)
    background, target = generator.normal(size=(40, 2)), generator.normal(1, 2, size=(30, 2))
    scale, shift = np.array([1e-4, -30.0]), np.array([5.0, 1e3])

    plain = silhouette(background, target)

    assert silhouette(target, background)[:3] == pytest.approx(plain[:3])
    assert silhouette(background * scale + shift, target * scale + shift)[:3] == pytest.approx(plain[:3])


def test_a_population_to_both_sides_of_the_other_is_below_chance_by_hand() -> None:
    background, target = np.array([[0.0], [4.0]]), np.array([[1.0], [3.0]])

    # Background images: a = 4, b = 2. Target images: a = b = 2.
    assert silhouette(background, target).value == pytest.approx((-0.5 - 0.5 + 0 + 0) / 4)


def test_of_many_images_evenly_spaced_ones_are_taken() -> None:
    generator = np.random.default_rng(6)
    background, target = generator.normal(size=(20, 2)), generator.normal(size=(MOST_IMAGES, 2))
    twice = np.repeat(target, 2, axis=0)

    thinned = silhouette(background, twice)

    assert thinned == silhouette(background, spaced(twice, MOST_IMAGES))
    assert thinned.value == pytest.approx(silhouette(background, target).value, abs=0.01)


@pytest.mark.parametrize(("n", "most", "expected"), [(5, 3, [0, 2, 4]), (3, 3, [0, 1, 2]), (2, 3, [0, 1]), (0, 3, [])])
def test_spaced_rows_reach_from_the_first_to_the_last(n: int, most: int, expected: list[int]) -> None:
    np.testing.assert_array_equal(spaced(np.arange(n), most), expected)


@pytest.mark.parametrize(("backgrounds", "targets"), [(1, 5), (5, 1), (0, 0)])
def test_fewer_than_two_images_of_a_population_are_refused(backgrounds: int, targets: int) -> None:
    generator = np.random.default_rng(7)

    with pytest.raises(NotMeasurableError, match="fewer than two images"):
        silhouette(generator.normal(size=(backgrounds, 2)), generator.normal(size=(targets, 2)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_equal_vectors_are_refused(constant: float) -> None:
    with pytest.raises(NotMeasurableError, match="all vectors are equal"):
        silhouette(np.full((4, 2), constant), np.full((6, 2), constant))
