"""The metrics of probes: equal to scikit-learn's and SciPy's, with chance and a standard error that holds."""

from __future__ import annotations

import math
import warnings
from itertools import combinations

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import norm, pearsonr
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score, roc_auc_score

from cabench.evaluation.contributions import Tested as Images
from cabench.evaluation.metrics.probing import (
    accuracy,
    auc,
    balanced_accuracy,
    correlation,
    hand_till,
    r2,
    signed_correlation,
)
from cabench.evaluation.score import Measurement, NotMeasurableError
from cabench.report import crossed


def standard_error(measured: Measurement, kinds: np.ndarray | None = None) -> float:
    """Over the draw of images, those of every kind apart."""
    assert measured.influence is not None
    images = np.arange(len(measured.influence))
    return Images(images, images, np.zeros_like(images) if kinds is None else kinds).standard_error(measured.influence)


class TestAccuracy:
    """Accuracy against scikit-learn, the majority rate and the spread of a resampled test set."""

    @pytest.mark.parametrize("seed", range(5))
    def test_value_equals_scikit_learn(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        labels, predicted = generator.integers(0, 5, (2, 237))

        assert accuracy(labels, predicted).value == pytest.approx(accuracy_score(labels, predicted), abs=1e-15)

    def test_all_right_and_all_wrong(self) -> None:
        labels = np.array([0, 1, 2, 0])

        for predicted, value in ((labels, 1.0), (labels + 1, 0.0)):
            measured = accuracy(labels, predicted)
            assert (measured.value, measured.chance, standard_error(measured)) == (value, 0.5, 0.0)

    def test_chance_is_what_the_majority_class_reaches(self) -> None:
        labels = np.repeat([0, 1, 2], [10, 55, 35])
        majority = DummyClassifier(strategy="most_frequent").fit(labels[:, None], labels).predict(labels[:, None])

        measured = accuracy(labels, majority)

        assert measured.chance == 0.55
        assert measured.value == measured.chance

    def test_chance_follows_the_test_labels_and_not_the_predictions(self) -> None:
        labels = np.repeat([0, 1], [30, 70])

        assert accuracy(labels, np.zeros(100, np.int64)).chance == 0.7
        assert accuracy(labels, np.full(100, 9)).chance == 0.7

    def test_labels_need_not_start_at_zero_nor_be_consecutive(self) -> None:
        labels = np.array([7, 7, 3, 9])

        assert accuracy(labels, np.array([7, 3, 3, 9])).value == 0.75
        assert accuracy(labels, labels).chance == 0.5

    def test_standard_error_is_the_spread_over_resampled_test_sets(self) -> None:
        generator = np.random.default_rng(0)
        labels = generator.integers(0, 4, 300)
        predicted = np.where(generator.random(300) < 0.7, labels, (labels + 1) % 4)
        rows = generator.integers(300, size=(10_000, 300))
        resampled = (labels[rows] == predicted[rows]).mean(axis=1)

        # The spread of 10,000 draws is itself known to 1 / sqrt(20,000) = 0.7 %; five times that is allowed.
        assert standard_error(accuracy(labels, predicted)) == pytest.approx(resampled.std(), rel=0.035)

    def test_standard_error_shrinks_with_the_root_of_the_number_of_images(self) -> None:
        labels, predicted = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
        few, many = accuracy(labels, predicted), accuracy(np.tile(labels, 25), np.tile(predicted, 25))

        assert many.value == few.value
        # 4 images estimate their variance from 3 differences, 100 from 99.
        assert standard_error(many) == pytest.approx(standard_error(few) * math.sqrt(3 / 99))

    def test_a_single_image(self) -> None:
        assert accuracy(np.array([2]), np.array([2]))[:2] == (1.0, 1.0)

    @pytest.mark.filterwarnings("error")
    def test_no_image_is_refused(self) -> None:
        with pytest.raises(NotMeasurableError, match="no test images"):
            accuracy(np.empty(0, np.int64), np.empty(0, np.int64))


class TestBalancedAccuracy:
    """Balanced accuracy against scikit-learn, 1 / classes and the spread of a resampled test set."""

    @pytest.mark.parametrize("seed", range(5))
    def test_value_equals_scikit_learn_on_unequal_classes(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        labels = generator.choice(4, size=311, p=[0.6, 0.25, 0.1, 0.05])
        predicted = np.where(generator.random(311) < 0.5, labels, generator.integers(0, 4, 311))

        expected = balanced_accuracy_score(labels, predicted)

        assert balanced_accuracy(labels, predicted).value == pytest.approx(expected, abs=1e-15)

    def test_classes_predicted_but_absent_from_the_labels_do_not_count_as_classes(self) -> None:
        labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 5, 1, 6])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # scikit-learn mentions the unknown classes
            expected = balanced_accuracy_score(labels, predicted)

        measured = balanced_accuracy(labels, predicted)

        assert measured.value == expected == 0.5
        assert measured.chance == 0.5

    @pytest.mark.parametrize("classes", [2, 3, 10])
    def test_any_constant_prediction_reaches_chance(self, classes: int) -> None:
        labels = np.repeat(np.arange(classes), np.arange(1, classes + 1))
        for constant in range(classes):
            measured = balanced_accuracy(labels, np.full_like(labels, constant))

            assert measured.value == measured.chance == 1 / classes

    def test_predictions_that_ignore_the_image_give_chance_whatever_the_class_sizes(self) -> None:
        generator = np.random.default_rng(0)
        labels = generator.choice(3, size=20_000, p=[0.8, 0.15, 0.05])
        predicted = generator.choice(3, size=20_000, p=[0.1, 0.7, 0.2])

        measured = balanced_accuracy(labels, predicted)

        assert abs(measured.value - measured.chance) < 4 * standard_error(measured, labels)
        assert measured.chance == 1 / 3

    def test_standard_error_is_the_spread_over_test_sets_of_the_same_class_sizes(self) -> None:
        generator = np.random.default_rng(1)
        sizes, recalls = np.array([400, 60, 25]), np.array([0.9, 0.6, 0.4])
        labels = np.repeat(np.arange(3), sizes)
        right = np.concatenate([np.arange(n) < round(n * recall) for n, recall in zip(sizes, recalls, strict=True)])
        simulated = (generator.binomial(sizes, recalls, size=(20_000, 3)) / sizes).mean(axis=1)

        measured = balanced_accuracy(labels, np.where(right, labels, (labels + 1) % 3))

        assert measured.value == pytest.approx(recalls.mean())
        # 20,000 draws tell their spread to 1 / sqrt(40,000) = 0.5 %, and 25 images of a class theirs to 2 %.
        assert standard_error(measured, labels) == pytest.approx(simulated.std(), rel=0.03)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("images", [0, 1, 5])
    def test_fewer_than_two_classes_among_the_labels_are_refused(self, images: int) -> None:
        with pytest.raises(NotMeasurableError, match="fewer than two classes"):
            balanced_accuracy(np.ones(images, np.int64), np.arange(images))

    def test_equals_accuracy_where_classes_are_equally_frequent(self) -> None:
        generator = np.random.default_rng(2)
        labels = np.repeat(np.arange(5), 40)
        predicted = generator.integers(0, 5, 200)

        assert balanced_accuracy(labels, predicted).value == pytest.approx(np.mean(labels == predicted), abs=1e-15)


