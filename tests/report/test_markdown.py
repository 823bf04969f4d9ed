"""The Markdown report, read back with a Markdown parser, so that what is tested is what readers see."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise, permutations

import pytest
from markdown_it import MarkdownIt  # rich, which the command line needs, brings it along
from scipy import stats

from cabench import discovery
from cabench.evaluation.evaluate import VERSION as EVALUATION_VERSION
from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.record import Record
from cabench.report.markdown import markdown
from cabench.report.quantities import gap_of, score_of
from cabench.report.row_values import interval_of
from cabench.report.summary import Column, sections

MakeScore = Callable[..., Score]
MakeRecord = Callable[..., Record]

PCA_VERSION = discovery.method_class("pca").version
ANSWER = Column("digit", "salient", "target", "balanced_accuracy", "salient")
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
ODD_NAMES = [
    "a|b",
    "tick`s",
    "``",
    "<script>alert(1)</script>",
    "two\nlines",
    "[x](y)",
    "*b* _i_",
    "back\\|slash",
    "<b",
    "&copy;",
    "~~x~~",
    "# x #",
    "1. x",
    "- x",
    "+ x",
]


def read(text: str) -> list[tuple[str, list[list[str]]]]:
    """Every table under the heading before it, as rows of the text that a reader sees; the first row is the header."""
    tables: list[tuple[str, list[list[str]]]] = []
    heading, previous = "", ""
    for token in PARSER.parse(text):
        if token.type == "table_open":
            tables.append((heading, []))
        elif token.type == "tr_open":
            tables[-1][1].append([])
        elif token.type == "inline":
            shown = "".join(child.content for child in token.children or [])
            if previous == "heading_open":
                heading = shown
            elif previous in ("td_open", "th_open"):
                tables[-1][1][-1].append(shown)
        previous = token.type
    return tables


def table(text: str, heading: str) -> dict[str, dict[str, str]]:
    """The one table under a heading: cells by row name and column title."""
    (rows,) = [rows for title, rows in read(text) if title == heading]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:]}


def overview(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    return table(markdown(records), "Overview")


def salient(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    return table(markdown(records), "Salient attributes, read from target images")


def prose(text: str) -> list[str]:
    """Everything outside tables that a reader sees, by paragraph, heading or list entry."""
    return [
        "".join(child.content for child in token.children or [])
        for before, token in pairwise(PARSER.parse(text))
        if token.type == "inline" and before.type in ("paragraph_open", "heading_open")
    ]


def html_tags(text: str) -> set[str]:
    """The kinds of raw HTML in a text; there should be none."""
    tokens = [child for token in PARSER.parse(text) for child in (token, *(token.children or []))]
    return {token.type for token in tokens if token.type.startswith("html")}


class TestNumbers:
    def test_mean_and_interval_over_seeds_and_test_groups(self, make_record: MakeRecord) -> None:
        values = [0.8, 0.9, 0.95]
        records = [make_record(seed, value) for seed, value in enumerate(values)]
        (section,) = sections(records)
        half = interval_of(section.rows[0], score_of(ANSWER)).half_width

        cells = salient(records)["pca"]

        assert half == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(values), rel=0.05)  # the seeds differ most
        assert cells["digit: salient ↑"] == f"{100 * sum(values) / 3:.1f} ± {100 * half:.1f}"
        assert re.fullmatch(r"30\.0 ± 0\.\d", cells["digit: common ↓"])
        assert cells["digit: common ↓"] != "30.0 ± 0.0"

    def test_one_seed_has_no_interval(self, make_record: MakeRecord) -> None:
        assert salient([make_record(value=0.8)])["pca"]["digit: salient ↑"] == "80.0"
        assert overview([make_record(gap=0.1234)])["pca"]["separation gap ↓"] == "0.123"
        assert overview([make_record(gap=0.1234)])["pca"]["wanted ↑"] == "87.7"

    def test_number_of_seeds_stands_in_every_row(self, make_record: MakeRecord) -> None:
        records = [make_record(seed) for seed in range(3)] + [make_record(0, method__label="other")]

        found = {name: cells["seeds"] for name, cells in overview(records).items()}
        assert (found["pca"], found["other"]) == ("3", "1")

    def test_separation_gap_has_its_interval(self, make_record: MakeRecord) -> None:
        records = [make_record(seed, gap=gap) for seed, gap in enumerate((0.1, 0.2, 0.3))]
        (section,) = sections(records)

        half = interval_of(section.rows[0], gap_of).half_width

        assert overview(records)["pca"]["separation gap ↓"] == f"0.200 ± {half:.3f}"

    def test_cost_stands_beside_the_scores(self, make_record: MakeRecord) -> None:
        cells = overview([make_record()])["pca"]

        assert (cells["parameters"], cells["images seen"], cells["training (s)"]) == ("11,173,962", "4,000", "61.2")

    def test_chance_and_ideal_rows(self, make_record: MakeRecord) -> None:
        cells = salient([make_record()])

        assert list(cells)[-3:] == ["chance", "ideal", "test images"]
        assert list(cells["chance"].values()) == ["10.0", "10.0", "50.0"]
        assert list(cells["ideal"].values()) == ["100.0", "10.0", "50.0"]
        assert list(cells["test images"].values()) == ["450", "450", "450"]

    def test_overview_has_them_too(self, make_record: MakeRecord) -> None:
        cells = overview([make_record()])

        names = ["separation gap ↓", "wanted ↑", "leaked ↓", "digit: salient ↑", "digit: common ↓", "seeds"]
        assert [cells["chance"][name] for name in names] == ["0.500", "0.0", "0.0", "10.0", "10.0", "–"]
        assert [cells["ideal"][name] for name in names] == ["0.000", "100.0", "0.0", "100.0", "10.0", "–"]
        assert cells["test images"]["separation gap ↓"] == "400"

    def test_r2_below_zero_is_shown_as_zero(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        scores = (make_score("common", -0.4, "r2"), make_score("salient", 0.7, "r2"))

        cells = table(markdown([make_record(scores=scores)]), "Plain accuracy and R²")["pca"]

        assert cells == {"digit: salient ↑": "70.0", "digit: common ↓": "0.0"}

    def test_target_against_background_stands_in_the_overview(self, make_record: MakeRecord) -> None:
        cells = overview([make_record()])["pca"]

        assert cells["target or background: salient ↑"] == "99.0"
        assert cells["target or background: common ↓"] == "55.0"

    def test_common_attributes_have_a_table_for_each_population_and_point_the_other_way(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        scores = tuple(
            make_score(space, value, attribute="hair_colour", attribute_space="common", population=population)
            for population, values in {"target": (0.8, 0.2), "background": (0.7, 0.1)}.items()
            for space, value in zip(("common", "salient"), values, strict=True)
        )

        text = markdown([make_record(scores=scores)])

        for population, shown in {"target": ("80.0", "20.0"), "background": ("70.0", "10.0")}.items():
            cells = table(text, f"Common attributes, read from {population} images")["pca"]
            assert list(cells.items()) == [
                ("hair colour: common ↑", shown[0]),
                ("hair colour: salient ↓", shown[1]),
            ]
        assert "Salient attributes" not in text

    def test_plain_accuracy_has_a_table_of_its_own(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        scores = (make_score(value=0.5), make_score(value=0.987, metric="accuracy"))
        records = [make_record(scores=scores)]

        assert salient(records)["pca"] == {"digit: salient ↑": "50.0"}
        assert table(markdown(records), "Plain accuracy and R²")["pca"] == {"digit: salient ↑": "98.7"}
        below = [line for line in prose(markdown(records)) if line.startswith("Accuracy of classes")]
        assert "The row chance is the share of the test split's most frequent class; a probe that" in below[0]

    def test_what_is_read_of_a_table_are_rows(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        shades = [make_score(attribute="shade", metric="accuracy", population="background", attribute_space="common")]
        shades.append(make_score(attribute="shade", population="background", attribute_space="common"))
        unmeasured = (Unmeasured("salient", "digit", "target", "auc", "too few"),)
        record = make_record(scores=(make_score(), *shades), unmeasured=unmeasured, dataset__is_table=True)

        text = markdown([record])

        assert table(text, "Overview")["pca"]["rows seen"] == "4,000"
        assert list(table(text, "Salient attributes, read from target rows")) == ["pca", "chance", "ideal", "test rows"]
        assert list(table(text, "Common attributes, read from background rows")["pca"]) == ["shade: salient ↓"]
        assert list(table(text, "Plain accuracy and R²")["pca"]) == ["shade (background rows): salient ↓"]
        assert "auc, digit, target rows, salient space: too few (all methods)" in prose(text)
        assert "image" not in text


class TestNotes:
    def test_formula_stands_below_the_overview(self, make_record: MakeRecord) -> None:
        said = prose(markdown([make_record()]))

        assert any("Separation gap = (1 - wanted + leaked) / 2: 0 is perfect" in paragraph for paragraph in said)

    def test_origin_names_sources_profile_precision_and_seeds(self, make_record: MakeRecord) -> None:
        text = markdown([make_record(seed, dataset__sources=["CIFAR-10 (JPEG)", "MNIST"]) for seed in (4, 0)])

        origin = "Built from CIFAR-10 (JPEG), MNIST. Profile quick, precision fp32, seeds 0, 4."
        assert f"{origin} Data content abababab." in text

    def test_a_star_is_shown_as_it_is(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        leak = make_score("common", 0.8, "auc", p_familywise=0.01, p_smallest=0.001)

        cells = salient([make_record(scores=(make_score(), make_score("common"), leak))])["pca"]

        assert cells["digit: common, AUC ↓"] == "80.0 *"


class TestRows:
    def test_configurations_under_one_label_are_told_apart_by_the_field_that_differs(
        self, make_record: MakeRecord
    ) -> None:
        records = [make_record(gap=0.1), make_record(gap=0.2, method__config={"components": 8})]

        assert list(overview(records))[:2] == ["pca (components=32)", "pca (components=8)"]
        assert list(salient(records))[:2] == ["pca (components=32)", "pca (components=8)"]

    def test_smallest_separation_gap_stands_first(self, make_record: MakeRecord) -> None:
        records = [make_record(gap=gap, method__label=label) for label, gap in {"a": 0.5, "b": 0.05, "c": 0.2}.items()]

        assert list(overview(records)) == list(salient(records)) == ["b", "c", "a", "chance", "ideal", "test images"]

    def test_stale_rows_say_so(self, make_record: MakeRecord) -> None:
        records = [make_record(gap=0.5), make_record(gap=0.1, method__version=PCA_VERSION - 1)]

        assert list(overview(records))[:2] == ["pca", "pca (stale)"]
        assert list(salient(records))[:2] == ["pca", "pca (stale)"]

    def test_failed_seeds_are_counted(self, make_record: MakeRecord, make_failed: MakeRecord) -> None:
        cells = overview([make_record(0), make_record(1), make_failed(2)])["pca"]

        assert cells["seeds"] == "2, 1 FAILED"

    def test_methods_that_only_failed_are_shown_as_such(self, make_record: MakeRecord, make_failed: MakeRecord) -> None:
        records = [make_record(), make_failed(0, method__label="broken"), make_failed(1, method__label="broken")]

        assert overview(records)["broken"]["seeds"] == "0, 2 FAILED"
        assert overview(records)["broken"]["separation gap ↓"] == "FAIL"
        assert overview(records)["broken"]["parameters"] == "–"
        assert set(salient(records)["broken"].values()) == {"FAIL"}

    def test_data_sets_of_which_every_cell_failed_are_shown(self, make_failed: MakeRecord) -> None:
        text = markdown([make_failed(0)])

        assert table(text, "Overview")["pca"]["seeds"] == "0, 1 FAILED"

    def test_notes_make_sense_where_every_cell_failed(self, make_failed: MakeRecord) -> None:
        text = markdown([make_failed(0)])

        assert "nan" not in text
        assert "(;" not in text

    def test_stale_row_with_fewer_probes_is_shown(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        stale = make_record(gap=0.5, evaluation__version=EVALUATION_VERSION - 1, scores=(make_score("common", 0.3),))

        try:
            cells = salient([make_record(gap=0.1), stale])
        except StopIteration:
            pytest.fail("one old record stops the whole report")

        assert cells["pca (stale)"]["digit: common ↓"] == "30.0"


class TestSections:
    @pytest.mark.parametrize(
        "change",
        [{"dataset__content_sha256": "cd" * 32}, {"profile": "smoke"}, {"precision": "bf16"}],
        ids=lambda change: next(iter(change)),
    )
    def test_what_cannot_be_compared_is_not_put_in_one_table(
        self, make_record: MakeRecord, change: dict[str, str]
    ) -> None:
        text = markdown([make_record(0, 0.9), make_record(0, 0.2, **change)])

        overviews = [rows for title, rows in read(text) if title == "Overview"]
        assert [len(rows) - 1 for rows in overviews] == [4, 4]  # one method and three yardsticks

    def test_two_contents_under_one_label_can_be_told_apart(self, make_record: MakeRecord) -> None:
        text = markdown([make_record(), make_record(dataset__content_sha256="cd" * 32, dataset__config={"seed": 1})])

        first, second = text.split("## planted\n")[1:]
        assert first.split("### Overview")[0].strip() != second.split("### Overview")[0].strip()

    def test_no_records_are_said_to_be_none(self) -> None:
        assert markdown([]) == "There are no records yet.\n"

    def test_order_of_the_records_does_not_matter(self, make_record: MakeRecord, make_failed: MakeRecord) -> None:
        records = [
            make_record(0, 0.9, 0.1),
            make_record(1, 0.8, 0.2),
            make_record(0, 0.7, 0.15, method__config={"components": 8}),
            make_record(0, 0.7, 0.05, method__version=PCA_VERSION - 1),
            make_failed(0, method__label="broken"),
        ]

        orders = (records, records[::-1], records[2:] + records[:2], records[::2] + records[1::2])
        assert len({markdown(order) for order in orders}) == 1

    def test_order_of_the_records_does_not_matter_across_sections(self, make_record: MakeRecord) -> None:
        records = [make_record(0), make_record(0, profile="smoke"), make_record(0, dataset__label="another")]

        assert len({markdown(order) for order in permutations(records)}) == 1


class TestEscaping:
    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_label_of_a_method_is_shown_as_it_is_and_breaks_no_table(self, make_record: MakeRecord, name: str) -> None:
        text = markdown([make_record(method__label=name), make_record(gap=0.9)])

        for _, rows in read(text):
            assert {len(row) for row in rows} == {len(rows[0])}
            assert " ".join(name.split()) in [row[0] for row in rows]
        assert html_tags(text) == set()

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_values_of_a_configuration_are_shown_as_they_are(self, make_record: MakeRecord, name: str) -> None:
        records = [make_record(), make_record(gap=0.9, method__config={"components": name})]

        assert f"pca (components={' '.join(name.split())})" in overview(records)

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_attribute_is_shown_as_it_is_and_breaks_no_table(
        self, make_score: MakeScore, make_record: MakeRecord, name: str
    ) -> None:
        text = markdown([make_record(scores=(make_score(attribute=name), make_score("common", attribute=name)))])

        titles = [" ".join(f"{name}: {label}".replace("_", " ").split()) for label in ("salient ↑", "common ↓")]
        assert list(table(text, "Salient attributes, read from target images")["pca"]) == titles
        assert html_tags(text) == set()

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_source_is_shown_as_it_is(self, make_record: MakeRecord, name: str) -> None:
        text = markdown([make_record(dataset__sources=[name])])

        assert html_tags(text) == set()
        assert prose(text)[1].startswith(f"Built from {' '.join(name.split())}. Profile quick,")

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_failures_are_told_as_they_are(self, make_failed: MakeRecord, name: str) -> None:
        text = markdown([make_failed(2, method__label=name, error={"message": name})])

        shown = " ".join(name.split())
        assert prose(text)[-1] == f"{shown}, seed 2: {shown}"
        assert html_tags(text) == set()

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_label_of_a_data_set_is_shown_as_it_is(self, make_record: MakeRecord, name: str) -> None:
        text = markdown([make_record(dataset__label=name)])

        assert prose(text)[0] == " ".join(name.split())
        assert html_tags(text) == set()

    @pytest.mark.parametrize("name", ["my_profile", *ODD_NAMES])
    def test_profile_is_shown_as_it_is(self, make_record: MakeRecord, name: str) -> None:
        text = markdown([make_record(profile=name)])

        assert f"Profile {' '.join(name.split())}, precision" in prose(text)[1]
