"""Disentanglement: whether dimensions and attributes go together one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import entropy, pearsonr
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mutual_info_score

from cabench.evaluation.metrics.disentanglement import BINS, VOTES, dci, dimension_r2, factor_vae, mig
from cabench.evaluation.score import Measurement, NotMeasurableError

KINDS, LEVELS = (np.ravel(part) for part in np.meshgrid(np.arange(4), np.arange(5)))
KINDS, LEVELS = np.tile(KINDS, 3), np.tile(LEVELS, 3)


class TestMig:
    """Mutual information gap on designs that hold every combination equally often, of known information."""

    def test_one_dimension_for_each_attribute_is_perfect(self) -> None:
        features = np.c_[LEVELS * 0.1 - 3, KINDS * 1e3]

        assert mig(features, KINDS, True).value == pytest.approx(1.0)
        assert mig(features, LEVELS / 4, False).value == pytest.approx(1.0)

    def test_independent_dimensions_give_chance(self) -> None:
        measured = mig(np.c_[LEVELS, LEVELS**2].astype(float), KINDS, True)

        assert measured == Measurement(pytest.approx(0.0, abs=1e-12), 0.0, None)

    def test_the_same_dimension_twice_leaves_no_gap(self) -> None:
        assert mig(np.c_[KINDS, -KINDS, LEVELS].astype(float), KINDS, True).value == pytest.approx(0.0, abs=1e-12)

    def test_half_of_the_information_is_half_the_gap(self) -> None:
        assert mig(np.c_[KINDS // 2, LEVELS].astype(float), KINDS, True).value == pytest.approx(0.5)

    def test_halves_in_two_dimensions_leave_no_gap(self) -> None:
        assert mig(np.c_[KINDS // 2, KINDS % 2].astype(float), KINDS, True).value == pytest.approx(0.0, abs=1e-12)

    def test_a_one_hot_code_of_equally_frequent_classes_leaves_no_gap(self) -> None:
        assert mig(np.eye(4)[KINDS], KINDS, True).value == pytest.approx(0.0, abs=1e-12)

    def test_a_single_dimension_has_nothing_taken_off(self) -> None:
        assert mig(KINDS[:, None] // 2 + 0.0, KINDS, True).value == pytest.approx(0.5)

    def test_equals_information_of_histograms_over_entropy(self) -> None:
        generator = np.random.default_rng(0)
        values = generator.normal(size=400)
        features = values[:, None] + generator.normal(size=(400, 3)) * [0.3, 1.0, 3.0]
        tables = [np.histogram2d(column, values, bins=BINS)[0] for column in features.T]
        information = sorted(mutual_info_score(None, None, contingency=table) for table in tables)

        expected = (information[-1] - information[-2]) / entropy(np.histogram(values, bins=BINS)[0])

        # Values on an edge may fall to either side of it.
        assert mig(features, values, False).value == pytest.approx(expected, abs=0.01)

    def test_dimensions_and_real_values_are_cut_into_20_bins(self) -> None:
        levels = np.tile(np.arange(40), 3)

        # Two levels fall into each bin.
        assert mig(levels[:, None].astype(float), levels, True).value == pytest.approx(np.log(20) / np.log(40))
        assert mig(levels[:, None].astype(float), levels / 7, False).value == pytest.approx(1.0)

    def test_permuted_labels_give_chance(self) -> None:
        generator = np.random.default_rng(1)
        labels = generator.permutation(np.repeat(np.arange(4), 2000))

        assert 0 <= mig(np.repeat(np.arange(4.0), 2000)[:, None] + [0, 1], labels, True).value < 0.005

    def test_names_of_classes_and_scales_of_features_do_not_matter(self) -> None:
        generator = np.random.default_rng(2)
        features = KINDS[:, None] + generator.normal(size=(60, 3))

        renamed = mig(features * [1e-20, -7, 1e20], np.array([30, 2, 11, 5])[KINDS], True)

        # Turning a dimension round may move values that lie on an edge to the other side of it.
        assert renamed.value == pytest.approx(mig(features, KINDS, True).value, abs=1e-9)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_constant_dimensions_tell_nothing(self, constant: float) -> None:
        assert mig(np.full((60, 3), constant), KINDS, True).value == 0.0

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(("values", "is_class"), [(np.full(60, 2), True), (np.full(60, 0.1), False)])
    def test_equal_values_are_refused(self, values: np.ndarray, is_class: bool) -> None:
        with pytest.raises(NotMeasurableError, match="all values are equal"):
            mig(np.random.default_rng(3).normal(size=(60, 2)), values, is_class)


MANY_KINDS, MANY_LEVELS = (np.tile(np.ravel(part), 20) for part in np.meshgrid(np.arange(4), np.arange(5)))


BOTH = ((MANY_KINDS, True), (MANY_LEVELS / 4, False))


def scores(features: np.ndarray, attributes=BOTH) -> tuple[float, float]:
    disentanglement, completeness = dci(features.astype(float), attributes)
    return disentanglement.value, completeness.value


class TestDci:
    """Disentanglement and completeness of representations whose importances are known."""

    def test_one_dimension_for_each_attribute_is_perfect(self) -> None:
        assert scores(np.c_[MANY_LEVELS, MANY_KINDS]) == (pytest.approx(1.0), pytest.approx(1.0))

    def test_dimensions_that_hold_nothing_are_not_in_the_way(self) -> None:
        useless = np.random.default_rng(0).normal(size=(400, 6))

        assert scores(np.c_[useless, MANY_LEVELS, MANY_KINDS]) == (
            pytest.approx(1.0, abs=1e-3),
            pytest.approx(1.0, abs=1e-3),
        )

    def test_attributes_mixed_evenly_in_two_dimensions_are_neither(self) -> None:
        generator = np.random.default_rng(1)
        first, second = generator.normal(size=(2, 1500))

        mixed = scores(np.c_[first + second, first - second], ((first, False), (second, False)))

        assert mixed == (pytest.approx(0.0, abs=0.02), pytest.approx(0.0, abs=0.02))

    def test_noise_gives_chance(self) -> None:
        generator = np.random.default_rng(2)

        measured = dci(generator.normal(size=(400, 4)), BOTH)

        for item in measured:
            assert item.value == pytest.approx(item.chance, abs=0.02)

    def test_permuted_labels_give_chance(self) -> None:
        generator = np.random.default_rng(3)
        features = np.c_[MANY_LEVELS, MANY_KINDS] + 0.1 * generator.normal(size=(400, 2))

        permuted = scores(features, [(generator.permutation(values), is_class) for values, is_class in BOTH])

        assert permuted == (pytest.approx(0.0, abs=0.02), pytest.approx(0.0, abs=0.02))

    def test_one_dimension_of_two_attributes_is_complete_and_not_disentangled(self) -> None:
        useless = np.random.default_rng(4).normal(size=400)

        disentanglement, completeness = scores(np.c_[MANY_KINDS * 5 + MANY_LEVELS, useless])

        assert completeness > 0.98
        assert disentanglement < 0.02

    def test_a_one_hot_code_is_disentangled_and_as_complete_as_its_entropy_says(self) -> None:
        disentanglement, completeness = scores(np.c_[np.eye(4)[MANY_KINDS], MANY_LEVELS])

        # Four of five dimensions serve the class alike, one the level; both attributes weigh the same.
        assert disentanglement == pytest.approx(1.0)
        assert completeness == pytest.approx((1 - math.log(4) / math.log(5) + 1) / 2, abs=0.03)

    def test_an_attribute_that_cannot_be_predicted_has_no_weight(self) -> None:
        constant = (np.zeros(400), False)

        assert scores(np.c_[MANY_KINDS, MANY_LEVELS], (*BOTH, constant)) == (pytest.approx(1.0), pytest.approx(1.0))

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e9, 3e37])
    def test_scale_of_the_features_does_not_matter(self, scale: float) -> None:
        assert scores(scale * np.c_[MANY_LEVELS, MANY_KINDS]) == (pytest.approx(1.0), pytest.approx(1.0))

    @pytest.mark.filterwarnings("error")
    def test_nearly_as_many_classes_as_images_are_classes_all_the_same(self) -> None:
        generator = np.random.default_rng(5)

        for item in dci(generator.normal(size=(40, 3)), ((np.arange(40) // 1, True), (np.arange(40) % 2, True))):
            assert 0 <= item.value <= 1

    def test_a_single_dimension_is_refused(self) -> None:
        with pytest.raises(NotMeasurableError, match="one dimension"):
            dci(MANY_KINDS[:, None].astype(float), BOTH)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
    def test_constant_dimensions_are_refused(self, constant: float) -> None:
        with pytest.raises(NotMeasurableError, match="no dimension helps"):
            dci(np.full((400, 3), constant), BOTH)


class TestDimensionR2:
    """What single dimensions share with an attribute, against correlations and analyses of variance."""

    def test_real_attribute_gives_squared_correlations(self) -> None:
        generator = np.random.default_rng(0)
        values = generator.normal(size=90)
        features = np.c_[values, -2 * values + 5, values + generator.normal(size=90), generator.normal(size=90)] * 1e3

        expected = [pearsonr(column, values).statistic ** 2 for column in features.T]

        np.testing.assert_allclose(dimension_r2(features, values, False), expected, atol=1e-12)

    def test_classes_give_r2_of_each_dimension_on_the_classes(self) -> None:
        generator = np.random.default_rng(1)
        labels = generator.integers(0, 4, 120)
        features = np.c_[labels == 2, labels % 2 + generator.normal(size=120), generator.normal(size=120)]
        indicators = np.eye(4)[labels]

        expected = [LinearRegression().fit(indicators, column).score(indicators, column) for column in features.T]

        np.testing.assert_allclose(dimension_r2(features, labels, True), expected, atol=1e-12)

    def test_order_of_classes_does_not_matter_for_classes_but_for_values(self) -> None:
        labels = np.tile([0, 1, 2], 20)
        renamed = np.array([1, 0, 2])[labels]
        feature = labels[:, None].astype(float)

        assert dimension_r2(feature, renamed, True) == pytest.approx([1.0])
        assert dimension_r2(feature, renamed.astype(float), False) == pytest.approx([0.25])

    def test_every_combination_equally_often_shares_nothing(self) -> None:
        labels, levels = np.divmod(np.arange(60), 5)
        labels = labels % 3

        assert dimension_r2(levels[:, None].astype(float), labels, True) == pytest.approx([0.0], abs=1e-15)
        assert dimension_r2(labels[:, None].astype(float), levels.astype(float), False) == pytest.approx(
            [0.0], abs=1e-15
        )

    def test_permuted_values_share_what_useless_indicators_fit(self) -> None:
        generator = np.random.default_rng(2)
        features = generator.normal(size=(100, 300))
        labels, values = generator.permutation(np.repeat(np.arange(5), 20)), generator.permutation(100).astype(float)

        # R² of 5 - 1 useless indicators on 100 rows is 4 / 99 on average.
        assert np.mean(dimension_r2(features, labels, True)) == pytest.approx(4 / 99, rel=0.15)
        assert np.mean(dimension_r2(features, values, False)) == pytest.approx(1 / 99, rel=0.3)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
    @pytest.mark.parametrize("is_class", [True, False])
    def test_a_constant_dimension_or_attribute_shares_nothing(self, constant: float, is_class: bool) -> None:
        generator = np.random.default_rng(3)
        values = generator.integers(0, 3, 50)
        same = np.full(50, 2) if is_class else np.full(50, constant)

        assert dimension_r2(np.full((50, 2), constant), values if is_class else values * 0.3, is_class) == [0.0, 0.0]
        assert dimension_r2(generator.normal(size=(50, 1)), same, is_class) == pytest.approx([0.0], abs=1e-12)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
    def test_scale_of_a_dimension_does_not_matter(self, scale: float) -> None:
        generator = np.random.default_rng(4)
        values = generator.normal(size=70)
        features = values[:, None] + generator.normal(size=(70, 2))

        np.testing.assert_allclose(dimension_r2(scale * features, values, False), dimension_r2(features, values, False))


def factors(seed: int = 0, n: int = 3000, levels: tuple[int, ...] = (4, 5, 3)) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.stack([generator.integers(0, level, n) for level in levels], axis=1).astype(float)


class TestFactorVae:
    """The FactorVAE metric on representations that hold factors apart, mixed, or not at all."""

    def test_one_dimension_for_each_factor_is_perfect(self) -> None:
        truth = factors()

        measured = factor_vae(truth[:, [2, 0, 1]], truth)

        assert (measured.value, measured.standard_error, measured.perfect) == (1.0, 0.0, 1.0)

    def test_dimensions_that_hold_no_factor_are_not_in_the_way(self) -> None:
        truth = factors()
        useless = np.random.default_rng(1).normal(size=(3000, 2))

        assert factor_vae(np.c_[useless, truth * [1e-3, 1e3, 1]], truth).value == 1.0

    def test_chance_is_the_share_of_the_most_frequent_factor(self) -> None:
        # Each of three factors is fixed in a third of 500 groups, but for 4 standard deviations of a multinomial share.
        assert 1 / 3 <= factor_vae(factors(), factors()).chance < 1 / 3 + 4 * np.sqrt(2 / 9 / VOTES)

    def test_one_dimension_alone_reaches_chance_exactly(self) -> None:
        measured = factor_vae(np.random.default_rng(2).normal(size=(3000, 1)), factors())

        assert measured.value == measured.chance

    def test_noise_reaches_chance_but_for_majorities_counted_on_the_same_votes(self) -> None:
        measured = factor_vae(np.random.default_rng(3).normal(size=(3000, 2)), factors())

        # Two dimensions of about 250 votes each: the largest of three shares lies about one deviation, 0.03, above 1/3.
        assert measured.chance <= measured.value < measured.chance + 0.06

    def test_two_factors_mixed_evenly_are_not_told_apart(self) -> None:
        truth = factors(levels=(4, 5))
        first, second = ((truth - truth.mean(axis=0)) / truth.std(axis=0)).T

        # Either factor, once fixed, leaves both dimensions the same variance.
        measured = factor_vae(np.c_[first + second, first - second], truth)

        assert measured.chance <= measured.value < measured.chance + 0.06

    def test_unit_of_a_dimension_does_not_matter(self) -> None:
        truth = factors()
        inexact = truth + 0.05 * np.random.default_rng(5).normal(size=truth.shape)

        assert factor_vae(inexact * [1e-3, 1e3, 1], truth).value == factor_vae(inexact, truth).value == 1.0

    @pytest.mark.filterwarnings("error")
    def test_a_constant_dimension_gets_no_vote(self) -> None:
        truth = factors()

        assert factor_vae(np.c_[np.full(3000, 7.0), truth], truth) == factor_vae(truth, truth)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("features", [np.ones((50, 3)), np.empty((0, 3))], ids=["constant", "empty"])
    def test_what_does_not_vary_is_refused(self, features: np.ndarray) -> None:
        with pytest.raises(NotMeasurableError, match="no dimension varies"):
            factor_vae(features, factors(n=len(features)))

    def test_repeats_itself(self) -> None:
        features, truth = np.random.default_rng(4).normal(size=(500, 3)), factors(n=500)

        assert factor_vae(features, truth) == factor_vae(features, truth)
