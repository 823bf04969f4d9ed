"""The worth of tuning, against every subset of the trials, against the card's formula, and in simulation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.stats import spearmanr

from cabench.tuning.tuning_record import WORST, TuningRecord
from cabench.tuning.worth import (
    Curve,
    curves_of,
    expected_best,
    is_opened,
    order_agreement,
    rank_changes,
    share_between_methods,
)

Make = Callable[..., TuningRecord]


def over_all_subsets(judged: np.ndarray, tested: np.ndarray, n: int) -> float:
    """Of each set of n trials the mean test gap of those with its best validation gap."""
    best = []
    for chosen in map(list, combinations(range(len(judged)), n)):
        best.append(tested[chosen][judged[chosen] == judged[chosen].min()].mean())
    return float(np.mean(best))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("ties", [False, True])
def test_it_is_the_mean_over_all_subsets(n: int, ties: bool) -> None:
    generator = np.random.default_rng(n)
    judged, tested = generator.uniform(size=(2, 9))
    judged = judged.round(1) if ties else judged
    assert len(set(judged)) == 9 or ties
    assert expected_best(judged, tested, n) == pytest.approx([over_all_subsets(judged, tested, n)], rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16, 512])
def test_it_is_the_formula_of_the_card(n: int) -> None:
    total = max(4 * n, 32) if n < 512 else 1024
    judged, tested = np.random.default_rng(n).uniform(size=(2, total))
    worst_first = tested[np.argsort(-judged)]
    weights = [comb(i - 1, n - 1) / comb(total, n) for i in range(1, total + 1)]
    assert expected_best(judged, tested, n) == pytest.approx([np.dot(weights, worst_first)], rel=1e-9)


def test_copies_are_trials_that_are_there_more_than_once() -> None:
    generator = np.random.default_rng(0)
    judged, tested = generator.uniform(size=(2, 6))
    copies = generator.multinomial(6, np.full(6, 1 / 6), size=20)
    drawn = [np.repeat(np.arange(6), line) for line in copies]
    expected = [over_all_subsets(judged[trials], tested[trials], 3) for trials in drawn]
    assert expected_best(judged, tested, 3, copies) == pytest.approx(expected, rel=1e-12)


def simulated(generator: np.random.Generator, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Validation and test gaps of settings spread over a bowl, the first with the larger noise."""
    quality = 0.2 + 0.3 * ((generator.uniform(-1, 1, (*size, 2)) - 0.3) ** 2).sum(axis=-1) / 2
    return quality + generator.normal(0, 0.02, size), quality + generator.normal(0, 0.01, size)


@pytest.mark.parametrize(("n", "least", "most"), [(1, 0.86, 0.98), (4, 0.82, 0.96), (8, 0.72, 0.92)])
def test_it_is_unbiased_and_its_band_covers_as_the_module_says(
    n: int, least: float, most: float, make_tuning_record: Make
) -> None:
    generator = np.random.default_rng(n)
    judged, tested = simulated(generator, (100_000, n))
    truth = np.take_along_axis(tested, judged.argmin(axis=1)[:, None], axis=1).mean()
    held, found = [], []
    for _ in range(300):
        (curve,) = curves_of([make_tuning_record("mine", *(gaps.tolist() for gaps in simulated(generator, (16,))))])
        place = curve.counts.index(n)
        low, high = curve.band[:, place]
        held.append(low <= truth <= high)
        found.append(curve.expected[place])
    assert abs(np.mean(found) - truth) < 4 * np.std(found) / np.sqrt(len(found))
    assert least < np.mean(held) < most


