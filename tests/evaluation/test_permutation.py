"""Permutation tests of leaks: exact small cases, brute force, levels by simulation, and what must not move."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations
from math import comb, factorial

import numpy as np
import pytest
from scipy.stats import kstest, pearsonr
from sklearn.metrics import roc_auc_score

from cabench.evaluation.permutation import KEYS_AT_A_TIME, Leak, Significance, permutation_tests


def class_leak(labels: np.ndarray, scores: np.ndarray, **changed: np.ndarray) -> Leak:
    """Of two classes from log-odds (n,), or of more from log-probabilities (n, K); of the first n test rows."""
    evidence = np.stack([np.zeros(len(scores)), scores], axis=1) if scores.ndim == 1 else scores
    return real_leak(labels, evidence, **changed)


def real_leak(values: np.ndarray, predicted: np.ndarray, **changed: np.ndarray) -> Leak:
    leak = Leak(values, predicted, np.arange(len(values)), np.zeros(len(values), np.int64))
    return leak._replace(**changed)


def significance(leak: Leak, groups: np.ndarray | None = None, permuted: int = 999, seed: int = 0) -> Significance:
    """The test of a single leak."""
    return permutation_tests([leak], np.arange(len(leak.rows)) if groups is None else groups, permuted, seed)[0]


def hand_till(labels: np.ndarray, logs: np.ndarray) -> float:
    """2 A - 1, with A the mean over pairs of classes of the share of their pairs of rows that are ranked rightly."""
    pairs = []
    for one, other in combinations(np.unique(labels), 2):
        odds = logs[:, other] - logs[:, one]
        pairs.append(np.mean(odds[labels == one][:, None] < odds[labels == other]))
    return 2 * float(np.mean(pairs)) - 1


class TestSmallCases:
    """Few units, so that every arrangement can be counted by hand."""

    def test_two_and_two_mice_cannot_fall_below_a_sixth(self) -> None:
        groups = np.repeat([0, 1, 2, 3], 15)
        labels = np.repeat([0, 0, 1, 1], 15)
        scores = labels + 0.1 * np.random.default_rng(0).normal(size=60)

        found = significance(class_leak(labels, scores), groups)

        assert found.p_smallest == pytest.approx(1 / comb(4, 2))
        assert found.p_value == pytest.approx(1 / 6, abs=0.04)
        assert found.p_familywise == found.p_value

    @pytest.mark.parametrize("sizes", [[1] * 6, [2, 9, 4, 1, 7, 3]], ids=["rows", "groups of unequal sizes"])
    def test_all_arrangements_of_six_units_by_scikit_learns_auc(self, sizes: list[int]) -> None:
        groups = np.repeat(np.arange(6), sizes)
        labels = np.array([0, 1, 0, 1, 1, 0])[groups]
        scores = np.round(np.random.default_rng(5).normal(size=len(groups)) + labels, 1)  # with ties
        arrangements = [np.isin(groups, ones) for ones in combinations(range(6), 3)]
        reached = np.array([2 * roc_auc_score(arrangement, scores) - 1 for arrangement in arrangements])
        observed = 2 * roc_auc_score(labels, scores) - 1

        found = significance(class_leak(labels, scores), groups, 20_000)

        # 20,000 permutations tell a share to 0.35 points; three times that is allowed.
        assert 1 / 20 < found.p_value < 0.5
        assert found.p_value == pytest.approx(np.mean(reached >= observed - 1e-9), abs=0.011)
        assert found.floor == pytest.approx(np.clip(reached, 0, 1).mean(), abs=0.011)
        assert found.p_smallest == pytest.approx(1 / 20)

    def test_all_arrangements_within_groups_by_scikit_learns_auc(self) -> None:
        groups = np.repeat([0, 1], 4)
        labels, scores = np.array([0, 1, 1, 1, 0, 1, 0, 0]), np.array([0.3, 0.9, 0.2, 0.8, 0.1, 0.7, 0.4, 0.6])
        arrangements = [
            np.array([(i != one and i < 4) or i == 4 + other for i in range(8)])
            for one in range(4)
            for other in range(4)
        ]
        reached = np.array([2 * roc_auc_score(arrangement, scores) - 1 for arrangement in arrangements])
        observed = 2 * roc_auc_score(labels, scores) - 1

        found = significance(class_leak(labels, scores), groups, 20_000)

        assert 1 / 16 < found.p_value < 0.5
        assert found.p_value == pytest.approx(np.mean(reached >= observed - 1e-9), abs=0.011)
        assert found.floor == pytest.approx(np.clip(reached, 0, 1).mean(), abs=0.011)
        assert found.p_smallest == pytest.approx(1 / 16)

    def test_all_arrangements_of_five_real_values_by_pearsons_correlation(self) -> None:
        values, predicted = np.array([1.0, 2, 4, 5, 9]), np.array([103.0, 102, 103, 107, 104])
        reached = np.array([pearsonr(permuted, predicted)[0] for permuted in permutations(values)])

        found = significance(real_leak(values, predicted), permuted=20_000)

        assert 1 / 120 < found.p_value < 0.5
        assert found.p_value == pytest.approx(np.mean(reached >= pearsonr(values, predicted)[0] - 1e-9), abs=0.011)
        assert found.floor == pytest.approx(np.clip(reached, 0, 1).mean(), abs=0.011)
        assert found.p_smallest == pytest.approx(1 / factorial(5))

    def test_within_groups_the_arrangements_multiply(self) -> None:
        groups = np.repeat([0, 1, 2], [4, 3, 2])
        labels = np.array([0, 0, 1, 1, 0, 1, 1, 1, 1])
        scores = np.random.default_rng(1).normal(size=9)

        assert significance(class_leak(labels, scores), groups).p_smallest == pytest.approx(1 / (comb(4, 2) * 3 * 1))

    def test_distinct_real_values_arrange_in_a_factorial_of_ways_and_equal_ones_in_fewer(self) -> None:
        predicted = np.random.default_rng(2).normal(size=5)

        distinct = significance(real_leak(np.array([1.0, 2, 3, 4, 5]), predicted))
        equal = significance(real_leak(np.array([1.0, 1, 3, 4, 4]), predicted))

        assert distinct.p_smallest == pytest.approx(1 / factorial(5))
        assert equal.p_smallest == pytest.approx(4 / factorial(5))

    def test_many_rows_are_limited_by_the_number_of_permutations(self) -> None:
        labels = np.arange(200) % 2

        found = significance(class_leak(labels, labels.astype(float)))

        assert found.p_value == found.p_familywise == found.p_smallest == 1 / 1000

    def test_what_no_permutation_changes_is_no_evidence(self) -> None:
        labels, flat = np.arange(30) % 3, np.zeros((30, 3))
        single = class_leak(labels % 2, np.random.default_rng(3).normal(size=30), strata=np.arange(30))

        constant, fixed, real = permutation_tests(
            [class_leak(labels, flat), single, real_leak(labels.astype(float), np.full(30, 0.1))], np.arange(30)
        )

        assert (constant.p_value, constant.p_familywise, constant.floor) == (1, 1, 0)
        assert (fixed.p_value, fixed.p_familywise, fixed.p_smallest) == (1, 1, 1)
        assert (real.p_value, real.p_familywise, real.floor) == (1, 1, 0)

    def test_no_leaks_give_no_tests(self) -> None:
        assert permutation_tests([], np.arange(5)) == []


class TestStatistic:
    """What is summed by permutations: of many classes, of noise, and what it does not depend on."""

    def test_many_classes_read_of_nothing_what_hand_and_till_read_of_nothing(self) -> None:
        generator = np.random.default_rng(2)
        labels = np.repeat([0, 1, 2, 3], [40, 80, 30, 50])
        scores = generator.normal(size=(200, 4))
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))

        permuted = np.clip([hand_till(generator.permutation(labels), logs) for _ in range(500)], 0, 1)

        # The linear part differs from the whole by terms of order 1 / n.
        assert significance(class_leak(labels, logs), permuted=4000).floor == pytest.approx(
            permuted.mean(), abs=4 * permuted.std() * np.sqrt(1 / 500 + 1 / 4000) + 0.002
        )

    def test_floor_of_noise_is_four_tenths_of_a_standard_error(self) -> None:
        labels, scores = np.repeat([0, 1], 100), np.random.default_rng(3).normal(size=200)

        # The AUC of nothing varies by (n + m + 1) / (12 n m); a normal variable clipped at 0 has a mean of 0.399 sd.
        expected = 0.3989 * 2 * np.sqrt(201 / (12 * 100 * 100))

        assert significance(class_leak(labels, scores), permuted=9999).floor == pytest.approx(expected, rel=0.06)

    def test_classes_that_no_test_row_has_do_not_count(self) -> None:
        generator = np.random.default_rng(4)
        labels, logs = generator.integers(0, 3, 90), generator.normal(size=(90, 3))

        apart = np.insert(logs, 1, generator.normal(size=90), axis=1)

        assert significance(class_leak(labels + (labels > 0), apart)) == significance(class_leak(labels, logs))

    def test_pieces_in_memory_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = np.random.default_rng(5)
        leak = class_leak(generator.integers(0, 2, 50), generator.normal(size=50))
        whole = significance(leak)

        monkeypatch.setattr("cabench.evaluation.permutation.KEYS_AT_A_TIME", KEYS_AT_A_TIME // 1000)

        assert significance(leak) == whole


def free_rows(generator: np.random.Generator) -> tuple[Leak, np.ndarray]:
    return class_leak(generator.integers(0, 3, 60), generator.normal(size=(60, 3))), np.arange(60)


def label_by_subject(generator: np.random.Generator) -> tuple[Leak, np.ndarray]:
    """The label is the subject's; what is read differs between subjects too, but not by label."""
    groups = np.repeat(np.arange(20), generator.integers(2, 10, 20))
    labels = generator.permutation(np.arange(20) % 2)[groups]
    return class_leak(labels, generator.normal(size=20)[groups] + generator.normal(size=len(groups))), groups