class TestR2:
    """R² against scikit-learn, its scale and the spread of a resampled test set."""

    @pytest.mark.parametrize("noise", [0.0, 0.3, 1.0, 5.0])
    def test_value_equals_scikit_learn(self, noise: float) -> None:
        generator = np.random.default_rng(0)
        values = generator.normal(3, 2, 251)
        predicted = values + noise * generator.normal(size=251)

        assert r2(values, predicted).value == pytest.approx(r2_score(values, predicted), abs=1e-12)

    def test_value_equals_scikit_learn_where_values_are_tied(self) -> None:
        generator = np.random.default_rng(1)
        values, predicted = generator.integers(0, 5, (2, 200)) / 4

        assert r2(values, predicted).value == pytest.approx(r2_score(values, predicted), abs=1e-12)

    def test_right_predictions_give_one_without_error(self) -> None:
        values = np.array([0.0, 0.5, 1.0])

        measured = r2(values, values)

        assert (measured.value, measured.chance, standard_error(measured)) == (1.0, 0.0, 0.0)

    def test_the_mean_of_the_test_values_gives_chance_without_error(self) -> None:
        values = np.random.default_rng(2).normal(size=100)

        measured = r2(values, np.full(100, values.mean()))

        assert measured.chance == 0.0
        assert measured.value == pytest.approx(0, abs=1e-12)
        assert standard_error(measured) == pytest.approx(0, abs=1e-12)

    def test_predictions_worse_than_the_mean_stay_negative(self) -> None:
        values = np.array([0.0, 1.0])

        assert r2(values, 1 - values).value == -3.0

    def test_unit_and_origin_of_the_values_do_not_matter(self) -> None:
        generator = np.random.default_rng(3)
        values = generator.normal(size=80)
        predicted = values + generator.normal(size=80)

        plain, moved = r2(values, predicted), r2(-40 * values + 7, -40 * predicted + 7)

        assert moved.value == pytest.approx(plain.value, rel=1e-9)
        np.testing.assert_allclose(moved.influence, plain.influence, atol=1e-12)

    def test_standard_error_is_the_spread_over_fresh_test_sets(self) -> None:
        generator = np.random.default_rng(4)
        values = generator.normal(size=(4000, 400))
        predicted = 0.7 * values + 0.5 * generator.normal(size=values.shape)
        measured = [r2(*pair) for pair in zip(values, predicted, strict=True)]

        # 4,000 draws tell their spread to 1.1 %; the delta method's own error is of order 1 / 400.
        spread = np.std([item.value for item in measured])
        assert np.mean([standard_error(item) for item in measured]) == pytest.approx(spread, rel=0.06)

    def test_standard_error_is_the_spread_over_resampled_test_sets_of_skewed_values(self) -> None:
        generator = np.random.default_rng(5)
        values = generator.exponential(size=1500)
        predicted = 0.6 * values + 0.4 + 0.3 * generator.normal(size=1500)
        rows = generator.integers(1500, size=(3000, 1500))
        drawn, drawn_predicted = values[rows], predicted[rows]
        resampled = 1 - ((drawn - drawn_predicted) ** 2).mean(axis=1) / drawn.var(axis=1)

        # 1.3 % from the number of draws and a few per cent from the heavy tail.
        assert standard_error(r2(values, predicted)) == pytest.approx(resampled.std(), rel=0.1)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("value", [0.0, 0.5, -3.0, 1e-300])
    def test_equal_values_are_refused(self, value: float) -> None:
        with pytest.raises(NotMeasurableError, match="all test values are equal"):
            r2(np.full(3, value), np.zeros(3))

    def test_equal_values_are_refused_where_their_mean_is_rounded(self) -> None:
        with pytest.raises(NotMeasurableError, match="all test values are equal"):
            r2(np.full(3, 0.1), np.zeros(3))

    @pytest.mark.filterwarnings("error")
    def test_values_too_small_to_be_squared_are_refused(self) -> None:
        with pytest.raises(NotMeasurableError, match="all test values are equal"):
            r2(np.array([0.0, 1e-200]), np.zeros(2))

    @pytest.mark.filterwarnings("error")
    def test_no_value_is_refused(self) -> None:
        with pytest.raises(NotMeasurableError, match="no test images"):
            r2(np.empty(0), np.empty(0))


