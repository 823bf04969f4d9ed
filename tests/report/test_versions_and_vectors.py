"""Rows that are not like the others, in every format: of older versions, of vectors from elsewhere, of one space, and
trained too shortly.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cabench.api import Results
from cabench.evaluation.score import Unmeasured
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.report.comparison import Mark
from cabench.report.conclusions import conclusion
from cabench.report.html import html_page, html_tables
from cabench.report.latex import latex
from cabench.report.markdown import markdown, markdown_summary
from cabench.report.notes import problems
from cabench.report.overview import overview
from cabench.report.ranking import gaps_in, rankings
from cabench.report.summary import Section, sections
from cabench.report.tables import NO_SCORE
from cabench.report.tidy_csv import tidy_csv

MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]

OLD = [0.60, 0.62, 0.61]
NEW = [0.10, 0.11, 0.12]
FOOTNOTE = "† vectors from elsewhere, scored here."


def section_of(records: Sequence[Record], stale: bool = True) -> Section:
    (section,) = sections(records, stale)
    return section


@pytest.fixture
def two_versions(make_records: MakeRecords) -> list[Record]:
    return [*make_records({"mine": NEW}), *make_records({"mine": OLD}, method__version=-1)]


@pytest.fixture
def ours(make_records: MakeRecords) -> list[Record]:
    """Vectors from elsewhere, of a method that is not installed."""
    return make_records({"ours": OLD}, method__name="ours", method__version=1, method__origin="vectors")


@pytest.fixture
def one_space(ours: list[Record]) -> list[Record]:
    """The same without common vectors."""
    return [
        replace(record, separation_gap=None, scores=tuple(s for s in record.scores if s.space == "salient"))
        for record in ours
    ]


class TestVersions:
    def test_they_are_compared_where_that_is_asked_for(self, two_versions: list[Record]) -> None:
        section = section_of(two_versions)

        newer = section.rows[0].name
        assert [(row.name, row.stale) for row in section.rows] == [(newer, False), ("mine (version -1)", False)]
        assert newer == f"mine (version {section.rows[0].records[0].method['version']})"
        said = conclusion(section)
        assert said.startswith(
            f"Over 3 seeds and 400 test images, {newer} has the smallest separation gap (0.110 ± 0.0"
        )
        assert "of the 2 methods compared" in said
        assert "All others are worse" in said
        assert [line.entries[0].mark for line in overview(section).lines] == [Mark.BEST, Mark.NONE]

    def test_they_are_stale_and_left_out_otherwise(self, two_versions: list[Record]) -> None:
        section = section_of(two_versions, stale=False)

        assert [(row.name, row.stale) for row in section.rows] == [("mine", False), ("mine", True)]
        assert conclusion(section) == "There are no two methods to compare: 1 row is of an older version, and stale."

    def test_rows_of_another_evaluation_are_shown_and_said_not_to_be_compared(
        self, make_records: MakeRecords, two_versions: list[Record]
    ) -> None:
        evaluation = {**current_evaluation(), "version": 0}
        other = make_records({"mine": NEW}, method__version=-2, evaluation=evaluation)
        section = section_of([*two_versions, *other])

        assert [row.stale for row in section.rows] == [False, False, True]
        assert "Not compared, measured by another evaluation: mine (version -2, evaluation 0)." in conclusion(section)

    def test_rows_that_are_all_of_the_same_older_evaluation_are_compared(self, make_records: MakeRecords) -> None:
        """Their columns, that is: the gap is not made of scores that an older evaluation has given."""
        section = section_of(make_records({"a": OLD, "b": NEW}, evaluation={**current_evaluation(), "version": 0}))
        first, second = overview(section).lines

        assert [entry.text for entry in (*first.entries[:3], *second.entries[:3])] == [NO_SCORE] * 6
        assert (first.entries[3].mark, second.entries[3].mark) == (Mark.BEST, Mark.NONE)
        assert "Not compared, measured by another evaluation: b (version" in conclusion(section)

    def test_no_gap_of_an_older_evaluation_is_shown_beside_current_ones(
        self, make_records: MakeRecords, tmp_path: Path
    ) -> None:
        old = make_records({"mine": OLD}, evaluation={**current_evaluation(), "version": 2}, separation_gap=0.44217)
        records = [*make_records({"ours": NEW}), *old]
        table = overview(section_of(records, stale=False))

        assert [(line.stale, line.entries[0].text) for line in table.lines] == [(False, "0.110"), (True, NO_SCORE)]
        for text in (markdown(records), latex(records), html_page(records, tmp_path), html_tables(records)):
            assert "0.442" not in text

    def test_rows_of_one_method_version_and_several_builders_are_told_apart(self, make_records: MakeRecords) -> None:
        records = [
            record
            for builder in (-1, -2)
            for record in make_records({"mine": NEW}, method__version=-1, dataset__builder_version=builder)
        ]

        assert {row.name for row in section_of(records).rows} == {
            "mine (version -1, data set builder -1)",
            "mine (version -1, data set builder -2)",
        }

    def test_every_format_names_the_version(self, two_versions: list[Record], tmp_path: Path) -> None:
        for text in (
            markdown(two_versions, stale=True),
            markdown_summary(two_versions, True),
            latex(two_versions, stale=True),
            html_page(two_versions, tmp_path, stale=True),
            tidy_csv(two_versions, True),
        ):
            assert "mine (version -1)" in text
        assert "version -1" not in tidy_csv(two_versions)


class TestVectors:
    def test_they_are_marked_and_take_part(self, make_records: MakeRecords, ours: list[Record], tmp_path: Path) -> None:
        records = [*make_records({"mine": NEW}), *ours]

        assert "of the 2 methods compared" in conclusion(section_of(records, stale=False))
        for text in (markdown(records), markdown_summary(records), html_page(records, tmp_path), html_tables(records)):
            assert "ours †" in text
            assert FOOTNOTE in text
            assert "mine †" not in text
        assert "ours $^\\dagger$ &" in latex(records)
        assert "$^\\dagger$ vectors from elsewhere, scored here." in latex(records)

    def test_without_them_there_is_no_footnote(self, make_records: MakeRecords, tmp_path: Path) -> None:
        records = make_records({"mine": NEW})

        assert all("†" not in text for text in (markdown(records), html_page(records, tmp_path)))
        assert "dagger" not in latex(records)

    def test_csv_has_the_plain_name_and_a_column(self, make_records: MakeRecords, ours: list[Record]) -> None:
        rows = list(csv.DictReader(io.StringIO(tidy_csv([*make_records({"mine": NEW}), *ours]))))

        assert {(row["method"], row["origin"]) for row in rows} == {("mine", ""), ("ours", "vectors")}

    def test_what_they_cost_is_not_known(self, ours: list[Record]) -> None:
        (line,) = overview(section_of(ours)).lines

        assert [entry.text for entry in line.entries[-4:]] == [NO_SCORE, NO_SCORE, NO_SCORE, "3"]

    def test_rankings_mark_them_too(self, make_records: MakeRecords, ours: list[Record]) -> None:
        records = [*make_records({"mine": NEW}), *ours]
        elsewhere = make_records({"mine": NEW}, dataset__label="x") + make_records(
            {"ours": OLD}, dataset__label="x", method__name="ours", method__version=1, method__origin="vectors"
        )
        (ranking,) = rankings(map(gaps_in, sections([*records, *elsewhere])))

        assert list(ranking.ranks) == ["mine", "ours †"]
        assert (
            markdown([*records, *elsewhere]).rstrip().count(FOOTNOTE) == 5
        )  # two tables of two sections, and the ranks


class TestTooShortlyTrained:
    SAID = "‡ the loss still changed when training ended: longer training may change numbers."

    @pytest.fixture
    def falling(self, make_records: MakeRecords) -> list[Record]:
        """Under one seed of three the loss still changed."""
        found = make_records({"mine": OLD}, loss_is_flat=True)
        return [replace(found[0], loss_is_flat=False), *found[1:]]

    def test_they_are_marked_in_every_format_and_take_part(
        self, make_records: MakeRecords, falling: list[Record], tmp_path: Path
    ) -> None:
        records = [*make_records({"ours": NEW}, loss_is_flat=True), *falling]

        assert "of the 2 methods compared" in conclusion(section_of(records, stale=False))
        for text in (markdown(records), markdown_summary(records), html_page(records, tmp_path), html_tables(records)):
            assert "mine ‡" in text
            assert self.SAID in text
            assert "ours ‡" not in text
        assert "mine $^\\ddagger$ &" in latex(records)
        assert "$^\\ddagger$ the loss still changed when training ended" in latex(records)

    @pytest.mark.parametrize("is_flat", [True, None])
    def test_there_is_no_mark_where_it_was_flat_or_nobody_knows(
        self, make_records: MakeRecords, tmp_path: Path, is_flat: bool | None
    ) -> None:
        records = make_records({"mine": NEW, "ours": OLD}, loss_is_flat=is_flat)

        assert all("‡" not in text for text in (markdown(records), html_page(records, tmp_path)))
        assert "ddagger" not in latex(records)

    def test_beside_vectors_from_elsewhere_both_marks_are_explained(
        self, falling: list[Record], ours: list[Record]
    ) -> None:
        assert f"{FOOTNOTE} {self.SAID}" in markdown([*falling, *ours])

    def test_csv_has_the_plain_name_and_a_column(
        self, make_records: MakeRecords, falling: list[Record], ours: list[Record]
    ) -> None:
        records = [*falling, *make_records({"theirs": NEW}, loss_is_flat=True), *ours]
        rows = csv.DictReader(io.StringIO(tidy_csv(records)))

        assert {(row["method"], row["seed"], row["loss_is_flat"]) for row in rows} == {
            *((name, seed, flat) for name, flat in (("theirs", "True"), ("ours", "")) for seed in "012"),
            *(("mine", "0", "False"), ("mine", "1", "True"), ("mine", "2", "True")),
        }

    def test_ranks_put_a_method_together_with_itself_and_keep_the_mark(
        self, make_records: MakeRecords, falling: list[Record]
    ) -> None:
        here = [*make_records({"ours": NEW}), *falling]
        there = make_records({"ours": OLD, "mine": NEW}, dataset__label="x", loss_is_flat=True)
        (ranking,) = rankings(map(gaps_in, sections([*here, *there])))

        assert ranking.ranks == {"ours": (1, 2), "mine ‡": (2, 1)}
        assert self.SAID in markdown([*here, *there]).split("## Ranks")[1]


class TestOneSpace:
    def test_it_stands_last_without_gap_wanted_and_leaked(
        self, make_records: MakeRecords, one_space: list[Record]
    ) -> None:
        section = section_of([*one_space, *make_records({"mine": NEW, "theirs": OLD})])
        line = overview(section).lines[-1]

        assert line.name == "ours †"
        assert [entry.text for entry in line.entries[:3]] == [NO_SCORE] * 3
        assert line.entries[3].text == "45.1"  # balanced accuracy at a gap of 0.61
        assert line.entries[4].text == NO_SCORE

    def test_it_is_said_not_to_be_compared(self, make_records: MakeRecords, one_space: list[Record]) -> None:
        said = conclusion(section_of([*one_space, *make_records({"mine": NEW, "theirs": OLD})]))

        assert "Not compared, of one space alone: ours." in said
        assert "fewer than 3 seeds" not in said

    def test_alone_it_is_said_too(self, one_space: list[Record]) -> None:
        said = conclusion(section_of(one_space))

        assert said == "There are no two methods to compare. Not compared, of one space alone: ours."

    def test_every_format_copes(self, make_records: MakeRecords, one_space: list[Record], tmp_path: Path) -> None:
        for records in (one_space, [*one_space, *make_records({"mine": NEW, "theirs": OLD})]):
            for text in (markdown(records), latex(records), html_page(records, tmp_path), html_tables(records)):
                assert "ours" in text
                assert not re.search(r"\bnan\b", re.sub("(?s)<summary>Provenance.*?</details>", "", text))
            assert "ours" in tidy_csv(records)

    def test_what_the_missing_space_leaves_out_is_said_once(self, one_space: list[Record]) -> None:
        reason = "no common vectors were given"
        left_out = tuple(Unmeasured("common", name, "target", "auc", reason) for name in ("shape", "scale", "digit"))
        records = [replace(record, unmeasured=left_out) for record in one_space]

        ((heading, lines),) = problems(section_of(records))
        assert heading == "Not measured:"
        assert lines == [f"{reason} (all methods)"]

    def test_it_can_be_read_from_its_file(self, one_space: list[Record], tmp_path: Path) -> None:
        path = tmp_path / "record.json"
        path.write_text(one_space[0].to_json(), encoding="utf-8")

        assert Record.load(path).separation_gap is None


def test_a_fragment_is_escaped_and_needs_nothing_else(make_records: MakeRecords) -> None:
    records = make_records({"<script>alert(1)</script>": NEW, "b": OLD})
    found = html_tables(records)

    assert "<script" not in found
    assert "&lt;script&gt;" in found
    assert re.search(r"<b>0\.110 ± 0\.0\d\d</b>", found)
    assert conclusion(section_of(records, stale=False)).replace("<", "&lt;").replace(">", "&gt;") in found
    assert html_tables([]) == "<p>There are no records yet.</p>"


def test_any_sequence_of_records_is_taken(make_records: MakeRecords) -> None:
    records = make_records({"a": NEW, "b": OLD})

    assert markdown(tuple(records)) == markdown(records)
    assert html_tables(tuple(records)) == html_tables(records)


def test_results_of_a_run_show_their_tables_in_a_notebook(make_records: MakeRecords, tmp_path: Path) -> None:
    records = tuple(make_records({"a": NEW, "b": OLD}))

    assert Results(records, tmp_path, 0, (), ())._repr_html_() == html_tables(records)


@pytest.mark.parametrize("form", ["markdown", "summary", "csv", "latex", "html"])
def test_the_command_compares_versions_when_asked(
    cabench_here, two_versions: list[Record], tmp_path: Path, form
) -> None:
    for record in two_versions:
        ResultsStore(tmp_path / "results/runs").replace_record(record)

    plain, asked = cabench_here("report", "--format", form), cabench_here("report", "--format", form, "--stale")

    assert (plain.returncode, asked.returncode) == (0, 0)
    assert "mine (version -1)" in asked.stdout
    assert "version -1" not in plain.stdout
