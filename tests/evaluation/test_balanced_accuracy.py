"""Balanced accuracy against scikit-learn, 1 / classes and the spread of a resampled test set."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from cabench.evaluation.balanced_accuracy import balanced_accuracy
from cabench.evaluation.measurement import NotMeasurableError


@pytest.mark.parametrize("seed", range(5))
def test_value_equals_scikit_learn_on_unequal_classes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.choice(4, size=311, p=[0.6, 0.25, 0.1, 0.05])
    predicted = np.where(generator.random(311) < 0.5, labels, generator.integers(0, 4, 311))

    expected = balanced_accuracy_score(labels, predicted)

    assert balanced_accuracy(labels, predicted).value == pytest.approx(expected, abs=1e-15)


def test_classes_predicted_but_absent_from_the_labels_do_not_count_as_classes() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 5, 1, 6])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # scikit-learn mentions the unknown classes
        expected = balanced_accuracy_score(labels, predicted)

    measured = balanced_accuracy(labels, predicted)

    assert measured.value == expected == 0.5
    assert measured.chance == 0.5


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_any_constant_prediction_reaches_chance(classes: int) -> None:
    labels = np.repeat(np.arange(classes), np.arange(1, classes + 1))
    for constant in range(classes):
        measured = balanced_accuracy(labels, np.full_like(labels, constant))

        assert measured.value == measured.chance == 1 / classes


def test_predictions_that_ignore_the_image_give_chance_whatever_the_class_sizes() -> None:
    generator = np.random.default_rng(0)
    labels = generator.choice(3, size=20_000, p=[0.8, 0.15, 0.05])
    predicted = generator.choice(3, size=20_000, p=[0.1, 0.7, 0.2])

    measured = balanced_accuracy(labels, predicted)

    assert abs(measured.value - measured.chance) < 4 * measured.standard_error
    assert measured.chance == 1 / 3


def test_standard_error_is_the_spread_over_test_sets_of_the_same_class_sizes() -> None:
    generator = np.random.default_rng(1)
    sizes, recalls = np.array([400, 60, 25]), np.array([0.9, 0.6, 0.4])
    labels = np.repeat(np.arange(3), sizes)
    right = np.concatenate([np.arange(n) < round(n * recall) for n, recall in zip(sizes, recalls, strict=True)])
    simulated = (generator.binomial(sizes, recalls, size=(20_000, 3)) / sizes).mean(axis=1)

    measured = balanced_accuracy(labels, np.where(right, labels, (labels + 1) % 3))

    assert measured.value == pytest.approx(recalls.mean())
    # 20,000 draws tell their spread to 1 / sqrt(40,000) = 0.5 %; five times that is allowed.
    assert measured.standard_error == pytest.approx(simulated.std(), rel=0.025)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("images", [0, 1, 5])
def test_fewer_than_two_classes_among_the_labels_are_refused(images: int) -> None:
    with pytest.raises(NotMeasurableError, match="fewer than two classes"):
        balanced_accuracy(np.ones(images, np.int64), np.arange(images))


def test_equals_accuracy_where_classes_are_equally_frequent() -> None:
    generator = np.random.default_rng(2)
    labels = np.repeat(np.arange(5), 40)
    predicted = generator.integers(0, 5, 200)

    assert balanced_accuracy(labels, predicted).value == pytest.approx(np.mean(labels == predicted), abs=1e-15)
