"""Ranks over data sets: who is ranked where, and Friedman's test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from cabench import discovery
from cabench.experiment.record import Record
from cabench.report.ranking import Ranking, gaps_in, rankings
from cabench.report.summary import sections

MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]
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
    (ranking,) = rankings(map(gaps_in, sections(records)))
    return ranking


class TestRankings:
    """Ranks over data sets: who is ranked where, and Friedman's test."""

    def test_smallest_gap_has_rank_one_and_best_mean_rank_stands_first(self, on_data_sets: MakeGaps) -> None:
        ranking = only_ranking(on_data_sets({"x": {"a": 0.5, "b": 0.1, "c": 0.3}, "y": {"a": 0.4, "b": 0.3, "c": 0.2}}))

        assert ranking.datasets == ("x", "y")
        assert list(ranking.ranks.items()) == [("b", (1, 2)), ("c", (2, 1)), ("a", (3, 3))]

    @pytest.mark.parametrize("seed", range(5))
    def test_p_value_is_near_the_exact_one_of_all_permutations(self, on_data_sets: MakeGaps, seed: int) -> None:
        table = np.random.default_rng(seed).uniform(0, 0.6, (3, 4)) + 0.1 * np.arange(4)  # (data sets, methods)
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
        assert rankings(map(gaps_in, sections(on_data_sets(gaps)))) == []

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

        found = rankings(map(gaps_in, sections(records + others)))

        assert sorted(list(ranking.ranks) for ranking in found) == [["a", "b"], ["b", "a"]]

    def test_a_data_set_of_which_all_records_are_stale_does_not_stop_the_ranking(
        self, on_data_sets: MakeGaps, make_record: MakeRecord
    ) -> None:
        records = on_data_sets({"x": {"a": 0.1, "b": 0.2}, "y": {"a": 0.1, "b": 0.2}})
        stale = [make_record(dataset__label="x", dataset__content_sha256="0" * 64, dataset__builder_version=-1)]

        assert only_ranking(records + stale) == only_ranking(records)
