"""Reports of vectors in which it is known what is there: what is said is so, and what cannot be known is said too."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cabench.experiment.record import Record
from cabench.report.comparison import Mark
from cabench.report.conclusions import conclusion
from cabench.report.html import html_page, html_tables
from cabench.report.latex import latex
from cabench.report.markdown import markdown, markdown_summary
from cabench.report.notes import problems, warnings
from cabench.report.overview import overview
from cabench.report.probe_tables import ALONE, probe_tables
from cabench.report.summary import Section, sections
from cabench.report.tables import Header, Table
from cabench.report.tidy_csv import tidy_csv

MakeRecord = Callable[..., Record]
Measure = Callable[..., list[Record]]


@pytest.fixture(scope="module")
def measure(planted: ModuleType, make_record: MakeRecord) -> Measure:
    """Makes records of methods under some seeds from (kept, leak, whether seeds change the vectors) of each."""

    def make(train: object, test: object, methods: dict[str, tuple[float, float, bool]], seeds: int) -> list[Record]:
        return [
            planted.measured(
                make_record(seed, method__label=name),
                train,
                test,
                noise=100 * index + (seed if changes else 0),
                kept=kept,
                leak=leak,
            )
            for index, (name, (kept, leak, changes)) in enumerate(methods.items())
            for seed in range(seeds)
        ]

    return make


def only_section(records: Sequence[Record]) -> Section:
    (section,) = sections(records)
    return section


def titled(section: Section, title: str) -> Table:
    return next(table for table in probe_tables(section) if table.title.startswith(title))


def shown(table: Table, name: str) -> dict[Header, str]:
    (line,) = [line for line in table.lines if line.name == name]
    return dict(zip(table.headers, (entry.text for entry in line.entries), strict=True))


@pytest.fixture(scope="module")
def noise(planted: ModuleType, measure: Measure) -> list[Record]:
    """Two methods that no seed changes and that know nothing, under three seeds."""
    methods = {"one": (0.0, 0.0, False), "other": (0.0, 0.0, False)}
    return measure(planted.Images(1, (40, 40)), planted.Images(2, (40, 40)), methods, 3)


class TestDeterministicMethodsOnNoise:
    def test_neither_is_called_worse_or_more_leaky(self, noise: list[Record]) -> None:
        said = conclusion(only_section(noise))

        assert re.search(r"No other is shown to be worse than (one|other) \(p < 0.05\)", said)
        assert re.search(r"No other is shown to be more leaky than (one|other) \(p < 0.05\)", said)

    def test_seeds_that_change_nothing_are_not_taken_for_certainty(self, noise: list[Record]) -> None:
        for line in overview(only_section(noise)).lines:
            gap = line.entries[0]
            assert len(set(gap.values)) == 1
            assert float(gap.interval) > 0.01

    def test_the_test_images_are_named_as_what_limits(self, noise: list[Record]) -> None:
        said = conclusion(only_section(noise))

        assert "comes from the test images: more of them would help, not more seeds." in said
        assert "All of this holds for this training split." in said

    def test_the_floor_of_so_few_images_is_said(self, noise: list[Record]) -> None:
        floor = np.mean([record.leak_floor for record in noise])

        assert floor > 0.01
        assert any(
            f"a cell without any leak would read leaked {100 * floor:.1f} %" in w for w in warnings(only_section(noise))
        )


@pytest.fixture(scope="module")
def mice(planted: ModuleType, measure: Measure) -> list[Record]:
    train, test = planted.Images(1, (60, 60), 6), planted.Images(2, (30, 30), 2, sizes=[2, 1])
    return measure(train, test, {"tight": (3.0, 0.0, True), "leaky": (2.0, 1.0, True)}, 2)


class TestFourMice:
    """60 test images of four mice, two of them in each population."""

    def test_no_error_is_claimed_and_the_number_of_mice_stands_in_the_table(self, mice: list[Record]) -> None:
        table = overview(only_section(mice))

        assert {entry.interval for line in table.lines for entry in line.entries} == {""}
        assert table.yardsticks["test groups"][0] == "4"
        assert titled(only_section(mice), "Salient").yardsticks["test groups"][0] == "2"

    def test_nothing_is_called_better_and_why_is_said(self, mice: list[Record]) -> None:
        section = only_section(mice)
        table = overview(section)
        reason = "Cannot be tested: tight, leaky (there are too few test groups)."

        assert {entry.mark for line in table.lines for entry in line.entries} == {Mark.NONE}
        assert reason in " ".join(table.notes)
        assert conclusion(section).startswith(
            f"Nothing can be said about the order of the methods, over 4 test groups. {reason}"
        )

    def test_the_smallest_p_of_so_few_groups_is_printed(self, mice: list[Record]) -> None:
        table = overview(only_section(mice))

        assert "No leak of target or background can be shown by permutations" in " ".join(table.notes)
        assert "the smallest p that these groups, and levels of nuisances, allow is 0.17." in " ".join(table.notes)


@pytest.fixture(scope="module")
def grouped(planted: ModuleType, measure: Measure) -> list[Record]:
    """Eight subjects in each population, one of them with half of the images, at three sites."""
    attributes = (*planted.ATTRIBUTES, planted.SITE)
    train = planted.Images(1, (80, 80), 8, attributes=attributes)
    test = planted.Images(2, (80, 80), 8, sizes=[7, 1, 1, 1, 1, 1, 1, 1], attributes=attributes)
    return measure(train, test, {"tight": (3.0, 0.0, True), "leaky": (2.0, 2.0, True)}, 2)


class TestGroupsAndNuisances:
    def test_overview_shows_the_first_salient_attribute_from_both_spaces(self, grouped: list[Record]) -> None:
        section = only_section(grouped)
        found = shown(overview(section), "leaky")

        probes = shown(titled(section, "Salient"), "leaky")
        for header in (Header("digit", "salient", "↑"), Header("digit", "common", "↓")):
            assert found[header] == probes[header]
        assert float(found[Header("digit", "common", "↓")]) > 45

    def test_every_leak_has_its_auc_beside_what_papers_print(self, grouped: list[Record]) -> None:
        labels = {
            title: [
                (header.group, header.label, header.arrow) for header in titled(only_section(grouped), title).headers
            ]
            for title in ("Salient", "Common attributes, read from target", "Nuisance attributes, read from target")
        }

        assert list(labels.values()) == [
            [
                *(("digit", "salient", "↑"), ("digit", "common", "↓"), ("digit", "common, AUC", "↓")),
                *(("size", "salient", "↑"), ("size", "common", "↓")),
            ],
            [("hair colour", "common", "↑"), ("hair colour", "salient", "↓"), ("hair colour", "salient, AUC", "↓")],
            [("site", "salient", "↓"), ("site", "salient, AUC", "↓"), ("site", "common", "")],
        ]

    def test_a_nuisance_in_the_common_space_has_no_ideal_and_is_not_compared(self, grouped: list[Record]) -> None:
        table = titled(only_section(grouped), "Nuisance attributes, read from target")

        assert table.yardsticks["ideal"] == ("33.3", "50.0", "–")
        assert {line.entries[2].mark for line in table.lines} == {Mark.NONE}

    def test_unequal_groups_are_counted_by_what_they_say(self, grouped: list[Record]) -> None:
        table = titled(only_section(grouped), "Salient")
        sizes = np.array(
            [40, *np.bincount(np.searchsorted(np.arange(1, 8) / 14 + 0.5, (np.arange(40, 80) + 0.5) / 80))]
        )

        assert table.yardsticks["test groups"][0] == f"8 (effective {sizes.sum() ** 2 / (sizes**2).sum():.1f})"
        assert "Effective: groups of these unequal sizes" in " ".join(table.notes)

    def test_shown_leaks_have_a_star(self, grouped: list[Record]) -> None:
        table = titled(only_section(grouped), "Salient")
        index = table.headers.index(Header("digit", "common, AUC", "↓"))

        assert {line.name: line.entries[index].star for line in table.lines} == {"tight": False, "leaky": True}
        assert not any(line.entries[0].star or line.entries[1].star for line in table.lines)
        assert "*: a leak on these test groups that permutations" in " ".join(table.notes)

    def test_what_the_nuisances_tell_alone_stands_below_adjusted_probes(self, grouped: list[Record]) -> None:
        section = only_section(grouped)
        table = titled(section, "Attributes with what nuisances tell")

        assert [h.label for h in table.headers if h.group == "digit"][:2] == ["salient, adjusted", "common, adjusted"]
        index = table.headers.index(Header("target or background", "salient, adjusted", "↑"))
        alone = float(table.yardsticks[ALONE][index])
        assert alone > 65
        assert any(f"an AUC of {alone:.1f} %" in warning for warning in warnings(section))

    def test_numbers_read_of_few_groups_are_warned_of(self, grouped: list[Record]) -> None:
        assert any(w.startswith("size is read of 8 test groups") for w in warnings(only_section(grouped)))

    def test_few_groups_are_named_as_a_limit(self, grouped: list[Record]) -> None:
        assert re.search(
            r"16 test groups are few: differences below about \d\.\d standard errors", conclusion(only_section(grouped))
        )

    def test_every_format_says_the_same(self, grouped: list[Record], tmp_path: Path) -> None:
        (section,) = sections(grouped)
        said = conclusion(section)
        texts = [
            markdown(grouped),
            markdown_summary(grouped),
            latex(grouped),
            html_page(grouped, tmp_path),
            html_tables(grouped),
        ]
        plain = [re.sub(r"&lt;|\\textless\{\}|\\<", "<", text).replace("\\", "") for text in texts]

        assert all(said.replace("%", "").split("(")[0] in text.replace("%", "") for text in plain)
        assert all("test groups" in text for text in plain)
        rows = list(csv.DictReader(io.StringIO(tidy_csv(grouped))))
        assert {row["n_groups"] for row in rows if row["metric"] == "auc" and row["population"] == "target"} == {"8"}
        assert all(float(row["leak_floor"]) > 0 for row in rows)


class TestLeftOut:
    def test_a_class_that_hardly_occurs_in_training_is_said_to_be_left_out(
        self, planted: ModuleType, measure: Measure
    ) -> None:
        train, test = planted.Images(1, (40, 40)), planted.Images(2, (40, 40))
        digits = train.values[1]["digit"]
        digits[np.flatnonzero(digits == 2)[3:]] = 0
        section = only_section(measure(train, test, {"one": (2.0, 1.0, True)}, 1))

        (lines,) = [lines for heading, lines in problems(section) if heading == "Not measured:"]
        assert any("the class 'c' is left out, with 3 training images; 5 are needed" in line for line in lines)
        assert titled(section, "Salient").yardsticks["chance"][0] == "50.0"

    def test_one_seed_is_said_not_to_be_testable(self, planted: ModuleType, measure: Measure) -> None:
        methods = {"one": (3.0, 0.0, True), "other": (1.0, 2.0, True)}
        section = only_section(measure(planted.Images(1, (40, 40)), planted.Images(2, (40, 40)), methods, 1))
        table = overview(section)

        assert {entry.mark for line in table.lines for entry in line.entries} == {Mark.NONE}
        assert "Cannot be tested: one, other (one seed)." in " ".join(table.notes)
        assert "Cannot be tested: one, other (one seed)." in conclusion(section)
