"""Paired tests over seeds: who is compared, and that the numbers are those that other computations give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from cabench import discovery
from cabench.experiment.record import Record
from cabench.report.comparison import LEVEL, POWER, compare, detectable, holm, paired_p, takes_part
from cabench.report.summary import Row, sections, separation_gap_of

MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]


def rejected_by_steps(p_values: Mapping[str, float], level: float) -> set[str]:
    """What Holm's procedure rejects, as it is told: from the smallest p-value on, until one is too large."""
    rejected: set[str] = set()
    for index, (p, name) in enumerate(sorted((p, name) for name, p in p_values.items())):
        if p > level / (len(p_values) - index):
            break
        rejected.add(name)
    return rejected


def rows_of(records: list[Record]) -> tuple[Row, ...]:
    (section,) = sections(records)
    return section.rows


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


class TestPairedTest:
    @pytest.mark.parametrize("n", [3, 5, 10])
    def test_equals_scipys_test_of_related_samples(self, n: int) -> None:
        first, second = np.random.default_rng(n).normal(size=(2, n))

        assert paired_p(first - second) == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-12)

    def test_no_difference_at_all_is_no_evidence(self) -> None:
        assert paired_p(np.zeros(3)) == 1

    @pytest.mark.parametrize("differences", [[-0.25] * 3, [0.3 - 0.1, 0.4 - 0.2, 0.5 - 0.3]])
    def test_one_and_the_same_difference_leaves_no_doubt(self, differences: list[float]) -> None:
        assert paired_p(np.array(differences)) == 0


class TestDetectable:
    @pytest.mark.parametrize("n", [3, 5, 10])
    def test_is_found_as_often_as_said(self, n: int) -> None:
        trials, spread = 40_000, 0.7
        samples = np.random.default_rng(n).normal(detectable(spread, n), spread, (trials, n))

        found = np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < LEVEL)

        assert found == pytest.approx(POWER, abs=4 * np.sqrt(POWER * (1 - POWER) / trials))

    @pytest.mark.parametrize("n", [5, 10, 50])
    def test_equals_the_noncentral_t_distribution(self, n: int) -> None:
        shift, critical = detectable(1.0, n) * np.sqrt(n), stats.t.ppf(1 - LEVEL / 2, n - 1)
        power = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)

        assert power == pytest.approx(POWER, abs=1e-3)

    def test_grows_with_the_spread_and_shrinks_with_the_number_of_seeds(self) -> None:
        assert detectable(0.2, 5) == pytest.approx(2 * detectable(0.1, 5))
        found = [detectable(1.0, n) for n in (2, 3, 4, 10, 100)]
        assert found == sorted(found, reverse=True)


class TestWhoTakesPart:
    @pytest.mark.parametrize("name", ["chance", "oracle", "random_encoder", "supervised", "sepclr_supervised"])
    def test_not_methods_that_learn_nothing_or_are_told_the_answers(self, make_record: MakeRecord, name: str) -> None:
        (row,) = rows_of([make_record(method__name=name, method__version=discovery.load_method(name).version)])

        assert not row.stale
        assert not takes_part(row)

    @pytest.mark.parametrize("name", ["pca", "someone_elses"])
    def test_methods_that_learn_and_those_of_packages_that_are_not_here(
        self, make_record: MakeRecord, name: str
    ) -> None:
        (row,) = rows_of([make_record(method__name=name)])

        assert takes_part(row)

    def test_not_stale_or_failed_ones(self, make_record: MakeRecord, make_failed: MakeRecord) -> None:
        rows = rows_of([make_record(method__version=-1), make_failed(method__label="broken")])

        assert [takes_part(row) for row in rows] == [False, False]


