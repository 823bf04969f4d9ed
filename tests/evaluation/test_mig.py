"""Mutual information gap on designs that hold every combination equally often, where information is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from cabench.evaluation.measurement import Measurement, NotMeasurableError
from cabench.evaluation.mig import BINS, mig

KINDS, LEVELS = (np.ravel(part) for part in np.meshgrid(np.arange(4), np.arange(5)))
KINDS, LEVELS = np.tile(KINDS, 3), np.tile(LEVELS, 3)


def test_one_dimension_for_each_attribute_is_perfect() -> None:
    features = np.c_[LEVELS * 0.1 - 3, KINDS * 1e3]

    assert mig(features, KINDS, True).value == pytest.approx(1.0)
    assert mig(features, LEVELS / 4, False).value == pytest.approx(1.0)


def test_independent_dimensions_give_chance() -> None:
    measured = mig(np.c_[LEVELS, LEVELS**2].astype(float), KINDS, True)

    assert measured == Measurement(pytest.approx(0.0, abs=1e-12), 0.0, None)


def test_the_same_dimension_twice_leaves_no_gap() -> None:
    assert mig(np.c_[KINDS, -KINDS, LEVELS].astype(float), KINDS, True).value == pytest.approx(0.0, abs=1e-12)


def test_half_of_the_information_is_half_the_gap() -> None:
    assert mig(np.c_[KINDS // 2, LEVELS].astype(float), KINDS, True).value == pytest.approx(0.5)


def test_halves_in_two_dimensions_leave_no_gap() -> None:
    assert mig(np.c_[KINDS // 2, KINDS % 2].astype(float), KINDS, True).value == pytest.approx(0.0, abs=1e-12)


def test_a_one_hot_code_of_equally_frequent_classes_leaves_no_gap() -> None:
    assert mig(np.eye(4)[KINDS], KINDS, True).value == pytest.approx(0.0, abs=1e-12)


def test_a_single_dimension_has_nothing_taken_off() -> None:
    assert mig(KINDS[:, None] // 2 + 0.0, KINDS, True).value == pytest.approx(0.5)


def test_equals_information_of_histograms_over_entropy() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=400)
    features = values[:, None] + generator.normal(size=(400, 3)) * [0.3, 1.0, 3.0]
    tables = [np.histogram2d(column, values, bins=BINS)[0] for column in features.T]
    information = sorted(mutual_info_score(None, None, contingency=table) for table in tables)

    expected = (information[-1] - information[-2]) / entropy(np.histogram(values, bins=BINS)[0])

    # Values on an edge may fall to either side of it.
    assert mig(features, values, False).value == pytest.approx(expected, abs=0.01)


def test_dimensions_and_real_values_are_cut_into_20_bins() -> None:
    levels = np.tile(np.arange(40), 3)

    # Two levels fall into each bin.
    assert mig(levels[:, None].astype(float), levels, True).value == pytest.approx(np.log(20) / np.log(40))
    assert mig(levels[:, None].astype(float), levels / 7, False).value == pytest.approx(1.0)


def test_permuted_labels_give_chance() -> None:
    generator = np.random.default_rng(1)
    labels = generator.permutation(np.repeat(np.arange(4), 2000))

    assert 0 <= mig(np.repeat(np.arange(4.0), 2000)[:, None] + [0, 1], labels, True).value < 0.005


def test_names_of_classes_and_scales_of_features_do_not_matter() -> None:
    generator = np.random.default_rng(2)
    features = KINDS[:, None] + generator.normal(size=(60, 3))

    renamed = mig(features * [1e-20, -7, 1e20], np.array([30, 2, 11, 5])[KINDS], True)

    # Turning a dimension round may move values that lie on an edge to the other side of it.
    assert renamed.value == pytest.approx(mig(features, KINDS, True).value, abs=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_constant_dimensions_tell_nothing(constant: float) -> None:
    assert mig(np.full((60, 3), constant), KINDS, True).value == 0.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("values", "is_class"), [(np.full(60, 2), True), (np.full(60, 0.1), False)])
def test_equal_values_are_refused(values: np.ndarray, is_class: bool) -> None:
    with pytest.raises(NotMeasurableError, match="all values are equal"):
        mig(np.random.default_rng(3).normal(size=(60, 2)), values, is_class)
