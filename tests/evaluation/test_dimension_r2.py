"""What single dimensions share with an attribute, against correlations and analyses of variance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import LinearRegression

from cabench.evaluation.dimension_r2 import dimension_r2


def test_real_attribute_gives_squared_correlations() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=90)
    features = np.c_[values, -2 * values + 5, values + generator.normal(size=90), generator.normal(size=90)] * 1e3

    expected = [pearsonr(column, values).statistic ** 2 for column in features.T]

    np.testing.assert_allclose(dimension_r2(features, values, False), expected, atol=1e-12)


def test_classes_give_r2_of_each_dimension_on_the_classes() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 4, 120)
    features = np.c_[labels == 2, labels % 2 + generator.normal(size=120), generator.normal(size=120)]
    indicators = np.eye(4)[labels]

    expected = [LinearRegression().fit(indicators, column).score(indicators, column) for column in features.T]

    np.testing.assert_allclose(dimension_r2(features, labels, True), expected, atol=1e-12)


def test_order_of_classes_does_not_matter_for_classes_but_for_values() -> None:
    labels = np.tile([0, 1, 2], 20)
    renamed = np.array([1, 0, 2])[labels]
    feature = labels[:, None].astype(float)

    assert dimension_r2(feature, renamed, True) == pytest.approx([1.0])
    assert dimension_r2(feature, renamed.astype(float), False) == pytest.approx([0.25])


def test_every_combination_equally_often_shares_nothing() -> None:
    labels, levels = np.divmod(np.arange(60), 5)
    labels = labels % 3

    assert dimension_r2(levels[:, None].astype(float), labels, True) == pytest.approx([0.0], abs=1e-15)
    assert dimension_r2(labels[:, None].astype(float), levels.astype(float), False) == pytest.approx([0.0], abs=1e-15)


def test_permuted_values_share_what_useless_indicators_fit() -> None:
    generator = np.random.default_rng(2)
    features = generator.normal(size=(100, 300))
    labels, values = generator.permutation(np.repeat(np.arange(5), 20)), generator.permutation(100).astype(float)

    # R² of 5 - 1 useless indicators on 100 rows is 4 / 99 on average.
    assert np.mean(dimension_r2(features, labels, True)) == pytest.approx(4 / 99, rel=0.15)
    assert np.mean(dimension_r2(features, values, False)) == pytest.approx(1 / 99, rel=0.3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
@pytest.mark.parametrize("is_class", [True, False])
def test_a_constant_dimension_or_attribute_shares_nothing(constant: float, is_class: bool) -> None:
    generator = np.random.default_rng(3)
    values = generator.integers(0, 3, 50)
    same = np.full(50, 2) if is_class else np.full(50, constant)

    assert dimension_r2(np.full((50, 2), constant), values if is_class else values * 0.3, is_class) == [0.0, 0.0]
    assert dimension_r2(generator.normal(size=(50, 1)), same, is_class) == pytest.approx([0.0], abs=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
def test_scale_of_a_dimension_does_not_matter(scale: float) -> None:
    generator = np.random.default_rng(4)
    values = generator.normal(size=70)
    features = values[:, None] + generator.normal(size=(70, 2))

    np.testing.assert_allclose(dimension_r2(scale * features, values, False), dimension_r2(features, values, False))