def told(backgrounds: int, targets: int) -> np.ndarray:
    return np.repeat([False, True], [backgrounds, targets])


class TestAuc:
    """The area under the ROC curve and DeLong's standard error, against scikit-learn, simulation and by hand."""

    @pytest.mark.parametrize("levels", [2, 5, 1000])
    @pytest.mark.parametrize("seed", range(3))
    def test_value_equals_scikit_learn_with_few_and_many_ties(self, levels: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        is_target = generator.random(300) < 0.3
        scores = generator.integers(0, levels, 300) + 0.2 * levels * is_target

        assert auc(is_target, scores).value == pytest.approx(roc_auc_score(is_target, scores), abs=1e-12)

    def test_perfect_reversed_and_equal_scores(self) -> None:
        is_target = told(3, 2)

        for scores, value in ((np.arange(5.0), 1.0), (-np.arange(5.0), 0.0), (np.ones(5), 0.5)):
            measured = auc(is_target, scores)
            assert (measured.value, measured.chance, standard_error(measured)) == (value, 0.5, 0.0)

    def test_ties_between_the_populations_count_half(self) -> None:
        assert auc(told(2, 2), np.array([0.0, 1.0, 1.0, 2.0])).value == (1 + 0.5 + 1 + 1) / 4

    def test_chance_is_a_half_whatever_the_population_sizes(self) -> None:
        assert auc(told(90, 10), np.arange(100.0)).chance == 0.5

    def test_order_of_the_images_does_not_matter(self) -> None:
        generator = np.random.default_rng(0)
        is_target, scores, order = (
            generator.random(90) < 0.4,
            generator.integers(0, 9, 90) / 3,
            generator.permutation(90),
        )

        plain, shuffled = auc(is_target, scores), auc(is_target[order], scores[order])

        assert shuffled.value == pytest.approx(plain.value, abs=1e-12)
        np.testing.assert_allclose(shuffled.influence, plain.influence[order], atol=1e-12)

    def test_only_the_ranks_of_the_scores_matter(self) -> None:
        generator = np.random.default_rng(1)
        is_target, scores = generator.random(60) < 0.5, generator.normal(size=60)

        assert auc(is_target, np.exp(3 * scores)).value == auc(is_target, scores).value
        assert auc(is_target, -scores).value == pytest.approx(1 - auc(is_target, scores).value, abs=1e-12)

    def test_standard_error_by_hand(self) -> None:
        scores = np.array([1.0, 3.0, 5.0, 2.0, 4.0, 6.0])  # background 1, 3, 5; target 2, 4, 6
        over_backgrounds = np.array([1, 2, 3]) / 3  # of each target
        under_targets = np.array([3, 2, 1]) / 3  # of each background image
        variance = over_backgrounds.var(ddof=1) / 3 + under_targets.var(ddof=1) / 3

        measured = auc(told(3, 3), scores)

        assert measured.value == pytest.approx(2 / 3)
        assert standard_error(measured, told(3, 3)) == pytest.approx(math.sqrt(variance))

    @pytest.mark.parametrize("shift", [0.0, 1.0])
    def test_value_and_standard_error_follow_the_theory_of_two_normal_populations(self, shift: float) -> None:
        generator = np.random.default_rng(2)
        is_target = told(150, 50)
        measured = [auc(is_target, generator.normal(shift * is_target)) for _ in range(2500)]
        values = np.array([item.value for item in measured])

        expected = norm.cdf(shift / math.sqrt(2))
        assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(len(values))
        # 2,500 draws tell their spread to 1.4 %; five times that is allowed.
        errors = [standard_error(item, is_target) for item in measured[:500]]
        assert np.mean(errors) == pytest.approx(values.std(), rel=0.07)

    def test_standard_error_is_the_spread_over_resampled_populations_where_scores_are_tied(self) -> None:
        generator = np.random.default_rng(3)
        is_target = told(200, 200)
        scores = generator.integers(0, 6, 400) + 1.0 * is_target
        drawn = [
            np.concatenate([generator.integers(0, 200, 200), generator.integers(200, 400, 200)]) for _ in range(2000)
        ]
        resampled = [auc(is_target, scores[rows]).value for rows in drawn]

        assert standard_error(auc(is_target, scores), is_target) == pytest.approx(np.std(resampled), rel=0.08)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(("negative", "positive"), [(0, 5), (5, 0), (0, 0)])
    def test_a_side_without_images_is_refused(self, negative: int, positive: int) -> None:
        with pytest.raises(
            NotMeasurableError, match=f"there are {positive} and {negative} test images of the two sides"
        ):
            auc(told(negative, positive), np.arange(negative + positive) / 2)

    @pytest.mark.parametrize(("negative", "positive"), [(1, 1), (1, 7), (7, 1)])
    def test_one_image_of_a_side_is_enough_for_a_value(self, negative: int, positive: int) -> None:
        is_target, scores = told(negative, positive), np.random.default_rng(5).normal(size=negative + positive)

        assert auc(is_target, scores).value == pytest.approx(roc_auc_score(is_target, scores))


class TestCorrelation:
    """The correlation of predictions with values, against SciPy and what it must not ask for."""

    @pytest.mark.parametrize("noise", [0.0, 1.0, 5.0])
    def test_equals_scipy(self, noise: float) -> None:
        generator = np.random.default_rng(0)
        values = generator.normal(3, 2, 251)
        predicted = values + noise * generator.normal(size=251)

        assert correlation(values, predicted).value == pytest.approx(pearsonr(values, predicted).statistic, abs=1e-12)

    @pytest.mark.parametrize("unit", [1e-200, 1e-9, 1e9, 1e200])
    def test_units_and_origins_do_not_matter_where_r2_would_be_lost(self, unit: float) -> None:
        generator = np.random.default_rng(1)
        values, predicted = generator.normal(size=(2, 40)) + generator.normal(size=40)

        assert correlation(unit * values, predicted - 3).value == pytest.approx(correlation(values, predicted).value)

    def test_what_is_negative_is_nothing_and_keeps_its_error(self) -> None:
        values = np.random.default_rng(2).normal(size=30)
        predicted = -values + np.random.default_rng(3).normal(size=30)

        measured, signed = correlation(values, predicted), signed_correlation(values, predicted)

        assert (measured.value, measured.chance) == (0.0, 0.0)
        assert signed.value == pytest.approx(pearsonr(values, predicted).statistic)
        assert standard_error(measured) == standard_error(signed) > 0.05

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e6, 1e300])
    def test_constant_predictions_have_read_nothing(self, constant: float) -> None:
        measured = correlation(np.arange(9.0), np.full(9, constant))

        assert measured.value == 0.0
        np.testing.assert_array_equal(measured.influence, 0)

    def test_predictions_that_differ_by_rounding_alone_have_read_nothing(self) -> None:
        predicted = 50 + np.spacing(50.0) * (np.arange(30) % 3)

        assert correlation(np.arange(30) % 3 + 0.0, predicted).value == 0.0

    def test_right_predictions_of_two_values(self) -> None:
        assert correlation(np.array([0.0, 0.0, 1.0]), np.array([5.0, 5.0, 9.0])).value == pytest.approx(1.0)

    def test_standard_error_is_the_spread_over_fresh_test_sets(self) -> None:
        generator = np.random.default_rng(4)
        values = generator.normal(size=(2000, 100))
        predicted = values + generator.normal(size=values.shape)
        measured = [correlation(*pair) for pair in zip(values, predicted, strict=True)]

        # 2,000 draws tell their spread to 1.6 %; the delta method's own error is of order 1 / 100.
        spread = np.std([item.value for item in measured])
        assert np.mean([standard_error(item) for item in measured]) == pytest.approx(spread, rel=0.06)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("value", [0.0, 0.1, 1e300])
    def test_equal_values_are_refused(self, value: float) -> None:
        with pytest.raises(NotMeasurableError, match="all test values are equal"):
            correlation(np.full(3, value), np.arange(3.0))

    def test_no_value_is_refused(self) -> None:
        with pytest.raises(NotMeasurableError, match="no test images"):
            correlation(np.empty(0), np.empty(0))


