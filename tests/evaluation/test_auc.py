"""The area under the ROC curve and DeLong's standard error, against scikit-learn, simulation and hand computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from cabench.evaluation.auc import auc
from cabench.evaluation.measurement import Measurement, NotMeasurableError


def told(backgrounds: int, targets: int) -> np.ndarray:
    return np.repeat([False, True], [backgrounds, targets])


@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_value_equals_scikit_learn_with_few_and_many_ties(levels: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    is_target = generator.random(300) < 0.3
    scores = generator.integers(0, levels, 300) + 0.2 * levels * is_target

    assert auc(is_target, scores).value == pytest.approx(roc_auc_score(is_target, scores), abs=1e-12)


def test_perfect_reversed_and_equal_scores() -> None:
    is_target = told(3, 2)

    assert auc(is_target, np.array([0.0, 1.0, 2.0, 3.0, 4.0])) == Measurement(1.0, 0.5, 0.0)
    assert auc(is_target, np.array([4.0, 3.0, 2.0, 1.0, 0.0])) == Measurement(0.0, 0.5, 0.0)
    assert auc(is_target, np.ones(5)) == Measurement(0.5, 0.5, 0.0)


def test_ties_between_the_populations_count_half() -> None:
    assert auc(told(2, 2), np.array([0.0, 1.0, 1.0, 2.0])).value == (1 + 0.5 + 1 + 1) / 4


def test_chance_is_a_half_whatever_the_population_sizes() -> None:
    assert auc(told(90, 10), np.arange(100.0)).chance == 0.5


def test_order_of_the_images_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    is_target, scores, order = generator.random(90) < 0.4, generator.integers(0, 9, 90) / 3, generator.permutation(90)

    assert auc(is_target[order], scores[order])[:3] == pytest.approx(auc(is_target, scores)[:3], abs=1e-12)


def test_only_the_ranks_of_the_scores_matter() -> None:
    generator = np.random.default_rng(1)
    is_target, scores = generator.random(60) < 0.5, generator.normal(size=60)

    assert auc(is_target, np.exp(3 * scores)) == auc(is_target, scores)
    assert auc(is_target, -scores).value == pytest.approx(1 - auc(is_target, scores).value, abs=1e-12)


def test_standard_error_by_hand() -> None:
    scores = np.array([1.0, 3.0, 5.0, 2.0, 4.0, 6.0])  # background 1, 3, 5; target 2, 4, 6
    over_backgrounds = np.array([1, 2, 3]) / 3  # of each target
    under_targets = np.array([3, 2, 1]) / 3  # of each background image
    variance = over_backgrounds.var(ddof=1) / 3 + under_targets.var(ddof=1) / 3

    measured = auc(told(3, 3), scores)

    assert measured.value == pytest.approx(2 / 3)
    assert measured.standard_error == pytest.approx(math.sqrt(variance))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_value_and_standard_error_follow_the_theory_of_two_normal_populations(shift: float) -> None:
    generator = np.random.default_rng(2)
    is_target = told(150, 50)
    measured = [auc(is_target, generator.normal(shift * is_target)) for _ in range(2500)]
    values = np.array([item.value for item in measured])

    expected = norm.cdf(shift / math.sqrt(2))
    assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(len(values))
    # 2,500 draws tell their spread to 1.4 %; five times that is allowed.
    assert np.mean([item.standard_error for item in measured]) == pytest.approx(values.std(), rel=0.07)


def test_standard_error_is_the_spread_over_resampled_populations_where_scores_are_tied() -> None:
    generator = np.random.default_rng(3)
    is_target = told(200, 200)
    scores = generator.integers(0, 6, 400) + 1.0 * is_target
    drawn = [np.concatenate([generator.integers(0, 200, 200), generator.integers(200, 400, 200)]) for _ in range(2000)]
    resampled = [auc(is_target, scores[rows]).value for rows in drawn]

    assert auc(is_target, scores).standard_error == pytest.approx(np.std(resampled), rel=0.08)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("backgrounds", "targets"), [(2, 1), (1, 2), (0, 5), (5, 0), (0, 0)])
def test_a_population_of_fewer_than_two_images_is_refused(backgrounds: int, targets: int) -> None:
    with pytest.raises(NotMeasurableError, match=f"{targets} target and {backgrounds} background images"):
        auc(told(backgrounds, targets), np.arange(backgrounds + targets) / 2)
