"""What holds for every text format: it is rebuilt from the records alone, and a new record changes only its own."""

from __future__ import annotations

import csv
import io
import itertools
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.report.further_tables import further_tables
from cabench.report.html import html_page
from cabench.report.latex import latex
from cabench.report.markdown import markdown, markdown_summary
from cabench.report.overview import overview
from cabench.report.probe_tables import probe_tables
from cabench.report.published import Published, beside_published
from cabench.report.summary import sections
from cabench.report.tables import Line
from cabench.report.tidy_csv import tidy_csv

MakeScore = Callable[..., Score]
MakeRecord = Callable[..., Record]

FIGURES = [Published("x", "sepclr", "sepclr", "salient", "digit", "accuracy", 0.9, 0.01, "a paper")]
FORMATS = {
    "markdown": lambda records: markdown(records, FIGURES),
    "summary": markdown_summary,
    "latex": lambda records: latex(records, FIGURES),
}


@pytest.fixture(scope="module")
def records(make_score: MakeScore, make_record: MakeRecord, make_failed: MakeRecord) -> list[Record]:
    """Three methods on two data sets under three seeds, among stale and failed ones, ties, and protocol scores."""
    generator = np.random.default_rng(0)

    def scores() -> tuple[Score, ...]:
        noise = iter(generator.normal(0, 0.03, 20))
        return (
            make_score("common", 0.3 + next(noise)),
            make_score("salient", 0.8 + next(noise)),
            make_score("common", 0.6 + next(noise), "auc", attribute="is_target", population="all"),
            make_score("salient", 0.9 + next(noise), "auc", attribute="is_target", population="all"),
            make_score("salient", 0.4 + next(noise), "norm_ratio", attribute="is_target", population="all"),
            make_score("salient", 0.7 + next(noise), "knn_balanced_accuracy", converged=False),
        )

    found = [
        make_record(
            seed,
            gap=0.2 + 0.1 * index + generator.normal(0, 0.01),
            dataset__label=dataset,
            method__label=name,
            scores=scores(),
            unmeasured=(Unmeasured("salient", "digit", "target", "mig", f"only {index} images define it"),),
            protocols={"sepclr": (make_score(value=0.8 + 0.01 * seed, metric="accuracy"),)},
        )
        for dataset in "xy"
        for index, name in enumerate(["a", "b", "c"])
        for seed in range(3)
    ]
    return [
        *found,
        *(
            make_record(0, gap=0.3, dataset__label="x", method__label="a", method__version=v, value=0.9 + v / 50)
            for v in (-2, -1)
        ),
        *(
            make_failed(n, dataset__label="x", method__label="d", method__version=v)
            for v in (-2, -1)
            for n in range(v + 3)
        ),
    ]


def lines_by_table(records: Sequence[Record]) -> dict[tuple[str, str], dict[str, tuple]]:
    """By data set and title, headers and yardsticks, and the cells of each row."""
    return {
        (section.dataset, table.title): {
            "": (table.headers, table.yardsticks),
            **{f"{line.name} {line.stale} {index}": line.entries for index, line in _numbered(table.lines)},
        }
        for section in sections(records)
        for table in (
            overview(section),
            *probe_tables(section),
            *further_tables(section),
            *beside_published(section, FIGURES),
        )
    }


def _numbered(lines: Sequence[Line]) -> list[tuple[int, Line]]:
    """Lines of equal name are told apart by a number."""
    return [(sum(other.name == line.name for other in lines[:index]), line) for index, line in enumerate(lines)]


class TestRebuilding:
    @pytest.mark.parametrize("name", FORMATS)
    def test_is_the_same_whatever_the_order_of_the_records(self, records: list[Record], name: str) -> None:
        generator = np.random.default_rng(1)
        orders = [[records[index] for index in generator.permutation(len(records))] for _ in range(2)]

        assert {FORMATS[name](order) for order in orders} == {FORMATS[name](records)}

    @pytest.mark.parametrize("name", [*FORMATS, "csv"])
    def test_is_the_same_from_records_that_were_written_and_read(
        self, records: list[Record], tmp_path: Path, name: str
    ) -> None:
        write = {**FORMATS, "csv": tidy_csv}[name]
        store = ResultsStore(tmp_path)
        for record in records:
            store.replace_record(record)
        read = {record.key: record for record in store.records()}

        assert write([read[record.key] for record in records]) == write(records)


