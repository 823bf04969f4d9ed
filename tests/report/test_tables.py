"""What tables hold before any format writes them: titles, numbers, marks and yardsticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from cabench import discovery
from cabench.evaluation.score import Score
from cabench.experiment.record import Record
from cabench.report.further_tables import further_tables
from cabench.report.overview import overview
from cabench.report.probe_tables import probe_tables
from cabench.report.quantities import score_of
from cabench.report.row_values import NOT_KNOWN, interval_of
from cabench.report.summary import Column, Section, sections
from cabench.report.tables import (
    NO_SCORE,
    Entry,
    Header,
    Mark,
    Table,
    comparison_of,
    counted,
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
LEAK_AUC = Header("digit", "common, AUC", "↓")
ANSWER = Column("digit", "salient", "target", "balanced_accuracy", "salient")
GAP = Header("", "separation gap", "↓")
GAPS = {"a": [0.10, 0.11, 0.12], "b": [0.11, 0.12, 0.14], "c": [0.60, 0.62, 0.61]}


class TestNumbers:
    def test_cell_holds_mean_interval_and_each_seed_in_percent(self, make_record: MakeRecord) -> None:
        values = [0.8, 0.9, 0.95]
        section = only_section([make_record(seed, value) for seed, value in enumerate(values)])

        cell = column(salient_table(section.rows[0].records), WANTED)["pca"]

        half_width = interval_of(section.rows[0], score_of(ANSWER)).half_width
        assert (cell.text, cell.interval) == ("88.3", f"{100 * half_width:.1f}")
        assert cell.values == pytest.approx((80, 90, 95))

    def test_one_seed_has_no_interval(self, make_record: MakeRecord) -> None:
        assert column(salient_table([make_record(value=0.8)]), WANTED)["pca"] == Entry("80.0", values=(80.0,))

    def test_r2_counts_as_0_below_0_where_it_has_no_bound(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        scores = [(make_score(value=value, metric="r2"),) for value in (-2.3e12, 0.5)]
        records = [make_record(seed, scores=of_seed) for seed, of_seed in enumerate(scores)]

        cell = column(further_tables(only_section(records))[0], WANTED)["pca"]

        assert (cell.text, cell.values) == ("25.0", (0.0, 50.0))
        assert float(cell.interval) <= 100

    def test_no_interval_is_wider_than_the_range(self, make_record: MakeRecord) -> None:
        """Two seeds at either end: the t-interval of their mean would be 635 points wide on either side."""
        records = [make_record(seed, value) for seed, value in enumerate([0.0, 1.0])]

        assert column(salient_table(records), WANTED)["pca"].interval == "100.0"

    def test_wanted_and_leaked_are_parts_of_the_way_from_chance(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        scores = (
            make_score("salient", 0.55),
            make_score("common", 0.6, "auc"),
            make_score("salient", 0.75, "auc", attribute="is_target", population="all"),
            make_score("common", 0.45, "auc", attribute="is_target", population="all"),
        )

        table = overview(only_section([make_record(scores=scores)]))

        assert column(table, Header("", "wanted", "↑"))["pca"].text == "50.0"
        assert column(table, Header("", "leaked", "↓"))["pca"].text == "10.0"
        assert column(table, GAP)["pca"].text == "0.300"

    def test_yardsticks_are_chance_and_ideal_of_every_column(self, make_record: MakeRecord) -> None:
        table = salient_table([make_record()])

        assert table.headers == (WANTED, LEAK, LEAK_AUC)
        assert table.yardsticks == {
            "chance": ("10.0", "10.0", "50.0"),
            "ideal": ("100.0", "10.0", "50.0"),
            "test images": ("450", "450", "450"),
        }

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
                {
                    "metric": "knn_correlation",
                    "attribute": "hair",
                    "attribute_space": "common",
                    "population": "background",
                },
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

        assert table.yardsticks == {"test images": ("450", NO_SCORE)}
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

    def test_are_the_set_that_may_be_best_by_the_distance_from_the_ideal(self, make_records: MakeRecords) -> None:
        section = only_section(make_records(GAPS))
        (table, *_) = probe_tables(section)

        for header, space, metric in ((WANTED, "salient", "balanced_accuracy"), (LEAK_AUC, "common", "auc")):
            found = comparison_of(section, Column("digit", "salient", "target", metric, space))
            assert list(found.bold) == ["a", "b"]
            assert [name for name, mark in marks(table, header).items() if mark is Mark.BEST] == ["a", "b"]

    def test_there_are_none_under_one_seed_and_that_is_said(self, make_record: MakeRecord) -> None:
        section = only_section([make_record(value=0.5 + 0.2 * i, method__label=f"m{i}") for i in (0, 1)])

        for table in (overview(section), *probe_tables(section)):
            assert {cell.mark for line in table.lines for cell in line.entries} == {Mark.NONE}
            assert "Cannot be tested: m1, m0 (one seed)." in table.notes

    def test_columns_in_which_a_method_cannot_be_tested_are_named(
        self, make_record: MakeRecord, make_records: MakeRecords
    ) -> None:
        lost = make_record(0, method__label="d"), make_record(1, method__label="d")
        scores = [part._replace(values=None) if i == 2 else part for i, part in enumerate(lost[0].contributions.scores)]
        known = [replace(r, contributions=r.contributions._replace(scores=scores)) for r in lost]

        table = salient_table([*make_records(GAPS), *known])

        assert f"Not tested in digit salient: d ({NOT_KNOWN})." in table.notes

    def test_a_row_of_one_space_that_cannot_be_tested_is_named_once(
        self, make_record: MakeRecord, make_records: MakeRecords
    ) -> None:
        one_space = make_record(separation_gap=None, method__label="d")
        kept = [i for i, score in enumerate(one_space.scores) if score.space == "salient"]
        table = one_space.contributions._replace(scores=[one_space.contributions.scores[i] for i in kept])
        scores = tuple(one_space.scores[i] for i in kept)

        notes = overview(
            only_section([*make_records(GAPS), replace(one_space, scores=scores, contributions=table)])
        ).notes

        assert [note for note in notes if "tested" in note] == ["Cannot be tested: d (one seed)."]

    def test_scores_without_contributions_are_said_to_be_without_an_interval(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        records = [make_record(k, scores=(make_score(metric="mig"),), method__label=n) for n in "ab" for k in (0, 1)]
        for record in records:
            record.contributions.scores[0] = record.contributions.scores[0]._replace(values=None)

        (table,) = further_tables(only_section(records))

        assert table.notes == (f"Not compared, and without ±: {NOT_KNOWN}.",)

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

    def test_overview_marks_gap_wanted_and_leaked_but_no_cost(self, make_records: MakeRecords) -> None:
        table = overview(only_section(make_records(GAPS)))

        expected = {"a": Mark.BEST, "b": Mark.BEST, "c": Mark.NONE}
        for header in (GAP, Header("", "wanted", "↑"), Header("", "leaked", "↓")):
            assert marks(table, header) == expected
        costs = [marks(table, Header("", title)).values() for title in ("parameters", "seeds")]
        assert {mark for found in costs for mark in found} == {Mark.NONE}

    def test_below_chance_is_no_leak(self, make_record: MakeRecord) -> None:
        leaks = {"below": [0.02, 0.05, 0.08], "none": [0.1, 0.1, 0.1], "above": [0.2, 0.3, 0.25]}
        records = [make_record(k, leak=leak, method__label=n) for n in leaks for k, leak in enumerate(leaks[n])]
        column_of_leak = Column("digit", "salient", "target", "balanced_accuracy", "common")

        found = comparison_of(only_section(records), column_of_leak)

        assert found.means == pytest.approx({"below": 0, "none": 0, "above": 0.15})
        assert found.p_values[frozenset(("below", "none"))] == 1

    def test_stale_rows_are_said_to_be_not_comparable(self, make_record: MakeRecord) -> None:
        section = only_section([make_record(), make_record(method__version=-1)])

        assert any(
            note.startswith("Stale rows were made or measured by an older version") for note in overview(section).notes
        )


class TestStars:
    @pytest.mark.parametrize(
        ("p_values", "star"), [((0.001, 0.04), True), ((0.001, 0.06), False), ((0.001, None), False)]
    )
    def test_a_leak_has_one_where_it_is_shown_under_every_seed(
        self, make_score: MakeScore, make_record: MakeRecord, p_values: tuple[float | None, ...], star: bool
    ) -> None:
        records = [
            make_record(k, scores=(make_score(), make_score("common", 0.7, "auc", p_familywise=p, p_smallest=0.001)))
            for k, p in enumerate(p_values)
        ]

        assert column(salient_table(records), LEAK_AUC)["pca"].star is star

    def test_p_values_that_so_few_groups_do_not_allow_are_said(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        leak = make_score("common", 0.9, "auc", p_familywise=0.17, p_smallest=1 / 6)

        notes = salient_table([make_record(scores=(make_score(), leak))]).notes

        assert (
            "No leak of digit can be shown by permutations: the smallest p that these groups, and levels of nuisances, "
            "allow is 0.17."
        ) in notes


@pytest.mark.parametrize(
    ("sizes", "are_groups", "text"),
    [([10] * 12, True, "12"), ([100, *[10] * 11], True, "12 (effective 4.0)"), ([], True, "12"), ([1, 9], False, "12")],
)
def test_groups_are_counted_by_what_they_say(sizes: list[int], are_groups: bool, text: str) -> None:
    assert counted(12, sizes, are_groups) == text