def subject_confound(generator: np.random.Generator) -> tuple[Leak, np.ndarray]:
    """What is read tells subjects apart, and subjects have the label more or less often; rows of one are alike."""
    groups = np.repeat(np.arange(20), 10)
    subject = generator.normal(size=20)[groups]
    labels = (generator.random(200) < 1 / (1 + np.exp(-2 * subject))).astype(int)
    return class_leak(labels, subject + generator.normal(size=200)), groups


def real_by_subject(generator: np.random.Generator) -> tuple[Leak, np.ndarray]:
    groups = np.repeat(np.arange(20), generator.integers(1, 6, 20))
    values = generator.normal(size=20)[groups]
    return real_leak(values, generator.normal(size=20)[groups] + generator.normal(size=len(groups))), groups


def site_confound(generator: np.random.Generator) -> tuple[Leak, np.ndarray]:
    """Sites differ in the share of patients and in what is read; each subject, of three rows, is at one site."""
    site = np.repeat(np.arange(4), 10)
    labels = np.concatenate([generator.permutation(np.arange(10) < share) for share in (2, 4, 6, 8)]).astype(int)
    groups = np.repeat(np.arange(40), 3)
    scores = (site + generator.normal(size=40))[groups] + generator.normal(size=120)
    return class_leak(labels[groups], scores, strata=site[groups]), groups