class TestCurves:
    def test_they_go_up_to_half_the_trials_and_begin_at_their_mean(self, make_tuning_record: Make) -> None:
        gaps = np.random.default_rng(0).uniform(size=19).tolist()
        (curve,) = curves_of([make_tuning_record("mine", gaps, gaps)])
        assert curve.counts == (1, 2, 4, 8)
        assert curve.expected[0] == pytest.approx(np.mean(gaps))
        assert (np.diff(curve.expected) < 0).all()
        assert ((curve.band[0] < curve.expected) & (curve.expected < curve.band[1])).all()

    def test_a_trial_that_failed_counts_as_the_worst_in_both_parts(self, make_tuning_record: Make) -> None:
        (curve,) = curves_of([make_tuning_record("mine", [0.3, None, None, None], [0.4, None, None, None])])
        assert curve.expected.tolist() == pytest.approx([(0.4 + 3 * WORST) / 4, (0.4 * 3 + WORST * 3) / 6])

    def test_a_method_with_nothing_to_search_has_one_value_for_any_number_of_trials(
        self, make_tuning_record: Make
    ) -> None:
        searched = make_tuning_record("mine", [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4])
        fixed = make_tuning_record("pca", [0.3], [0.35], space={})
        curve = curves_of([searched, fixed])[1]
        assert curve.counts == (1, 2)
        assert curve.expected.tolist() == [0.35, 0.35]
        assert not curve.has_band

    def test_a_single_trial_of_a_method_that_has_more_to_try_says_nothing_of_two(
        self, make_tuning_record: Make
    ) -> None:
        others = make_tuning_record("mine", [0.1] * 4, [0.1] * 4)
        assert curves_of([others, make_tuning_record("two", [0.3], [0.35])])[1].counts == (1,)

    def test_methods_whose_test_gaps_are_not_all_known_are_left_out(self, make_tuning_record: Make) -> None:
        half = make_tuning_record("half", [0.1, 0.2], [0.1, None])
        assert not is_opened(half)
        assert curves_of([half]) == []

    def test_they_are_the_same_each_time_and_independent_between_methods(self, make_tuning_record: Make) -> None:
        gaps = np.random.default_rng(0).uniform(size=16).tolist()
        records = [make_tuning_record(name, gaps, gaps) for name in ("a", "b")]
        first, again = curves_of(records), curves_of(records[::-1])[::-1]
        assert all((one.resampled == other.resampled).all() for one, other in zip(first, again, strict=True))
        together = np.corrcoef(first[0].resampled[:, 0], first[1].resampled[:, 0])[0, 1]
        assert abs(together) < 0.1


def curve(name: str, one: float, more: float, noise: float = 0.001) -> Curve:
    expected = np.array([one, more])
    jitter = np.random.default_rng(list(name.encode())).normal(0, noise, (2000, 2))
    return Curve(name, 16, (1, 8), expected, expected + jitter)


class TestRankChanges:
    def test_best_with_one_trial_and_worst_with_eight_is_said(self) -> None:
        found = rank_changes([curve("early", 0.2, 0.19), curve("late", 0.4, 0.1), curve("middle", 0.3, 0.15)], 8)
        assert [(change.first, change.last) for change in found] == [(1, 3), (3, 1), (2, 2)]
        assert all(change.certainty == 1.0 for change in found)

    def test_what_trials_do_not_show_has_a_low_certainty(self) -> None:
        found = rank_changes([curve("a", 0.30, 0.21, 0.05), curve("b", 0.31, 0.20, 0.05)], 8)
        assert [(change.first, change.last) for change in found] == [(1, 2), (2, 1)]
        assert all(change.certainty < 0.5 for change in found)

    def test_equal_methods_share_the_better_rank(self) -> None:
        found = rank_changes([curve("a", 0.3, 0.2, 0.0), curve("b", 0.3, 0.1, 0.0)], 8)
        assert [(change.first, change.last) for change in found] == [(1, 2), (1, 1)]


class TestAgreement:
    def test_it_is_spearman_s_correlation_of_both_orders_and_of_resampled_ones(self) -> None:
        values = np.random.default_rng(0).uniform(0.2, 0.5, (6, 2))
        curves = [curve(f"m{index}", *pair, noise=0.05) for index, pair in enumerate(values.tolist())]
        found = order_agreement(curves, 8)
        assert found.correlation == pytest.approx(spearmanr(*values.T).statistic)
        drawn = np.stack([each.resampled for each in curves])  # (methods, resamples, 2)
        known = [spearmanr(drawn[:, index, 0], drawn[:, index, 1]).statistic for index in range(300)]
        assert found.low <= np.quantile(known, 0.05)
        assert found.high >= np.quantile(known, 0.95)
        few = [each._replace(resampled=each.resampled[:300]) for each in curves]
        assert order_agreement(few, 8)[1:] == pytest.approx(np.quantile(known, [0.025, 0.975]))

    def test_equal_orders_agree_and_opposite_ones_do_not(self) -> None:
        up, down = ([curve(f"m{i}", 0.1 * i, sign * 0.1 * i) for i in range(1, 6)] for sign in (1, -1))
        assert order_agreement(up, 8) == pytest.approx((1, 1, 1))
        assert order_agreement(down, 8) == pytest.approx((-1, -1, -1))

    def test_the_share_between_methods_is_that_of_variances(self, make_tuning_record: Make) -> None:
        gaps = np.random.default_rng(1).uniform(0, 1, (3, 8)) * [[0.1], [0.2], [0.5]]
        records = [make_tuning_record(f"m{i}", row, row) for i, row in enumerate(gaps.tolist())]
        total = ((gaps - gaps.mean()) ** 2).mean()
        assert share_between_methods(records) == pytest.approx(gaps.mean(axis=1).var() / total)
        same = make_tuning_record("same", [0.3] * 4, [0.3] * 4)
        assert np.isnan(share_between_methods([same, same]))
        assert share_between_methods([same, make_tuning_record("other", [0.4] * 4, [0.4] * 4)]) == 1.0
