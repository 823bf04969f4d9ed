"""Accuracy against scikit-learn, the majority rate and the spread of a resampled test set."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score

from cabench.evaluation.accuracy import accuracy
from cabench.evaluation.measurement import Measurement, NotMeasurableError


@pytest.mark.parametrize("seed", range(5))
def test_value_equals_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, predicted = generator.integers(0, 5, (2, 237))

    assert accuracy(labels, predicted).value == pytest.approx(accuracy_score(labels, predicted), abs=1e-15)


def test_all_right_and_all_wrong() -> None:
    labels = np.array([0, 1, 2, 0])

    assert accuracy(labels, labels) == Measurement(1.0, 0.5, 0.0)
    assert accuracy(labels, labels + 1) == Measurement(0.0, 0.5, 0.0)


def test_chance_is_what_the_majority_class_reaches() -> None:
    labels = np.repeat([0, 1, 2], [10, 55, 35])
    majority = DummyClassifier(strategy="most_frequent").fit(labels[:, None], labels).predict(labels[:, None])

    measured = accuracy(labels, majority)

    assert measured.chance == 0.55
    assert measured.value == measured.chance


def test_chance_follows_the_test_labels_and_not_the_predictions() -> None:
    labels = np.repeat([0, 1], [30, 70])

    assert accuracy(labels, np.zeros(100, np.int64)).chance == 0.7
    assert accuracy(labels, np.full(100, 9)).chance == 0.7


def test_labels_need_not_start_at_zero_nor_be_consecutive() -> None:
    labels = np.array([7, 7, 3, 9])

    assert accuracy(labels, np.array([7, 3, 3, 9])).value == 0.75
    assert accuracy(labels, labels).chance == 0.5


def test_standard_error_is_the_spread_over_resampled_test_sets() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 300)
    predicted = np.where(generator.random(300) < 0.7, labels, (labels + 1) % 4)
    rows = generator.integers(300, size=(10_000, 300))
    resampled = (labels[rows] == predicted[rows]).mean(axis=1)

    # The spread of 10,000 draws is itself known to 1 / sqrt(20,000) = 0.7 %; five times that is allowed.
    assert accuracy(labels, predicted).standard_error == pytest.approx(resampled.std(), rel=0.035)


def test_standard_error_shrinks_with_the_root_of_the_number_of_images() -> None:
    labels, predicted = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    few, many = accuracy(labels, predicted), accuracy(np.tile(labels, 25), np.tile(predicted, 25))

    assert many.value == few.value
    assert many.standard_error == pytest.approx(few.standard_error / 5)


def test_a_single_image() -> None:
    assert accuracy(np.array([2]), np.array([2])) == Measurement(1.0, 1.0, 0.0)


@pytest.mark.filterwarnings("error")
def test_no_image_is_refused() -> None:
    with pytest.raises(NotMeasurableError, match="no test images"):
        accuracy(np.empty(0, np.int64), np.empty(0, np.int64))
