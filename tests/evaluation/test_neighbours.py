"""The nearest-neighbour probe against distances computed in full, and where it sees what a linear probe does not."""

from __future__ import annotations

import numpy as np
import pytest

from cabench.evaluation.neighbours import NEIGHBOURS, class_neighbours, real_neighbours
from cabench.evaluation.probes import ProbeConfig, class_probe, real_probe


def data(seed: int, n: int = 200, d: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training features, fresh features and training labels in 0..3 that follow the features loosely."""
    generator = np.random.default_rng(seed)
    features, fresh = generator.normal(size=(2, n, d)) * 10.0 ** np.arange(d)
    labels = np.digitize(features[:, 0] + generator.normal(size=n), [-1, 0, 1])
    return features, fresh, labels


def nearest(features: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Int64 (m, k): the rows nearest to each fresh row, of features scaled to unit variance."""
    deviations = features.std(axis=0)
    distances = np.linalg.norm(fresh[:, None] / deviations - features / deviations, axis=2)
    return np.argsort(distances, axis=1)[:, :NEIGHBOURS]


def test_class_is_the_most_frequent_among_the_20_nearest_and_the_first_of_equals() -> None:
    features, fresh, labels = data(0)

    expected = [np.bincount(labels[rows]).argmax() for rows in nearest(features, fresh)]

    np.testing.assert_array_equal(class_neighbours(features, labels).predict(fresh), expected)


def test_real_value_is_the_mean_over_the_20_nearest() -> None:
    features, fresh, _ = data(1)
    values = np.random.default_rng(1).normal(size=200)

    expected = values[nearest(features, fresh)].mean(axis=1)

    np.testing.assert_allclose(real_neighbours(features, values).predict(fresh), expected, atol=1e-12)


def test_decision_is_the_share_of_the_last_class() -> None:
    features, fresh, labels = data(2)
    probe = class_neighbours(features, labels > 1)
    assert probe.decide is not None

    np.testing.assert_allclose(probe.decide(fresh), (labels[nearest(features, fresh)] > 1).mean(axis=1))


def test_scale_and_origin_of_features_do_not_matter() -> None:
    features, fresh, labels = data(3)
    scale, shift = np.array([1e-4, -3.0, 1e4]), np.array([0.0, 1e3, -2.0])

    moved = class_neighbours(features * scale + shift, labels).predict(fresh * scale + shift)

    np.testing.assert_array_equal(moved, class_neighbours(features, labels).predict(fresh))


def test_with_fewer_than_20_rows_all_are_neighbours() -> None:
    features, fresh, _ = data(4, n=12)

    np.testing.assert_allclose(real_neighbours(features, np.arange(12.0)).predict(fresh), 5.5)


def test_classes_that_no_line_parts_are_told() -> None:
    generator = np.random.default_rng(5)
    features, fresh = generator.uniform(-1, 1, size=(2, 1000, 2))
    labels, truth = ((part[:, 0] * part[:, 1] > 0).astype(int) for part in (features, fresh))

    assert np.mean(class_neighbours(features, labels).predict(fresh) == truth) > 0.9
    assert np.mean(class_probe(features, labels, ProbeConfig()).predict(fresh) == truth) < 0.6


def test_values_that_no_line_fits_are_told() -> None:
    generator = np.random.default_rng(6)
    features, fresh = generator.uniform(-1, 1, size=(2, 1000, 1))
    values, truth = np.abs(features[:, 0]), np.abs(fresh[:, 0])

    errors = {
        name: np.mean((probe.predict(fresh) - truth) ** 2) / truth.var()
        for name, probe in (
            ("near", real_neighbours(features, values)),
            ("linear", real_probe(features, values, ProbeConfig())),
        )
    }

    assert errors["near"] < 0.01
    assert errors["linear"] > 0.9


def test_equally_near_rows_are_taken_whatever_their_order_in_the_data_set() -> None:
    values = np.sort(np.random.default_rng(7).normal(size=2000))

    predicted = real_neighbours(np.zeros((2000, 1)), values).predict(np.zeros((3, 1)))

    # A mean of 20 values, which has a standard deviation of 1 / sqrt(20); the first 20 lie below -2.
    np.testing.assert_allclose(predicted, predicted[0])
    assert abs(predicted[0] - values.mean()) < 3 / np.sqrt(NEIGHBOURS)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_constant_features_give_one_answer(constant: float) -> None:
    features = np.full((90, 2), constant)
    labels = np.repeat([0, 1, 2], [10, 70, 10])

    assert set(class_neighbours(features, labels).predict(features)) == {1}


@pytest.mark.filterwarnings("error")
def test_nearly_as_many_classes_as_rows_are_classes_all_the_same() -> None:
    features, fresh, _ = data(8, n=60)

    assert set(class_neighbours(features, np.arange(60)).predict(fresh)) <= set(range(60))