def read(seed: int, classes: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Unequal classes, and what speaks for each: log-probabilities that know something."""
    generator = np.random.default_rng(seed)
    shares = np.linspace(1, 4, classes)
    codes = generator.choice(classes, n, p=shares / shares.sum())
    return codes, log_softmax(1.5 * np.eye(classes)[codes] + generator.normal(size=(n, classes)), axis=1)


class TestHandTill:
    """The mean AUC over pairs of classes, against scikit-learn and by hand."""

    def test_of_two_classes_is_their_auc(self) -> None:
        codes, evidence = read(0, 2)

        expected = roc_auc_score(codes, evidence[:, 1] - evidence[:, 0])

        assert hand_till(codes, evidence).value == pytest.approx(expected, abs=1e-12)
        assert hand_till(codes, evidence).value == pytest.approx(roc_auc_score(codes, np.exp(evidence[:, 1])))

    @pytest.mark.parametrize("classes", [3, 6])
    def test_is_the_mean_of_scikit_learns_auc_over_pairs_ranked_by_their_log_odds(self, classes: int) -> None:
        codes, evidence = read(1, classes)

        pairs = []
        for one, other in combinations(range(classes), 2):
            there = np.isin(codes, (one, other))
            pairs.append(roc_auc_score(codes[there] == other, (evidence[:, other] - evidence[:, one])[there]))

        assert hand_till(codes, evidence).value == pytest.approx(np.mean(pairs), abs=1e-12)

    def test_of_more_classes_scikit_learn_ranks_by_probability_and_comes_near(self) -> None:
        codes, evidence = read(2, 4, 2000)

        by_probability = roc_auc_score(codes, np.exp(evidence), multi_class="ovo")

        assert hand_till(codes, evidence).value == pytest.approx(by_probability, abs=0.03)
        assert hand_till(codes, evidence).value != pytest.approx(by_probability, abs=1e-4)

    def test_equals_scikit_learns_where_ranks_by_probability_and_by_log_odds_are_the_same(self) -> None:
        # What is left beside either class of a pair is the same for all images, so that probability follows log-odds.
        codes, evidence = read(3, 3)
        probabilities = np.full((len(codes), 3), 0.2)
        shares = 1 / (1 + np.exp(evidence[:, 0] - evidence[:, 1]))
        probabilities[:, :2] = 0.8 * np.c_[1 - shares, shares]
        there = codes < 2

        expected = roc_auc_score(codes[there], probabilities[there, 1])

        assert hand_till(codes[there], np.log(probabilities[there])).value == pytest.approx(expected, abs=1e-12)

    def test_a_class_that_is_never_likely_is_told_from_another_all_the_same(self) -> None:
        # Log-odds of the two rare classes do not depend on how likely the frequent one is.
        codes, evidence = read(4, 3)
        shifted = evidence.copy()
        shifted[:, 0] += np.random.default_rng(4).normal(0, 50, len(codes))
        rare = codes > 0

        assert hand_till(codes[rare], shifted[rare]).value == hand_till(codes[rare], evidence[rare]).value

    def test_columns_of_classes_that_no_image_has_do_not_count(self) -> None:
        codes, evidence = read(5, 4)
        there = codes != 2

        padded = hand_till(codes[there], evidence[there]).value
        expected = hand_till(np.searchsorted([0, 1, 3], codes[there]), evidence[there][:, [0, 1, 3]]).value

        assert padded == expected

    def test_frequencies_of_classes_do_not_matter(self) -> None:
        codes, evidence = read(6, 3)
        often = np.repeat(np.arange(len(codes)), 1 + 9 * (codes == 1))

        assert hand_till(codes[often], evidence[often]).value == pytest.approx(hand_till(codes, evidence).value)

    def test_constant_evidence_is_chance_without_error(self) -> None:
        codes, _ = read(7, 5)
        measured = hand_till(codes, np.zeros((len(codes), 5)))

        assert (measured.value, measured.chance, standard_error(measured)) == (0.5, 0.5, 0.0)

    def test_one_class_is_refused(self) -> None:
        with pytest.raises(NotMeasurableError, match="fewer than two classes"):
            hand_till(np.ones(4, np.int64), np.zeros((4, 2)))


@pytest.mark.parametrize("groups", [3, 4, 8, 20])
def test_predictions_without_information_seldom_seem_to_differ_on_few_subjects(groups: int) -> None:
    """Ten images a subject, whose number is the same in all; two predictions that know the subject and not the number.

    With the first-order influence 12 to 14 of 100 seem to differ on 3 to 8 subjects.
    """
    generator = np.random.default_rng(groups)
    subjects = np.repeat(np.arange(groups), 10)
    called = 0
    for _ in range(400):
        numbers = generator.normal(size=groups)[subjects]
        methods = []
        for _ in range(2):
            predicted = generator.normal(size=groups)[subjects] + 0.5 * generator.normal(size=len(subjects))
            measured = signed_correlation(numbers, predicted, subjects)
            added = np.bincount(subjects, measured.influence)
            methods.append(crossed.Sample(np.array([measured.value]), added, True))
        test_groups = crossed.TestGroups(np.full(groups, 10), np.zeros(groups, dtype=np.int64))
        called += crossed.difference(*methods, test_groups).p_value < 0.05

    assert called / 400 < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