Draw = Callable[[np.random.Generator], tuple[Leak, np.ndarray]]


class TestLevel:
    """Of leaks that are none, 5 % are called significant at 5 %."""

    @pytest.mark.parametrize("draw", [free_rows, label_by_subject, subject_confound, real_by_subject, site_confound])
    def test_p_values_of_no_leak_are_uniform(self, draw: Draw) -> None:
        generator = np.random.default_rng(0)

        p_values = np.array([significance(*draw(generator), permuted=199, seed=seed).p_value for seed in range(600)])

        # 600 draws tell a share of 5 % to 0.9 points; 2.5 times that is allowed.
        assert np.mean(p_values <= 0.05) == pytest.approx(0.05, abs=0.022)
        assert kstest(p_values, "uniform").pvalue > 0.001

    @pytest.mark.parametrize(("draw", "least"), [(label_by_subject, 0.12), (subject_confound, 0.7)])
    def test_rows_that_move_freely_are_called_a_leak_too_often(self, draw: Draw, least: float) -> None:
        generator = np.random.default_rng(1)

        p_values = [significance(draw(generator)[0], permuted=199).p_value for _ in range(150)]

        assert np.mean(np.array(p_values) <= 0.05) > least

    def test_any_of_several_leaks_is_called_at_the_stated_level(self) -> None:
        generator = np.random.default_rng(2)
        smallest, single = [], []
        for seed in range(400):
            shared = generator.normal(size=60)
            leaks = [
                class_leak((shared + generator.normal(size=60) > 0).astype(int), generator.normal(size=60))
                for _ in range(8)
            ]
            found = permutation_tests(leaks, np.arange(60), 199, seed)
            smallest.append(min(item.p_familywise for item in found))
            single.append(min(item.p_value for item in found))

        # 400 draws tell a share of 5 % to 1.1 points.
        assert np.mean(np.array(smallest) <= 0.05) == pytest.approx(0.05, abs=0.027)
        assert np.mean(np.array(single) <= 0.05) > 0.2


