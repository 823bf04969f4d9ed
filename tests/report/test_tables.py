"""What tables hold before any format writes them: titles, numbers, marks and yardsticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from cabench import discovery
from cabench.evaluation.score import Score
from cabench.experiment.record import Record
from cabench.report.summary import Column, Section, sections
from cabench.report.tables import (
    NO_SCORE,
    Entry,
    Header,
    Mark,
    Table,
    comparison_of,
    further_tables,
    overview,
    probe_tables,
)

MakeScore = Callable[..., Score]
MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]


def only_section(records: Sequence[Record]) -> Section:
    (section,) = sections(records)
    return section


def salient_table(records: Sequence[Record]) -> Table:
    return next(table for table in probe_tables(only_section(records)) if table.title.startswith("Salient"))


def column(table: Table, header: Header) -> dict[str, Entry]:
    """A column's cells by the names of current rows."""
    index = table.headers.index(header)
    return {line.name: line.entries[index] for line in table.lines if not line.stale}


def marks(table: Table, header: Header) -> dict[str, Mark]:
    return {name: cell.mark for name, cell in column(table, header).items()}


WANTED, LEAK = Header("digit", "salient", "↑"), Header("digit", "common", "↓")
GAP = Header("", "separation gap", "↓")


class TestNumbers:
    def test_cell_holds_mean_interval_and_each_seed_in_percent(self, make_record: MakeRecord) -> None:
        values = [0.8, 0.9, 0.95]

        cell = column(salient_table([make_record(seed, value) for seed, value in enumerate(values)]), WANTED)["pca"]

        low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        assert (cell.text, cell.interval) == ("88.3", f"{50 * (high - low):.1f}")
        assert cell.values == pytest.approx((80, 90, 95))

    def test_one_seed_has_no_interval(self, make_record: MakeRecord) -> None:
        assert column(salient_table([make_record(value=0.8)]), WANTED)["pca"] == Entry("80.0", values=(80.0,))

    def test_r2_below_zero_is_cut_in_the_mean_but_not_in_the_seeds(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        table = salient_table([make_record(scores=(make_score(value=-0.4, metric="r2"),))])

        assert column(table, WANTED)["pca"] == Entry("0.0", values=(-40.0,))

    def test_wanted_and_leaked_are_parts_of_the_way_from_chance(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        scores = (
            make_score("salient", 0.55),
            make_score("common", 0.28),
            make_score("salient", 0.75, "auc", attribute="is_target", population="all"),
            make_score("common", 0.45, "auc", attribute="is_target", population="all"),
        )

        table = overview(only_section([make_record(scores=scores)]))

        assert column(table, Header("", "wanted", "↑"))["pca"].text == "50.0"
        assert column(table, Header("", "leaked", "↓"))["pca"].text == "10.0"

    def test_yardsticks_are_chance_and_ideal_of_every_column(self, make_record: MakeRecord) -> None:
        table = salient_table([make_record()])

        assert table.headers == (WANTED, LEAK)
        assert table.yardsticks == {"chance": ("10.0", "10.0"), "ideal": ("100.0", "10.0")}

    def test_a_probe_that_a_method_lacks_has_no_score(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        records = [make_record(gap=0.1), make_record(gap=0.2, method__label="b", scores=(make_score("common"),))]

        assert column(salient_table(records), WANTED)["b"] == Entry(NO_SCORE)

    def test_a_probe_that_only_later_seeds_have_is_shown(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        table = salient_table([make_record(0, scores=(make_score("common"),)), make_record(1, value=0.8)])

        assert column(table, WANTED)["pca"] == Entry("80.0", values=(80.0,))


class TestHeaders:
    def test_wanted_space_stands_before_the_one_that_may_leak(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        scores = tuple(
            make_score(space, attribute=name) for name in ("shape", "size") for space in ("common", "salient")
        )

        found = salient_table([make_record(scores=scores)]).headers

        assert [(header.group, header.label) for header in found] == [
            (name, space) for name in ("shape", "size") for space in ("salient", "common")
        ]

    @pytest.mark.parametrize(
        ("score", "header"),
        [
            (
                {"metric": "norm_ratio", "attribute": "is_target"},
                ("norm of background relative to target", "salient", "↓"),
            ),
            ({"metric": "silhouette", "attribute": "is_target", "space": "common"}, ("silhouette", "common", "↓")),
            ({"metric": "hsic", "attribute": "other_space", "space": "common"}, ("HSIC of the two spaces", "", "↓")),
            (
                {"metric": "space_r2", "attribute": "other_space", "space": "common"},
                ("R² across spaces", "salient from common", "↓"),
            ),
            ({"metric": "kmeans_ari"}, ("clusters and digit", "ARI", "↑")),
            ({"metric": "kmeans_nmi"}, ("clusters and digit", "NMI", "↑")),
            ({"metric": "mig", "attribute": "position_x"}, ("MIG", "position x", "↑")),
            ({"metric": "dci_completeness", "attribute": "salient_attributes"}, ("DCI", "completeness", "↑")),
            ({"metric": "knn_balanced_accuracy", "space": "common"}, ("digit", "common", "↓")),
            (
                {"metric": "knn_r2", "attribute": "hair", "attribute_space": "common", "population": "background"},
                ("hair (background images)", "salient", "↓"),
            ),
        ],
        ids=lambda value: value["metric"] if isinstance(value, dict) else "",
    )
    def test_other_metrics_are_named_and_point_the_right_way(
        self, make_score: MakeScore, make_record: MakeRecord, score: dict[str, str], header: tuple[str, str, str]
    ) -> None:
        (table,) = further_tables(only_section([make_record(scores=(make_score(value=0.25, **score),))]))

        assert table.headers[0] == Header(*header)
        in_percent = score["metric"].startswith("knn")
        assert table.lines[0].entries[:1] == (
            Entry("25.0" if in_percent else "0.250", values=(25.0 if in_percent else 0.25,)),
        )

    def test_no_headers_of_a_table_are_alike(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        scores = tuple(
            make_score(space, 0.5, metric, attribute="hair", attribute_space="common", population=population)
            for metric in ("balanced_accuracy", "knn_balanced_accuracy")
            for space in ("common", "salient")
            for population in ("target", "background")
        )
        section = only_section([make_record(scores=scores)])

        tables = [*probe_tables(section), *further_tables(section)]

        assert [len(set(table.headers)) for table in tables] == [2, 2, 4]


class TestMarks:
    def test_where_chance_depends_on_the_representation_there_is_no_yardstick_and_no_mark(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        place = {"attribute": "other_space", "metric": "hsic"}
        records = [
            make_record(
                seed,
                method__label=name,
                scores=(make_score("common", value + 0.01 * seed, chance=chance, ideal=chance, **place),),
            )
            for name, value, chance in (("small", 0.1, 0.02), ("large", 0.5, 0.3))
            for seed in range(3)
        ]
        (table,) = further_tables(only_section(records))

        assert table.yardsticks == {"chance": (NO_SCORE, NO_SCORE), "ideal": (NO_SCORE, NO_SCORE)}
        assert set(marks(table, table.headers[0]).values()) == {Mark.NONE}

    def test_of_the_dependence_tests_the_least_sure_seed_is_told(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        records = [
            make_record(
                seed, scores=(make_score("common", 0.2, attribute="other_space", metric="hsic", p_value=p_value),)
            )
            for seed, p_value in enumerate((0.005, 0.04, 0.01))
        ]
        (table,) = further_tables(only_section(records))

        assert column(table, Header("HSIC of the two spaces", "largest p", ""))["pca"].text == "0.040"

    @pytest.mark.parametrize("seed", range(5))
    def test_are_what_paired_tests_of_the_distance_from_the_ideal_say(
        self, make_score: MakeScore, make_record: MakeRecord, seed: int
    ) -> None:
        generator = np.random.default_rng(seed)
        names, seeds = ["a", "b", "c", "d"], range(4)
        values = generator.normal(0.6, 0.01, (2, 4, 4)) + generator.uniform(0, 0.15, (2, 4, 1))
        records = [
            make_record(
                k,
                method__label=name,
                scores=(make_score("salient", values[0, index, k]), make_score("common", values[1, index, k])),
            )
            for index, name in enumerate(names)
            for k in seeds
        ]
        table = salient_table(records)

        for header, distances in ((WANTED, 1 - values[0]), (LEAK, values[1] - 0.1)):
            best = distances.mean(axis=1).argmin()
            raw = {p: stats.ttest_rel(distances[p[0]], distances[p[1]]).pvalue for p in combinations(range(4), 2)}
            expected = {names[i]: Mark.CLOSE for i in range(4)} | {names[best]: Mark.BEST}
            for rank, pair in enumerate(sorted(raw, key=lambda pair: raw[pair])):
                if raw[pair] >= 0.05 / (6 - rank):
                    break
                if best in pair:
                    expected[names[sum(pair) - best]] = Mark.NONE
            assert marks(table, header) == expected

    @pytest.mark.parametrize("seeds", [1, 2])
    def test_there_are_none_below_three_seeds(self, make_record: MakeRecord, seeds: int) -> None:
        records = [
            make_record(k, value=0.5 + 0.2 * i, gap=0.1, method__label=f"m{i}") for i in (0, 1) for k in range(seeds)
        ]
        section = only_section(records)

        for table in (overview(section), *probe_tables(section)):
            assert {cell.mark for line in table.lines for cell in line.entries} == {Mark.NONE}

    def test_stale_rows_and_yardsticks_have_none(self, make_records: MakeRecords) -> None:
        version = discovery.method_class("chance").version
        records = [
            *make_records({"a": [0.2, 0.3, 0.4], "b": [0.6, 0.7, 0.8]}),
            *make_records({"a": [0.0, 0.1, 0.2]}, method__version=-1),
            *make_records({"chance": [0.0, 0.1, 0.2]}, method__name="chance", method__version=version),
        ]

        table = salient_table(records)

        assert marks(table, WANTED) == {"a": Mark.BEST, "b": Mark.NONE, "chance": Mark.NONE}
        assert [line.entries[0].mark for line in table.lines if line.stale] == [Mark.NONE]

    def test_overview_marks_gap_wanted_and_leaked_but_no_cost(self, make_record: MakeRecord) -> None:
        gaps = {"a": ([0.1, 0.2, 0.3], 0.3), "b": ([0.6, 0.7, 0.81], 0.2)}
        records = [
            make_record(k, value=1 - gap, gap=gap, leak=leak + 0.01 * k**2 * leak, method__label=name)
            for name, (values, leak) in gaps.items()
            for k, gap in enumerate(values)
        ]

        table = overview(only_section(records))

        assert marks(table, GAP) == marks(table, Header("", "wanted", "↑")) == {"a": Mark.BEST, "b": Mark.NONE}
        assert marks(table, Header("", "leaked", "↓")) == {"a": Mark.NONE, "b": Mark.BEST}
        assert {mark for title in ("parameters", "seeds") for mark in marks(table, Header("", title)).values()} == {
            Mark.NONE
        }

    def test_below_chance_is_no_leak(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        leaks = {"below": [-0.4, -0.3, -0.5], "none": [0.0, 0.0, 0.0], "above": [0.2, 0.3, 0.25]}
        records = [
            make_record(k, method__label=name, scores=(make_score("common", value, "r2"),))
            for name, values in leaks.items()
            for k, value in enumerate(values)
        ]

        found = marks(salient_table(records), LEAK)

        assert {found["below"], found["none"]} == {Mark.BEST, Mark.CLOSE}
        assert found["above"] == Mark.NONE

    def test_comparison_of_a_column_is_by_the_distance_from_its_ideal(self, make_record: MakeRecord) -> None:
        leaks = {"tight": [0.12, 0.15, 0.13], "leaky": [0.5, 0.4, 0.45]}
        records = [make_record(k, leak=leak, method__label=n) for n in leaks for k, leak in enumerate(leaks[n])]

        found = comparison_of(
            only_section(records), Column("digit", "salient", "target", "balanced_accuracy", "common")
        )

        assert found.best.name == "tight"
        assert found.p_values == {"leaky": pytest.approx(stats.ttest_rel(*leaks.values()).pvalue)}
