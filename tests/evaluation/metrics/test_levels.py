"""Metrics within levels: by hand, weighted by pairs and by images, and blind to what differs between levels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from cabench.evaluation.metrics.levels import within_levels
from cabench.evaluation.metrics.probing import correlation, hand_till
from cabench.evaluation.score import NotMeasurableError


def two_classes(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    levels = generator.choice(3, n, p=[0.6, 0.3, 0.1])
    codes = (generator.random(n) < np.array([0.2, 0.5, 0.8])[levels]).astype(np.int64)
    shown = codes + generator.normal(size=n)
    return codes, np.c_[-shown, shown], levels


class TestClasses:
    def test_levels_count_by_their_pairs_of_images(self) -> None:
        codes, evidence, levels = two_classes(0)

        parts = []
        for level in range(3):
            here = levels == level
            pairs = codes[here].sum() * (1 - codes[here]).sum()
            parts.append((roc_auc_score(codes[here], evidence[here, 1]), pairs))
        expected = np.average(*np.transpose(parts)[:1], weights=np.transpose(parts)[1])

        assert within_levels(codes, evidence, levels).value == pytest.approx(expected)

    def test_of_one_level_is_the_auc(self) -> None:
        codes, evidence, levels = two_classes(1)

        measured = within_levels(codes, evidence, np.zeros_like(levels))

        assert measured.value == pytest.approx(hand_till(codes, evidence).value)
        np.testing.assert_allclose(measured.influence, hand_till(codes, evidence).influence, atol=1e-15)

    def test_what_tells_levels_apart_does_not_count(self) -> None:
        codes, _, levels = two_classes(2)
        site = np.c_[np.zeros(len(codes)), levels]

        assert hand_till(codes, site).value > 0.7
        assert within_levels(codes, site, levels).value == 0.5

    def test_an_offset_of_each_level_changes_nothing(self) -> None:
        codes, evidence, levels = two_classes(3)
        moved = evidence + np.c_[np.zeros(len(codes)), 100.0 * levels]

        assert within_levels(codes, moved, levels).value == within_levels(codes, evidence, levels).value

    def test_a_level_of_one_class_says_nothing(self) -> None:
        codes, evidence, levels = two_classes(4)
        codes[levels == 2] = 1
        there = levels != 2

        whole, measured = (
            within_levels(c, e, lev)
            for c, e, lev in ((codes, evidence, levels), (codes[there], evidence[there], levels[there]))
        )

        assert whole.value == pytest.approx(measured.value)
        np.testing.assert_array_equal(whole.influence[~there], 0)

    def test_no_level_of_two_classes_is_refused(self) -> None:
        with pytest.raises(NotMeasurableError, match="no level of the nuisances can be scored"):
            within_levels(np.array([0, 0, 1, 1]), np.zeros((4, 2)), np.array([5, 5, 7, 7]))

    def test_as_many_levels_as_are_asked_for_must_be_there(self) -> None:
        codes, evidence, levels = two_classes(5)

        within_levels(codes, evidence, levels, 3)
        with pytest.raises(NotMeasurableError, match="fewer than 4 levels"):
            within_levels(codes, evidence, levels, 4)


class TestNumbers:
    def test_levels_count_by_their_images(self) -> None:
        generator = np.random.default_rng(0)
        levels = generator.choice(3, 200, p=[0.6, 0.3, 0.1])
        values = generator.normal(size=200) + 5 * levels
        predicted = values + generator.normal(size=200)

        found = [pearsonr(values[levels == level], predicted[levels == level]).statistic for level in range(3)]
        expected = np.average(found, weights=np.bincount(levels))

        assert within_levels(values, predicted, levels).value == pytest.approx(expected)
        assert correlation(values, predicted).value > within_levels(values, predicted, levels).value + 0.1

    def test_what_is_negative_over_all_levels_is_nothing(self) -> None:
        values = np.arange(12.0)

        assert within_levels(values, -values, np.arange(12) % 2).value == 0.0

    def test_a_level_of_two_images_or_of_equal_values_says_nothing(self) -> None:
        values, levels = np.array([1.0, 2, 3, 5, 5, 5, 1, 2]), np.array([0, 0, 0, 1, 1, 1, 2, 2])
        predicted = np.array([1.0, 2, 4, 1, 2, 3, 9, 1])

        expected = pearsonr(values[:3], predicted[:3]).statistic

        assert within_levels(values, predicted, levels).value == pytest.approx(expected)
