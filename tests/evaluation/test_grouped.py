"""Sums over groups: their variance and degrees of freedom, against theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cabench.evaluation.grouped import Sampled, all_sampled, effective, sampled, strata_of


class TestSampled:
    def test_of_equal_groups_is_the_variance_of_a_mean(self) -> None:
        means = np.random.default_rng(0).normal(size=8)
        found = sampled((means - means.mean()) / 8, np.full(8, 5), np.zeros(8, dtype=int))

        assert found.variance == pytest.approx(stats.sem(means) ** 2)
        assert found.degrees == pytest.approx(7)

    def test_strata_add_up(self) -> None:
        values, rows = np.random.default_rng(0).normal(size=9), np.arange(1, 10)
        parts = [sampled(values[part], rows[part], np.zeros(9, dtype=int)[part]) for part in (slice(4), slice(4, 9))]
        found = sampled(values, rows, np.array([7] * 4 + [2] * 5))

        assert found.variance == pytest.approx(parts[0].variance + parts[1].variance)
        assert found.degrees == pytest.approx(parts[0].degrees + parts[1].degrees)

    def test_groups_without_rows_take_no_part(self) -> None:
        values, rows = np.array([0.1, 5.0, -0.2, 0.1]), np.array([3, 0, 4, 5])
        keep = rows > 0
        strata = np.array([0, 9, 0, 0])

        assert sampled(values, rows, strata) == sampled(values[keep], rows[keep], strata[keep])

    def test_unequal_groups_are_enlarged_and_know_less(self) -> None:
        found = sampled(np.array([0.3, -0.1, -0.2]), np.array([8, 1, 1]), np.zeros(3, dtype=int))

        assert found.variance == pytest.approx(0.09 / 0.2 + 0.01 / 0.9 + 0.04 / 0.9)
        assert found.degrees == pytest.approx(100 / 66 - 1)

    def test_a_stratum_of_one_group_leaves_no_degree_of_freedom(self) -> None:
        values = np.array([0.1, -0.1, 0.2, -0.2, 0.0])

        assert sampled(values, np.ones(5, dtype=int), np.array([0, 0, 0, 0, 1])).degrees == 0

    def test_what_a_stratum_adds_on_the_whole_does_not_vary(self) -> None:
        values, strata = np.random.default_rng(1).normal(size=12), np.repeat([0, 1], 6)
        rows = np.array([1, 2, 3, 1, 2, 3] * 2)

        moved = sampled(values + 7 * rows * (strata - 0.5), rows, strata)

        assert moved.variance == pytest.approx(sampled(values, rows, strata).variance)

    def test_nothing_at_all(self) -> None:
        assert sampled(np.zeros(0), np.zeros(0, dtype=int), np.zeros(0, dtype=int)) == Sampled(0.0, 0.0)


def test_effective_number_of_groups() -> None:
    assert effective(np.array([4, 4, 4, 0])) == pytest.approx(3)
    assert effective(np.array([98, 1, 1])) == pytest.approx(1.0410, abs=1e-4)
    assert effective(np.zeros(2)) == 0


def test_strata_are_kinds_where_no_group_mixes_them() -> None:
    groups = np.array([0, 0, 1, 1, 2])

    assert strata_of(groups, np.array([5, 5, 3, 3, 5])).tolist() == [1, 1, 0, 0, 1]
    assert strata_of(groups, np.array([5, 3, 3, 3, 5])).tolist() == [0, 0, 0, 0, 0]


def test_scores_that_are_looked_at_together_have_the_variances_that_they_have_alone_to_the_last_bit():
    generator = np.random.default_rng(0)
    for _ in range(50):
        groups = int(generator.integers(2, 300))
        contributions = generator.normal(size=(7, groups))
        rows, strata = generator.integers(1, 4, groups), generator.integers(0, 3, groups)
        variances, degrees = all_sampled(contributions, rows, strata)
        assert [(variance, degrees) for variance in variances] == [
            tuple(sampled(each, rows, strata)) for each in contributions
        ]
    nothing, _ = all_sampled(np.zeros((0, 5)), np.ones(5, int), np.zeros(5, int))
    assert nothing.shape == (0,)
