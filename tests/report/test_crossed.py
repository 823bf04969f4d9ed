"""Differences over seeds and test groups, against scipy's tests where they are one of them, and by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from cabench.report import crossed
from cabench.report.crossed import Sample, difference, interval


def groups_of(n: int, strata: Sequence[int] | None = None) -> crossed.TestGroups:
    return crossed.TestGroups(np.ones(n, dtype=int), np.zeros(n, dtype=int) if strata is None else np.array(strata))


def mean_of(effects: np.ndarray, over_seeds: Sequence[float] | np.ndarray | None = None) -> Sample:
    """A mean over groups (groups,) that no seed changes, or that seeds shift."""
    shifts = np.zeros(3) if over_seeds is None else np.array(over_seeds)
    return Sample(effects.mean() + shifts, (effects - effects.mean()) / len(effects), over_seeds is None)


class TestTheThreeTests:
    @pytest.mark.parametrize("seed", range(5))
    def test_of_deterministic_methods_are_a_paired_t_test_over_groups(self, seed: int) -> None:
        a, b = np.random.default_rng(seed).normal(size=(2, 12))
        found = difference(mean_of(a), mean_of(b), groups_of(12))
        usual = stats.ttest_rel(a, b)

        assert found.p_value == pytest.approx(usual.pvalue, rel=1e-9)
        assert found.degrees == pytest.approx(11)
        assert found.group_share == 1
        assert found.half_width is not None
        low, high = usual.confidence_interval(0.95)
        assert [found.difference - found.half_width, found.difference + found.half_width] == pytest.approx([low, high])

    @pytest.mark.parametrize("seed", range(5))
    def test_where_seeds_spread_most_are_welchs_test_over_seeds(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        a, b = generator.normal(scale=1e-4, size=(2, 50))
        first, second = generator.normal(size=3), generator.normal(size=5)
        found = difference(mean_of(a, first), mean_of(b, second), groups_of(50))
        usual = stats.ttest_ind(first + a.mean(), second + b.mean(), equal_var=False)

        assert found.p_value == pytest.approx(usual.pvalue, rel=1e-4)
        assert found.degrees == pytest.approx(usual.df, rel=1e-4)
        assert found.group_share == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("seed", range(20))
    def test_give_the_largest_p_value(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        a, b = generator.normal(size=(2, 15))
        seeds = generator.normal(size=(2, 4)) * 0.3
        found = difference(mean_of(a, seeds[0]), mean_of(b, seeds[1]), groups_of(15))
        of_groups, of_seeds = stats.sem(a - b) ** 2, np.sum(seeds.var(axis=1, ddof=1) / 4)
        variance = of_groups + of_seeds
        each = (seeds.var(axis=1, ddof=1) / 4) ** 2 / 3
        degrees = variance**2 / (of_groups**2 / 14 + each.sum())
        t = abs(found.difference)
        p_values = [
            2 * stats.t.sf(t / np.sqrt(variance), degrees),
            2 * stats.t.sf(t / np.sqrt(of_groups), 14),
            2 * stats.t.sf(t / np.sqrt(of_seeds), of_seeds**2 / each.sum()),
        ]

        assert found.p_value == pytest.approx(max(p_values), rel=1e-9)
        assert found.variance == pytest.approx(variance)
        assert found.group_share == pytest.approx(of_groups / variance)
        assert found.detectable == pytest.approx(
            (stats.t.ppf(0.975, degrees) + stats.t.ppf(0.8, degrees)) * np.sqrt(variance)
        )

    def test_draw_strata_apart(self) -> None:
        # A sum of two classes' means: its variance is the sum of theirs, its degrees of freedom those of both.
        low, high = np.random.default_rng(0).normal(size=(2, 6)), np.random.default_rng(1).normal(size=(2, 8))
        samples = []
        for one, other in zip(low, high, strict=True):
            parts = [(one - one.mean()) / 6, (other - other.mean()) / 8]
            samples.append(Sample(np.full(3, one.mean() + other.mean()), np.concatenate(parts), True))
        found = difference(samples[0], samples[1], groups_of(14, [0] * 6 + [1] * 8))

        assert found.variance == pytest.approx(stats.sem(low[0] - low[1]) ** 2 + stats.sem(high[0] - high[1]) ** 2)
        assert found.degrees == pytest.approx(5 + 7)

    def test_are_the_same_from_the_other_side(self) -> None:
        generator = np.random.default_rng(0)
        a, b = (mean_of(generator.normal(size=9), generator.normal(size=3)) for _ in range(2))
        one, other = difference(a, b, groups_of(9)), difference(b, a, groups_of(9))

        assert other == one._replace(difference=-one.difference)
        assert one.better_p is not None
        assert other.better_p == pytest.approx(1 - one.better_p)

    def test_say_on_which_side_the_smaller_mean_is(self) -> None:
        effects = np.random.default_rng(0).normal(size=9)
        found = difference(mean_of(effects - 5 + 0.1 * effects**2), mean_of(effects), groups_of(9))

        assert found.p_value is not None
        assert found.better_p == found.p_value / 2 < 0.001

    def test_seeds_of_a_deterministic_method_are_copies(self) -> None:
        generator = np.random.default_rng(0)
        a, b = generator.normal(size=(2, 9))
        learned = mean_of(b, generator.normal(size=3))
        one, five = (Sample(np.full(n, a.mean()), (a - a.mean()) / 9, True) for n in (1, 5))

        assert difference(one, learned, groups_of(9)) == pytest.approx(difference(five, learned, groups_of(9)))


class TestWhatCannotBeTested:
    def test_equal_deterministic_methods_do_not_differ(self) -> None:
        sample = mean_of(np.random.default_rng(0).normal(size=9))

        assert difference(sample, sample, groups_of(9)) == crossed.Difference(0.0, 1.0)

    def test_no_difference_of_different_methods_has_an_interval(self) -> None:
        effects = np.random.default_rng(0).normal(size=9)
        found = difference(mean_of(effects), mean_of(effects[::-1]), groups_of(9))

        assert found.p_value == 1
        assert found.half_width is not None

    def test_one_seed_of_a_method_that_learns(self) -> None:
        a, b = np.random.default_rng(0).normal(size=(2, 9))
        found = difference(mean_of(a, [0.1]), mean_of(b), groups_of(9))

        assert found == crossed.Difference(a.mean() + 0.1 - b.mean(), None, crossed.ONE_SEED)
        assert found.better_p is None
        assert interval(mean_of(a, [0.1]), groups_of(9)) is None

    @pytest.mark.parametrize(
        "groups",
        [
            groups_of(2),
            groups_of(4, [0, 0, 1, 2]),
            crossed.TestGroups(np.array([1, 1, 1, 0, 0, 98]), np.zeros(6, dtype=int)),
            crossed.TestGroups(np.array([5, 5, 0, 0]), np.zeros(4, dtype=int)),
        ],
    )
    def test_too_few_groups(self, groups: crossed.TestGroups) -> None:
        a, b = np.random.default_rng(0).normal(size=(2, len(groups.rows)))

        assert difference(mean_of(a), mean_of(b), groups).reason == crossed.FEW_GROUPS
        assert interval(mean_of(a), groups) is None

    def test_one_group_of_a_population_tells_nothing_of_another(self) -> None:
        a, b = np.random.default_rng(0).normal(size=(2, 21))

        assert difference(mean_of(a), mean_of(b), groups_of(21, [0] * 20 + [1])).reason == crossed.FEW_GROUPS

    def test_values_that_no_group_changes(self) -> None:
        perfect, worst = (Sample(np.full(3, value), np.zeros(9), True) for value in (0.0, 1.0))

        assert difference(perfect, worst, groups_of(9)) == crossed.Difference(-1.0, None, crossed.NO_SPREAD)
        assert interval(perfect, groups_of(9)) is None

    def test_methods_scored_on_different_groups_are_refused(self) -> None:
        with pytest.raises(ValueError, match="shape"):
            difference(mean_of(np.arange(9.0)), mean_of(np.arange(8.0)), groups_of(9))


class TestInterval:
    def test_of_a_deterministic_method_is_that_of_a_mean_over_groups(self) -> None:
        effects = np.random.default_rng(0).normal(size=9)
        found = interval(mean_of(effects), groups_of(9))
        low, high = stats.t.interval(0.95, 8, effects.mean(), stats.sem(effects))

        assert found is not None
        assert [found.mean - found.half_width, found.mean + found.half_width] == pytest.approx([low, high])

    def test_holds_the_true_mean_in_95_of_100_tables(self, simulation: ModuleType) -> None:
        generator = np.random.default_rng(0)
        design = simulation.Design(3, (3,) * 20, (3.0,))
        missed = 0
        for _ in range(1000):
            found = interval(design.draw((0.0,), generator)[0], design.groups)
            assert found is not None
            missed += abs(found.mean) > found.half_width

        assert 100 * missed / 1000 <= simulation.highest(1000)


class TestLevels:
    """Short forms of `tests/simulate_comparisons.py`."""

    TABLES = 1000

    @pytest.mark.parametrize(
        ("setting", "known"),
        [
            ("3 seeds, 4 groups, spread 3", None),
            ("3 seeds, 20 groups, both deterministic", 82),
            ("3 seeds, 1000 groups, spread 3", 47),
            ("5 seeds, 20 groups, spread 3", 77),
            ("3 seeds, 20 very unequal groups, spread 1", None),
            ("3 seeds, 20 very unequal groups, both deterministic", None),
        ],
    )
    def test_two_equal_methods_are_called_different_in_no_more_than_5_of_100_tables(
        self, simulation: ModuleType, setting: str, known: float | None
    ) -> None:
        others = {
            "3 seeds, 4 groups, spread 3": simulation.Design(3, simulation.equal(4), (3.0, 3.0)),
            "3 seeds, 20 very unequal groups, spread 1": simulation.Design(3, simulation.VERY_UNEQUAL, (1.0, 1.0)),
            "3 seeds, 20 very unequal groups, both deterministic": simulation.Design(
                3, simulation.VERY_UNEQUAL, (None, None)
            ),
        }
        design = others[setting] if setting in others else simulation.TWO[setting][0]
        rates = simulation.rates_of_two(design, 0, self.TABLES)

        assert rates.largest_of_three <= rates.total
        assert rates.largest_of_three <= simulation.highest(self.TABLES)
        if known is not None:
            shifted = simulation.rates_of_two(design, 3 * design.standard_error(), self.TABLES)
            assert shifted.largest_of_three >= known - 3 - 2 * simulation.error(known, self.TABLES)

    @pytest.mark.parametrize(
        "setting",
        ["60 rows of 20, one deterministic", "136 rows of 20, unequal, both deterministic"],
    )
    def test_hold_where_contributions_are_first_order_and_values_are_clipped(
        self, simulation: ModuleType, setting: str
    ) -> None:
        design, *_ = simulation.FROM_ROWS[setting]
        rates = simulation.rates_from_rows(design, simulation.WANTED, self.TABLES)

        assert rates.largest_of_three <= simulation.highest(self.TABLES)
        assert rates.over_seeds > 20
