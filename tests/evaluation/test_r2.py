"""R² against scikit-learn, its scale and the spread of a resampled test set."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score

from cabench.evaluation.measurement import Measurement, NotMeasurableError
from cabench.evaluation.r2 import r2


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0, 5.0])
def test_value_equals_scikit_learn(noise: float) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(3, 2, 251)
    predicted = values + noise * generator.normal(size=251)

    assert r2(values, predicted).value == pytest.approx(r2_score(values, predicted), abs=1e-12)


def test_value_equals_scikit_learn_where_values_are_tied() -> None:
    generator = np.random.default_rng(1)
    values, predicted = generator.integers(0, 5, (2, 200)) / 4

    assert r2(values, predicted).value == pytest.approx(r2_score(values, predicted), abs=1e-12)


def test_right_predictions_give_one_without_error() -> None:
    values = np.array([0.0, 0.5, 1.0])

    assert r2(values, values) == Measurement(1.0, 0.0, 0.0)


def test_the_mean_of_the_test_values_gives_chance_without_error() -> None:
    values = np.random.default_rng(2).normal(size=100)

    measured = r2(values, np.full(100, values.mean()))

    assert measured.chance == 0.0
    assert measured.value == pytest.approx(0, abs=1e-12)
    assert measured.standard_error == pytest.approx(0, abs=1e-12)


def test_predictions_worse_than_the_mean_stay_negative() -> None:
    values = np.array([0.0, 1.0])

    assert r2(values, 1 - values).value == -3.0


def test_unit_and_origin_of_the_values_do_not_matter() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(size=80)
    predicted = values + generator.normal(size=80)

    assert r2(-40 * values + 7, -40 * predicted + 7)[:3] == pytest.approx(r2(values, predicted)[:3], rel=1e-9)


def test_standard_error_is_the_spread_over_fresh_test_sets() -> None:
    generator = np.random.default_rng(4)
    values = generator.normal(size=(4000, 400))
    predicted = 0.7 * values + 0.5 * generator.normal(size=values.shape)
    measured = [r2(*pair) for pair in zip(values, predicted, strict=True)]

    # 4,000 draws tell their spread to 1.1 %; the delta method's own error is of order 1 / 400.
    spread = np.std([item.value for item in measured])
    assert np.mean([item.standard_error for item in measured]) == pytest.approx(spread, rel=0.06)


def test_standard_error_is_the_spread_over_resampled_test_sets_of_skewed_values() -> None:
    generator = np.random.default_rng(5)
    values = generator.exponential(size=1500)
    predicted = 0.6 * values + 0.4 + 0.3 * generator.normal(size=1500)
    rows = generator.integers(1500, size=(3000, 1500))
    drawn, drawn_predicted = values[rows], predicted[rows]
    resampled = 1 - ((drawn - drawn_predicted) ** 2).mean(axis=1) / drawn.var(axis=1)

    # 1.3 % from the number of draws and a few per cent from the heavy tail.
    assert r2(values, predicted).standard_error == pytest.approx(resampled.std(), rel=0.1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.5, -3.0, 1e-300])
def test_equal_values_are_refused(value: float) -> None:
    with pytest.raises(NotMeasurableError, match="all test values are equal"):
        r2(np.full(3, value), np.zeros(3))


def test_equal_values_are_refused_where_their_mean_is_rounded() -> None:
    with pytest.raises(NotMeasurableError, match="all test values are equal"):
        r2(np.full(3, 0.1), np.zeros(3))


@pytest.mark.filterwarnings("error")
def test_values_too_small_to_be_squared_are_refused() -> None:
    with pytest.raises(NotMeasurableError, match="all test values are equal"):
        r2(np.array([0.0, 1e-200]), np.zeros(2))


@pytest.mark.filterwarnings("error")
def test_no_value_is_refused() -> None:
    with pytest.raises(NotMeasurableError, match="no test images"):
        r2(np.empty(0), np.empty(0))
