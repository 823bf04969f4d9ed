"""Lengths of background and target salient vectors: known ratios, and the spread over fresh test sets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cabench.evaluation.measurement import NotMeasurableError
from cabench.evaluation.norm_ratio import norm_ratio


def test_ratio_by_hand() -> None:
    background, target = np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[0.0, 6.0]])

    assert norm_ratio(background, target).value == (5 + 1) / 2 / 6


def test_background_vectors_of_zero_give_the_ideal_of_zero_without_error() -> None:
    target = np.random.default_rng(0).normal(size=(20, 3))

    measured = norm_ratio(np.zeros((10, 3)), target)

    assert (measured.value, measured.standard_error, measured.perfect, measured.chance) == (0.0, 0.0, 0.0, 1.0)


def test_vectors_that_know_nothing_of_the_population_give_chance() -> None:
    generator = np.random.default_rng(1)

    measured = norm_ratio(generator.normal(size=(2000, 4)), generator.normal(size=(3000, 4)))

    assert abs(measured.value - measured.chance) < 4 * measured.standard_error


def test_only_lengths_and_not_directions_or_units_matter() -> None:
    generator = np.random.default_rng(2)
    background, target = generator.normal(size=(30, 3)), generator.normal(size=(40, 3))
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]

    turned = norm_ratio(1e4 * background @ turn, -1e4 * target)

    assert turned[:3] == pytest.approx(norm_ratio(background, target)[:3])


def test_lengths_grow_with_the_root_of_the_variance() -> None:
    generator = np.random.default_rng(3)

    measured = norm_ratio(0.3 * generator.normal(size=(4000, 5)), generator.normal(size=(4000, 5)))

    assert abs(measured.value - 0.3) < 4 * measured.standard_error


def test_standard_error_is_the_spread_over_fresh_test_sets() -> None:
    generator = np.random.default_rng(4)
    measured = [norm_ratio(generator.normal(size=(80, 3)), 2 * generator.normal(size=(120, 3))) for _ in range(2000)]

    spread = np.std([item.value for item in measured])

    # 2,000 draws tell their spread to 1.6 %; the delta method's own error is of order 1 / 80.
    assert np.mean([item.standard_error for item in measured]) == pytest.approx(spread, rel=0.07)


def test_target_vectors_of_zero_are_refused() -> None:
    with pytest.raises(NotMeasurableError, match="target images are zero"):
        norm_ratio(np.ones((3, 2)), np.zeros((3, 2)))


@pytest.mark.parametrize(("backgrounds", "targets"), [(0, 3), (3, 0), (0, 0)])
def test_a_population_without_images_is_refused(backgrounds: int, targets: int) -> None:
    with pytest.raises(NotMeasurableError, match="no images"):
        norm_ratio(np.ones((backgrounds, 2)), np.ones((targets, 2)))


def test_a_single_image_of_either_population() -> None:
    measured = norm_ratio(np.ones((1, 2)), np.ones((1, 2)))

    assert measured[:3] == pytest.approx((1.0, 1.0, 0.0))
    assert math.isfinite(measured.value)
