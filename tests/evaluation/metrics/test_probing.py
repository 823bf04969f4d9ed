"""The metrics of probes: equal to scikit-learn's, with chance and a standard error that holds."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score, roc_auc_score

from cabench.evaluation.metrics.probing import accuracy, auc, balanced_accuracy, r2
from cabench.evaluation.score import Measurement, NotMeasurableError


class TestAccuracy:
    """Accuracy against scikit-learn, the majority rate and the spread of a resampled test set."""

    @pytest.mark.parametrize("seed", range(5))
    def test_value_equals_scikit_learn(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        labels, predicted = generator.integers(0, 5, (2, 237))

        assert accuracy(labels, predicted).value == pytest.approx(accuracy_score(labels, predicted), abs=1e-15)

    def test_all_right_and_all_wrong(self) -> None:
        labels = np.array([0, 1, 2, 0])

        assert accuracy(labels, labels) == Measurement(1.0, 0.5, 0.0)
        assert accuracy(labels, labels + 1) == Measurement(0.0, 0.5, 0.0)

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
        assert accuracy(labels, predicted).standard_error == pytest.approx(resampled.std(), rel=0.035)

    def test_standard_error_shrinks_with_the_root_of_the_number_of_images(self) -> None:
        labels, predicted = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
        few, many = accuracy(labels, predicted), accuracy(np.tile(labels, 25), np.tile(predicted, 25))

        assert many.value == few.value
        assert many.standard_error == pytest.approx(few.standard_error / 5)

    def test_a_single_image(self) -> None:
        assert accuracy(np.array([2]), np.array([2])) == Measurement(1.0, 1.0, 0.0)

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

        assert abs(measured.value - measured.chance) < 4 * measured.standard_error
        assert measured.chance == 1 / 3

    def test_standard_error_is_the_spread_over_test_sets_of_the_same_class_sizes(self) -> None:
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

        assert r2(values, values) == Measurement(1.0, 0.0, 0.0)

    def test_the_mean_of_the_test_values_gives_chance_without_error(self) -> None:
        values = np.random.default_rng(2).normal(size=100)

        measured = r2(values, np.full(100, values.mean()))

        assert measured.chance == 0.0
        assert measured.value == pytest.approx(0, abs=1e-12)
        assert measured.standard_error == pytest.approx(0, abs=1e-12)

    def test_predictions_worse_than_the_mean_stay_negative(self) -> None:
        values = np.array([0.0, 1.0])

        assert r2(values, 1 - values).value == -3.0

    def test_unit_and_origin_of_the_values_do_not_matter(self) -> None:
        generator = np.random.default_rng(3)
        values = generator.normal(size=80)
        predicted = values + generator.normal(size=80)

        assert r2(-40 * values + 7, -40 * predicted + 7)[:3] == pytest.approx(r2(values, predicted)[:3], rel=1e-9)

    def test_standard_error_is_the_spread_over_fresh_test_sets(self) -> None:
        generator = np.random.default_rng(4)
        values = generator.normal(size=(4000, 400))
        predicted = 0.7 * values + 0.5 * generator.normal(size=values.shape)
        measured = [r2(*pair) for pair in zip(values, predicted, strict=True)]

        # 4,000 draws tell their spread to 1.1 %; the delta method's own error is of order 1 / 400.
        spread = np.std([item.value for item in measured])
        assert np.mean([item.standard_error for item in measured]) == pytest.approx(spread, rel=0.06)

    def test_standard_error_is_the_spread_over_resampled_test_sets_of_skewed_values(self) -> None:
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

        assert auc(is_target, np.array([0.0, 1.0, 2.0, 3.0, 4.0])) == Measurement(1.0, 0.5, 0.0)
        assert auc(is_target, np.array([4.0, 3.0, 2.0, 1.0, 0.0])) == Measurement(0.0, 0.5, 0.0)
        assert auc(is_target, np.ones(5)) == Measurement(0.5, 0.5, 0.0)

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

        assert auc(is_target[order], scores[order])[:3] == pytest.approx(auc(is_target, scores)[:3], abs=1e-12)

    def test_only_the_ranks_of_the_scores_matter(self) -> None:
        generator = np.random.default_rng(1)
        is_target, scores = generator.random(60) < 0.5, generator.normal(size=60)

        assert auc(is_target, np.exp(3 * scores)) == auc(is_target, scores)
        assert auc(is_target, -scores).value == pytest.approx(1 - auc(is_target, scores).value, abs=1e-12)

    def test_standard_error_by_hand(self) -> None:
        scores = np.array([1.0, 3.0, 5.0, 2.0, 4.0, 6.0])  # background 1, 3, 5; target 2, 4, 6
        over_backgrounds = np.array([1, 2, 3]) / 3  # of each target
        under_targets = np.array([3, 2, 1]) / 3  # of each background image
        variance = over_backgrounds.var(ddof=1) / 3 + under_targets.var(ddof=1) / 3

        measured = auc(told(3, 3), scores)

        assert measured.value == pytest.approx(2 / 3)
        assert measured.standard_error == pytest.approx(math.sqrt(variance))

    @pytest.mark.parametrize("shift", [0.0, 1.0])
    def test_value_and_standard_error_follow_the_theory_of_two_normal_populations(self, shift: float) -> None:
        generator = np.random.default_rng(2)
        is_target = told(150, 50)
        measured = [auc(is_target, generator.normal(shift * is_target)) for _ in range(2500)]
        values = np.array([item.value for item in measured])

        expected = norm.cdf(shift / math.sqrt(2))
        assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(len(values))
        # 2,500 draws tell their spread to 1.4 %; five times that is allowed.
        assert np.mean([item.standard_error for item in measured]) == pytest.approx(values.std(), rel=0.07)

    def test_standard_error_is_the_spread_over_resampled_populations_where_scores_are_tied(self) -> None:
        generator = np.random.default_rng(3)
        is_target = told(200, 200)
        scores = generator.integers(0, 6, 400) + 1.0 * is_target
        drawn = [
            np.concatenate([generator.integers(0, 200, 200), generator.integers(200, 400, 200)]) for _ in range(2000)
        ]
        resampled = [auc(is_target, scores[rows]).value for rows in drawn]

        assert auc(is_target, scores).standard_error == pytest.approx(np.std(resampled), rel=0.08)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(("backgrounds", "targets"), [(2, 1), (1, 2), (0, 5), (5, 0), (0, 0)])
    def test_a_population_of_fewer_than_two_images_is_refused(self, backgrounds: int, targets: int) -> None:
        with pytest.raises(NotMeasurableError, match=f"{targets} target and {backgrounds} background images"):
            auc(told(backgrounds, targets), np.arange(backgrounds + targets) / 2)