class TestTogether:
    """Leaks of several attributes, tested by one and the same permutation."""

    def test_one_attribute_read_twice_costs_nothing_and_unrelated_ones_do(self) -> None:
        generator = np.random.default_rng(0)
        labels = np.arange(80) % 2
        scores = generator.normal(size=80) + 0.55 * labels
        leak = class_leak(labels, scores)
        others = [class_leak(generator.permutation(labels), generator.normal(size=80)) for _ in range(9)]

        twice = permutation_tests([leak] * 10, np.arange(80))
        apart = permutation_tests([leak, *others], np.arange(80))

        assert 0.001 < twice[0].p_value < 0.05
        assert {item.p_familywise for item in twice} == {twice[0].p_value}
        # Ten unrelated tests: 1 - (1 - p)^10.
        assert apart[0].p_familywise == pytest.approx(1 - (1 - apart[0].p_value) ** 10, rel=0.35)

    def test_each_leak_has_the_p_value_and_floor_that_it_has_alone(self) -> None:
        generator = np.random.default_rng(1)
        groups = np.repeat(np.arange(15), 4)
        varying = class_leak(generator.integers(0, 2, 60), generator.normal(size=60))
        constant = class_leak((np.arange(15) % 3)[groups], generator.normal(size=(60, 3)))
        some = real_leak(generator.normal(size=30), generator.normal(size=30), rows=np.arange(0, 60, 2))

        together = permutation_tests([varying, constant, some], groups)

        for leak, found in zip((varying, constant, some), together, strict=True):
            alone = permutation_tests([leak], groups)[0]
            assert (alone.p_value, alone.p_smallest) == (found.p_value, found.p_smallest)
            assert alone.floor == pytest.approx(found.floor)
            assert found.p_familywise >= found.p_value

    def test_rows_where_the_attribute_is_not_defined_take_no_part(self) -> None:
        generator = np.random.default_rng(2)
        rows = np.array([3, 8, 1, 30, 22, 17, 9, 25])
        labels, scores = np.arange(8) % 2, generator.normal(size=8)

        within = significance(class_leak(labels, scores, rows=rows), np.arange(40), 20_000)
        alone = significance(class_leak(labels, scores), permuted=20_000)

        assert within.p_smallest == alone.p_smallest == pytest.approx(1 / comb(8, 4))
        assert within.p_value == pytest.approx(alone.p_value, abs=0.02)

    def test_nothing_moves_between_strata(self) -> None:
        site = np.repeat([0, 1, 2, 3], 25)
        labels = (site > 1).astype(int)
        labels[[0, 30, 60, 90]] = 1 - labels[[0, 30, 60, 90]]
        scores = site + np.random.default_rng(3).normal(size=100)

        # The scores know the site and nothing else, and the site nearly is the label.
        assert significance(class_leak(labels, scores)).p_value == 1 / 1000
        assert significance(class_leak(labels, scores, strata=site)).p_value > 0.05
        assert significance(class_leak(labels, scores, strata=site)).p_smallest == 1 / 1000

    def test_a_group_in_two_strata_changes_places_with_groups_in_the_same_two(self) -> None:
        groups = np.repeat(np.arange(6), 2)
        strata = np.array([0, 1] * 4 + [0, 0] * 2)
        labels = np.array([0, 0, 1, 1] * 3)

        found = significance(class_leak(labels, np.random.default_rng(4).normal(size=12), strata=strata), groups)

        assert found.p_smallest == pytest.approx(1 / (comb(4, 2) * comb(2, 1)))

    def test_background_and_target_change_places_as_any_class_does(self) -> None:
        generator = np.random.default_rng(5)
        is_target = np.repeat([False, True], [30, 50]).astype(int)
        scores = generator.normal(size=80) + 2 * is_target

        assert significance(class_leak(is_target, scores)).p_value == 1 / 1000