class TestCompare:
    @pytest.mark.parametrize(("n", "methods"), [(3, 2), (3, 6), (5, 4), (10, 3)])
    def test_equals_scipys_tests_of_all_pairs_read_off_at_the_best(
        self, make_records: MakeRecords, n: int, methods: int
    ) -> None:
        generator = np.random.default_rng(10 * n + methods)
        gaps = {f"m{index}": list(generator.normal(0.3 + 0.1 * index, 0.1, n)) for index in range(methods)}
        best = min(gaps, key=lambda name: np.mean(gaps[name]))
        raw = {f"{a} {b}": stats.ttest_rel(gaps[a], gaps[b]).pvalue for a, b in combinations(gaps, 2)}
        others = {name: next(p for p in raw if set(p.split()) == {name, best}) for name in gaps if name != best}
        spread = np.median(
            [np.std(np.subtract(series, gaps[best]), ddof=1) for name, series in gaps.items() if name != best]
        )

        found = compare(
            rows_of(make_records({name: list(map(float, s)) for name, s in gaps.items()})), separation_gap_of
        )

        assert (found.best.name, found.seeds) == (best, tuple(range(n)))
        assert found.p_values == pytest.approx({name: holm(raw)[pair] for name, pair in others.items()})
        assert found.detectable == pytest.approx(detectable(float(spread), n))
        for level in (0.01, LEVEL, 0.3):
            shown = {name for name, p in found.p_values.items() if p <= level}
            assert shown == {name for name, pair in others.items() if pair in rejected_by_steps(raw, level)}

    def test_not_worse_are_the_best_and_those_above_the_level(self, make_records: MakeRecords) -> None:
        gaps = {"best": [0.1, 0.2, 0.3], "close": [0.12, 0.19, 0.35], "far": [0.6, 0.7, 0.81]}

        found = compare(rows_of(make_records(gaps)), separation_gap_of)

        assert found.not_worse() == ["best", "close"]

    def test_only_seeds_that_all_have_are_compared(self, make_record: MakeRecord, make_records: MakeRecords) -> None:
        shared = {"a": [0.1, 0.2, 0.4], "b": [0.3, 0.5, 0.45]}
        records = [*make_records(shared), *(make_record(seed, gap=0.0, method__label="b") for seed in (3, 4))]

        found, expected = (compare(rows_of(each), separation_gap_of) for each in (records, make_records(shared)))

        assert (found.best.name, found.seeds, found.p_values) == ("a", (0, 1, 2), expected.p_values)

    def test_pairs_are_of_the_same_seed_even_where_seeds_are_missing(self, make_record: MakeRecord) -> None:
        gaps = {"a": {0: 0.1, 1: 0.2, 2: 0.4, 4: 0.3}, "b": {1: 0.25, 2: 0.55, 3: 0.0, 4: 0.42}}
        records = [make_record(k, gap=gap, method__label=name) for name in gaps for k, gap in gaps[name].items()]

        found = compare(rows_of(records), separation_gap_of)

        expected = stats.ttest_rel([0.25, 0.55, 0.42], [0.2, 0.4, 0.3]).pvalue
        assert (found.best.name, found.seeds, found.p_values["b"]) == ("a", (1, 2, 4), pytest.approx(expected))

    @pytest.mark.parametrize("gaps", [{"a": [0.1, 0.2, 0.3]}, {"a": [0.1, 0.2], "b": [0.3, 0.4, 0.5]}, {}])
    def test_nothing_is_said_of_one_method_or_of_two_seeds(
        self, make_records: MakeRecords, gaps: dict[str, list[float]]
    ) -> None:
        records = make_records({**gaps, "control": [0.0, 0.0, 0.0]})
        rows = tuple(row for row in rows_of(records) if row.name != "control")

        assert compare(rows, separation_gap_of) is None

    def test_a_method_of_two_seeds_is_left_out_and_the_others_are_compared(self, make_records: MakeRecords) -> None:
        gaps = {"a": [0.1, 0.2, 0.4], "b": [0.3, 0.5, 0.45]}

        found, expected = (
            compare(rows_of(make_records(each)), separation_gap_of) for each in ({**gaps, "new": [0.0, 0.0]}, gaps)
        )

        assert found == expected

    @pytest.mark.parametrize("methods", [3, 6])
    def test_equal_methods_are_called_worse_in_no_more_tables_than_the_level_says(self, methods: int) -> None:
        generator = np.random.default_rng(methods)
        tables, wrong = 400, 0
        for _ in range(tables):
            values = generator.normal(size=(methods, 5))
            pairs = {pair: paired_p(values[pair[0]] - values[pair[1]]) for pair in combinations(range(methods), 2)}
            best = int(values.mean(axis=1).argmin())
            wrong += any(p < LEVEL for pair, p in holm(pairs).items() if best in pair)

        assert wrong <= stats.binom.ppf(0.999, tables, LEVEL)

    def test_yardsticks_and_stale_rows_change_nothing(self, make_records: MakeRecords) -> None:
        records = make_records({"a": [0.1, 0.2, 0.4], "b": [0.3, 0.5, 0.45]})
        version = discovery.load_method("chance").version
        others = [
            *make_records({"chance": [0.0, 0.01]}, method__name="chance", method__version=version),
            *make_records({"a": [0.0, 0.02]}, method__version=-1),
        ]

        found, expected = (compare(rows_of(each), separation_gap_of) for each in (records + others, records))

        assert not found.best.stale
        assert found == expected

    def test_methods_without_the_quantity_are_left_out(self, make_records: MakeRecords) -> None:
        rows = rows_of(make_records({"a": [0.1, 0.2, 0.4], "b": [0.3, 0.5, 0.45], "c": [0.6, 0.7, 0.7]}))

        found = compare(rows, lambda record: None if record.method["label"] == "a" else record.separation_gap)

        assert (found.best.name, list(found.p_values)) == ("b", ["c"])

    def test_equal_methods_are_not_shown_to_be_worse(self, make_records: MakeRecords) -> None:
        found = compare(rows_of(make_records({name: [0.1, 0.2, 0.4] for name in "ab"})), separation_gap_of)

        assert found.not_worse() == ["a", "b"]

    @pytest.mark.parametrize("gaps", [{"a": [0.1, 0.2, 0.4], "b": [0.3, 0.4, 0.6]}, {"a": [0.1] * 3, "b": [0.7] * 3}])
    def test_differences_that_do_not_vary_say_nothing_of_what_can_be_found(
        self, make_records: MakeRecords, gaps: dict[str, list[float]]
    ) -> None:
        found = compare(rows_of(make_records(gaps)), separation_gap_of)

        assert (found.not_worse(), found.detectable) == (["a"], None)