class TestAddingASeed:
    def test_changes_no_cell_of_other_methods_or_data_sets_and_no_yardstick(
        self, records: list[Record], make_record: MakeRecord
    ) -> None:
        new = make_record(3, value=0.1, leak=0.95, gap=0.95, dataset__label="x", method__label="b")

        before, after = lines_by_table(records), lines_by_table([*records, new])

        changed = {
            (dataset, row)
            for (dataset, title), table in after.items()
            for row, cells in table.items()
            if cells != before[dataset, title][row]
        }
        assert before.keys() == after.keys()
        assert changed == {("x", "b False 0")}

    @pytest.mark.parametrize("name", ["markdown", "summary"])
    def test_leaves_the_sections_of_other_data_sets(
        self, records: list[Record], make_record: MakeRecord, name: str
    ) -> None:
        new = make_record(3, gap=0.0, dataset__label="x", method__label="b")

        before, after = (FORMATS[name](each).split("\n## ") for each in (records, [*records, new]))

        changed = [old.split("\n")[0] for old, now in itertools.zip_longest(before, after) if old != now]
        assert changed == ["## x", "Ranks by separation gap, profile quick, precision fp32"]


class TestFewSeeds:
    @pytest.mark.parametrize(("name", "mark"), [("markdown", "**"), ("latex", r"\textbf{")])
    def test_nothing_is_marked_under_one_seed(self, records: list[Record], name: str, mark: str) -> None:
        one = [record for record in records if record.seed < 1]

        assert mark in FORMATS[name](records)
        assert mark not in FORMATS[name](one)


class TestReference:
    @pytest.mark.parametrize("name", ["markdown", "summary", "latex", "html"])
    def test_the_sentence_speaks_of_it(self, records: list[Record], tmp_path: Path, name: str) -> None:
        write = {
            "markdown": lambda: markdown(records, reference="b"),
            "summary": lambda: markdown_summary(records, reference="b"),
            "latex": lambda: latex(records, reference="b"),
            "html": lambda: html_page(records, tmp_path, reference="b"),
        }

        assert write[name]().count("Against b, declared beforehand") == 2

    def test_the_command_takes_it_and_refuses_a_name_that_is_not_there(
        self, records: list[Record], cabench_here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
    ) -> None:
        for record in records:
            ResultsStore(tmp_path / "results/runs").replace_record(record)

        known = cabench_here("report", "--format", "summary", "--reference", "b")
        unknown = cabench_here("report", "--format", "summary", "--reference", "bb")

        assert "Against b, declared beforehand" in known.stdout
        assert unknown.returncode == 2
        assert "did you mean 'b'?" in " ".join(unknown.stderr.split())


@pytest.mark.parametrize("form", [*FORMATS, "csv"])
def test_what_a_terminal_would_obey_is_written_as_its_escape(
    make_score: MakeScore, make_record: MakeRecord, make_failed: MakeRecord, form: str
) -> None:
    hostile = "a\x1b[2J\x07\u202e\x9bb"
    scores = (make_score("salient", attribute=hostile), make_score("common", attribute=hostile))
    records = [
        make_record(scores=scores, profile=hostile, dataset__sources=[hostile]),
        make_record(1, scores=scores, method__config={"name": hostile}),
        make_failed(2, error={"message": hostile}),
    ]
    text = {**FORMATS, "csv": tidy_csv}[form](records)
    assert not set(hostile) & set(text) - set("a[2Jb")


def test_a_page_shows_what_a_terminal_would_obey_as_its_escape(
    make_score: MakeScore, make_record: MakeRecord, tmp_path: Path
) -> None:
    page = html_page([make_record(scores=(make_score(attribute="a\x1b\u202eb"),), profile="\x9b")], tmp_path)
    assert not {"\x1b", "\u202e", "\x9b"} & set(page)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " ="])
def test_no_spreadsheet_takes_text_for_a_formula(make_score: MakeScore, make_record: MakeRecord, start: str) -> None:
    (row, *_) = csv.DictReader(io.StringIO(tidy_csv([make_record(scores=(make_score(attribute=f"{start}1+1"),))])))
    assert row["attribute"] == f"'{start}1+1"
