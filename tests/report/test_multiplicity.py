"""Corrections for many comparisons, against their procedures as they are told and against enumeration."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, permutations, product
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from cabench.report.multiplicity import LEVEL, holm, may_be_best, shaffer, true_together

Pair = frozenset[str]


def rejected_by_steps(p_values: Mapping[str, float], level: float) -> set[str]:
    """What Holm's procedure rejects, as it is told: from the smallest p-value on, until one is too large."""
    rejected: set[str] = set()
    for index, (p, name) in enumerate(sorted((p, name) for name, p in p_values.items())):
        if p > level / (len(p_values) - index):
            break
        rejected.add(name)
    return rejected


def pairs_of(values: list[str]) -> list[Pair]:
    return [frozenset(pair) for pair in combinations(values, 2)]


def equal_pairs(means: Mapping[str, int]) -> int:
    return sum(means[one] == means[other] for one, other in combinations(means, 2))


class TestHolm:
    def test_textbook_example(self) -> None:
        corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})

        assert corrected == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})

    @pytest.mark.parametrize("seed", range(20))
    def test_rejects_what_the_step_down_procedure_rejects_at_every_level(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        p_values = {str(index): float(p) for index, p in enumerate(generator.beta(0.4, 2, 1 + seed))}
        corrected = holm(p_values)

        for level in generator.uniform(0, 1, 50):
            assert {name for name, p in corrected.items() if p <= level} == rejected_by_steps(p_values, level)

    @pytest.mark.parametrize("seed", range(5))
    def test_keeps_the_order_and_lies_between_the_p_value_and_one(self, seed: int) -> None:
        raw = np.random.default_rng(seed).uniform(0, 1, 12)
        corrected = np.array(list(holm({str(index): p for index, p in enumerate(raw)}).values()))

        assert (np.diff(corrected[np.argsort(raw)]) >= 0).all()
        assert (corrected >= raw).all()
        assert corrected.max() <= 1

    def test_one_p_value_needs_no_correction(self) -> None:
        assert holm({"a": 0.3}) == {"a": 0.3}


class TestTrueTogether:
    @pytest.mark.parametrize("methods", range(1, 6))
    def test_is_what_enumeration_of_all_means_finds(self, methods: int) -> None:
        names = [str(index) for index in range(methods)]
        all_means = (dict(zip(names, means, strict=True)) for means in product(range(methods), repeat=methods))

        assert true_together(methods) == {equal_pairs(means) for means in all_means}

    def test_ten_methods(self) -> None:
        assert sorted(true_together(10), reverse=True)[:4] == [45, 36, 29, 28]


class TestShaffer:
    def test_multiplies_three_pairs_by_three_one_and_one(self) -> None:
        ab, ac, bc = pairs_of(["a", "b", "c"])

        assert shaffer({ab: 0.04, ac: 0.01, bc: 0.02}) == pytest.approx({ab: 0.04, ac: 0.03, bc: 0.03})

    def test_multiplies_the_pairs_of_ten_methods_by_45_and_then_by_36(self) -> None:
        p_values = dict(zip(pairs_of(list("abcdefghij")), np.geomspace(1e-90, 1e-3, 45).tolist(), strict=True))
        factors = [corrected / p_values[pair] for pair, corrected in shaffer(p_values).items()]

        assert factors[:10] == pytest.approx([45, *[36] * 9])
        assert factors[10] == pytest.approx(29)
        assert factors[-1] == pytest.approx(1)

    @pytest.mark.parametrize("seed", range(20))
    def test_lies_between_the_p_value_and_holms_in_the_same_order(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        p_values = {pair: float(generator.beta(0.4, 3)) for pair in pairs_of(list("abcdef"[: 2 + seed % 5]))}
        corrected, by_holm = shaffer(p_values), holm(p_values)
        order = sorted(p_values, key=lambda pair: p_values[pair])

        assert all(p_values[pair] <= corrected[pair] <= by_holm[pair] for pair in p_values)
        assert (np.diff([corrected[pair] for pair in order]) >= 0).all()
        assert list(corrected) == list(p_values)

    def test_pairs_that_are_missing_are_not_counted(self) -> None:
        ab, ac, ad, *_ = pairs_of(["a", "b", "c", "d"])

        # Of four methods 6, 3, 2, 1 or 0 pairs can be equal; of these three at most 3, then 2, then 1.
        assert shaffer({ab: 0.01, ac: 0.02, ad: 0.03}) == pytest.approx({ab: 0.03, ac: 0.04, ad: 0.04})
        assert shaffer({ab: 0.02}) == {ab: 0.02}
        assert shaffer({}) == {}

    def test_rejects_what_is_no_pair(self) -> None:
        with pytest.raises(ValueError, match="pairs of methods"):
            shaffer({frozenset({"a"}): 0.1})

    def test_holds_its_level_where_some_are_equal_and_others_are_far_away(self) -> None:
        # Two classes of three equal methods: nine differences are certain to be found, six hypotheses are true.
        generator = np.random.default_rng(0)
        names = list("abcdef")
        wrong = 0
        for _ in range(1000):
            means = dict(zip(names, generator.normal([0, 0, 0, 50, 50, 50]), strict=True))
            p_values = {
                pair: float(2 * stats.norm.sf(abs(np.subtract(*(means[name] for name in pair))) / np.sqrt(2)))
                for pair in pairs_of(names)
            }
            called = {pair for pair, p in shaffer(p_values).items() if p < LEVEL}
            assert len(called) >= 9
            wrong += len(called) > 9

        assert 0.03 < wrong / 1000 < LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / 1000)


class TestMayBeBest:
    def test_leaves_out_what_another_beats_at_the_level_divided_by_the_others(self) -> None:
        better_p = dict.fromkeys(permutations("abc", 2), 0.5) | {("a", "b"): 0.024, ("a", "c"): 0.026}

        assert may_be_best(["a", "b", "c"], better_p) == ["a", "c"]

    def test_what_cannot_be_tested_stays_in(self) -> None:
        assert may_be_best(["b", "a", "new"], {("a", "b"): 1e-9, ("b", "a"): 1 - 1e-9}) == ["a", "new"]

    def test_one_method_may_be_the_best(self) -> None:
        assert may_be_best(["a"], {}) == ["a"]


class TestTenMethods:
    """Short forms of `tests/simulate_comparisons.py`, two of the ten methods being deterministic."""

    @pytest.mark.parametrize(
        "setting",
        ["3 seeds, 4 groups, spread 3", "3 seeds, 20 groups, spread 3", "5 seeds, 20 groups, spread 3"],
    )
    def test_call_any_pair_of_equal_ones_in_no_more_than_5_of_100_tables(
        self, simulation: ModuleType, setting: str
    ) -> None:
        tables = 200
        design, *_ = simulation.MANY[setting]
        found = simulation.rates_of_many(design, 0, tables)

        for rate in (found.any_holm, found.any_shaffer, found.any_reference, found.best_lost):
            assert rate <= simulation.highest(tables)

    @pytest.mark.parametrize("setting", ["3 seeds, 60 groups, spread 1", "5 seeds, 60 groups, spread 3"])
    def test_find_as_much_as_is_known(self, simulation: ModuleType, setting: str) -> None:
        design, apart, _, power = simulation.MANY[setting]
        found = simulation.rates_of_many(design, apart, 60)

        # Nine differences from one best method hang together: they say about as much as three.
        assert found.found_holm >= power - 3 - 2 * simulation.error(power, 3 * 60)
        assert found.found_holm <= found.found_shaffer < found.found_reference
        assert found.best_lost == 0
