"""Comparisons over seeds and ranks over data sets: who takes part, and numbers as other computations give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats

from cabench import discovery
from cabench.experiment.record import Record
from cabench.report.comparison import LEVEL, POWER, Ranking, compare, detectable, paired_p, rankings, takes_part
from cabench.report.multiplicity import holm
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
        (row,) = rows_of([make_record(method__name=name, method__version=discovery.method_class(name).version)])

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
        version = discovery.method_class("chance").version
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


MakeGaps = Callable[[Mapping[str, Mapping[str, float]]], list[Record]]


@pytest.fixture
def on_data_sets(make_record: MakeRecord) -> MakeGaps:
    """Makes records of one seed from separation gaps by data set and method."""

    def make(gaps: Mapping[str, Mapping[str, float]]) -> list[Record]:
        return [
            make_record(gap=gap, dataset__label=dataset, method__label=method)
            for dataset, by_method in gaps.items()
            for method, gap in by_method.items()
        ]

    return make


def only_ranking(records: Sequence[Record]) -> Ranking:
    (ranking,) = rankings(sections(records))
    return ranking


class TestRankings:
    """Ranks over data sets: who is ranked where, and Friedman's test."""

    def test_smallest_gap_has_rank_one_and_best_mean_rank_stands_first(self, on_data_sets: MakeGaps) -> None:
        ranking = only_ranking(on_data_sets({"x": {"a": 0.5, "b": 0.1, "c": 0.3}, "y": {"a": 0.4, "b": 0.3, "c": 0.2}}))

        assert ranking.datasets == ("x", "y")
        assert list(ranking.ranks.items()) == [("b", (1, 2)), ("c", (2, 1)), ("a", (3, 3))]

    @pytest.mark.parametrize("seed", range(5))
    def test_p_value_is_near_the_exact_one_of_all_permutations(self, on_data_sets: MakeGaps, seed: int) -> None:
        table = np.random.default_rng(seed).uniform(0, 1, (3, 4)) + 0.1 * np.arange(4)  # (data sets, methods)
        gaps = {f"d{i}": {f"m{j}": float(gap) for j, gap in enumerate(row)} for i, row in enumerate(table)}

        ranking = only_ranking(on_data_sets(gaps))

        orders = np.array(list(permutations((1, 2, 3, 4))))  # the ranks on the first data set may stay as they are
        sums = orders[0] + orders[:, None] + orders[None]
        apart = ((sums - 7.5) ** 2).sum(axis=2)
        exact = np.mean(apart >= ((stats.rankdata(table, axis=1).sum(axis=0) - 7.5) ** 2).sum() - 1e-9)
        assert ranking.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 9999) + 1e-3)
        means = {name: np.mean(ranks) for name, ranks in ranking.ranks.items()}
        assert means == pytest.approx({f"m{j}": 1 + np.mean(table < table[:, [j]], axis=0).sum() for j in range(4)})
        assert list(means.values()) == sorted(means.values())

    def test_equal_gaps_share_the_mean_of_their_ranks(self, on_data_sets: MakeGaps) -> None:
        table = np.array([[0.2, 0.2, 0.5], [0.1, 0.3, 0.3], [0.1, 0.2, 0.3]])
        gaps = {f"d{i}": dict(zip("abc", map(float, row), strict=True)) for i, row in enumerate(table)}

        ranking = only_ranking(on_data_sets(gaps))

        assert ranking.ranks == {"a": (1.5, 1, 1), "b": (1.5, 2.5, 2), "c": (3, 2.5, 3)}

    def test_equal_gaps_everywhere_are_not_tested(self, on_data_sets: MakeGaps) -> None:
        assert only_ranking(on_data_sets({f"d{i}": dict.fromkeys("abc", 0.2) for i in range(3)})).p_value is None

    def test_three_data_sets_that_agree_on_three_ranks_are_as_sure_as_chance_allows(
        self, on_data_sets: MakeGaps
    ) -> None:
        gaps = {f"d{i}": {"a": 0.1, "b": 0.2, "c": 0.3} for i in range(3)}
        assert only_ranking(on_data_sets(gaps)).p_value == pytest.approx(1 / 36, abs=0.007)

    def test_gaps_are_averaged_over_seeds_before_ranking(self, make_record: MakeRecord) -> None:
        gaps = {"a": (0.0, 0.6), "b": (0.2, 0.2)}
        records = [
            make_record(seed, gap=gap, dataset__label=dataset, method__label=name)
            for dataset in "xy"
            for name, values in gaps.items()
            for seed, gap in enumerate(values)
        ]

        assert only_ranking(records).ranks == {"b": (1, 1), "a": (2, 2)}

    def test_methods_that_one_data_set_lacks_are_left_out(self, on_data_sets: MakeGaps) -> None:
        ranking = only_ranking(on_data_sets({"x": {"a": 0.1, "b": 0.2, "c": 0.3}, "y": {"b": 0.3, "c": 0.2, "d": 0.1}}))

        assert ranking.ranks == {"b": (1, 2), "c": (2, 1)}

    @pytest.mark.parametrize(("datasets", "methods"), [(2, 5), (5, 2)])
    def test_too_few_methods_or_data_sets_are_ranked_but_not_tested(
        self, on_data_sets: MakeGaps, datasets: int, methods: int
    ) -> None:
        gaps = {f"d{i}": {f"m{j}": 0.1 * j for j in range(methods)} for i in range(datasets)}

        ranking = only_ranking(on_data_sets(gaps))

        assert ranking.p_value is None
        assert ranking.ranks == {f"m{j}": (j + 1,) * datasets for j in range(methods)}

    @pytest.mark.parametrize(
        "gaps", [{"x": {"a": 0.1, "b": 0.2}}, {"x": {"a": 0.1, "b": 0.2}, "y": {"b": 0.1, "c": 0.2}}]
    )
    def test_one_data_set_or_one_common_method_makes_no_ranking(
        self, on_data_sets: MakeGaps, gaps: dict[str, dict[str, float]]
    ) -> None:
        assert rankings(sections(on_data_sets(gaps))) == []

    def test_yardsticks_have_no_rank(self, on_data_sets: MakeGaps, make_record: MakeRecord) -> None:
        version = discovery.method_class("chance").version
        controls = [
            make_record(
                gap=0.0, dataset__label=name, method__name="chance", method__label="chance", method__version=version
            )
            for name in "xy"
        ]
        records = on_data_sets({name: {"a": 0.1, "b": 0.2} for name in "xy"})

        assert only_ranking(records + controls) == only_ranking(records)

    @pytest.mark.parametrize("change", [{"profile": "paper"}, {"precision": "bf16"}], ids=["profile", "precision"])
    def test_profiles_and_precisions_are_ranked_apart(
        self, on_data_sets: MakeGaps, make_record: MakeRecord, change: dict[str, str]
    ) -> None:
        records = on_data_sets({"x": {"a": 0.1, "b": 0.2}, "y": {"a": 0.1, "b": 0.2}})
        others = [
            make_record(gap=gap, dataset__label=dataset, method__label=name, **change)
            for dataset in "xy"
            for name, gap in {"a": 0.9, "b": 0.2}.items()
        ]

        found = rankings(sections(records + others))

        assert sorted(list(ranking.ranks) for ranking in found) == [["a", "b"], ["b", "a"]]

    def test_a_data_set_of_which_all_records_are_stale_does_not_stop_the_ranking(
        self, on_data_sets: MakeGaps, make_record: MakeRecord
    ) -> None:
        records = on_data_sets({"x": {"a": 0.1, "b": 0.2}, "y": {"a": 0.1, "b": 0.2}})
        stale = [make_record(dataset__label="x", dataset__content_sha256="0" * 64, dataset__builder_version=-1)]

        assert only_ranking(records + stale) == only_ranking(records)
