"""The report on tuning, from records made by hand: what it says, what it keeps to itself, and what it says of gaps."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from cabench import discovery
from cabench.errors import UserError
from cabench.report.output import generated_text
from cabench.report.tables import NO_SCORE
from cabench.report.tuning_report import tuning_figures, tuning_html, tuning_markdown
from cabench.report.tuning_tables import (
    trials_table,
    tuning_sections,
    uncounted_sentence,
    worth_chart,
    worth_sentence,
    worth_table,
)
from cabench.tuning.tuning_record import TuningRecord

Make = Callable[..., TuningRecord]
EARLY = [0.31, 0.32, 0.33, 0.34], [0.30, 0.31, 0.32, 0.33]
LATE = [0.123, 0.60, 0.70, None], [0.20, 0.61, 0.71, None]


@pytest.fixture(scope="module")
def two(make_tuning_record: Make) -> list[TuningRecord]:
    """A method that is good with any settings, and one that is better with the right ones."""
    return [make_tuning_record("early", *EARLY), make_tuning_record("late", *LATE)]


HEAD = """\
## dsprites: what tuning is worth

Searched around profile quick, precision fp32: a budget of 4 trials for each method, chosen by labels on a fifth of \
the training groups. Data content 00000000.

Of 2 methods the best is early with one trial and with the best of 2. No method changes rank between.
"""

WORTH = """\
### Expected test gap of the best of n trials

| method   |   test gap: profile's own ↓ |   test gap: chosen ↓ |     best of: 1 trial ↓ |    best of: 2 trials ↓ |
|----------|-----------------------------|----------------------|------------------------|------------------------|
| early    |                       0.300 |                0.300 | 0.315 (0.305 to 0.325) | 0.307 (0.300 to 0.322) |
| late     |                       0.200 |                0.200 | 0.630 (0.327 to 0.902) | 0.422 (0.200 to 0.805) |
"""

SPENT = """\
### Trials

| method   |   trials |   different |   differ |   failed |   loss still changing |   minutes of training |   chosen |
|----------|----------|-------------|----------|----------|-----------------------|-----------------------|----------|
| early    |        4 |           4 |        – |        0 |                     0 |                   6.0 |        0 |
| late     |        4 |           4 |        – |        1 |                     0 |                   4.5 |        0 |
"""

CHOSEN = """\
### Chosen settings

- early: trial 0 of 4 (the profile's own): weight = 1.5
- late: trial 0 of 4 (the profile's own): weight = 1.5
"""


def test_the_text_of_two_records(two: list[TuningRecord]) -> None:
    text = tuning_markdown(two)
    assert text.startswith(HEAD)
    assert WORTH in text
    assert SPENT in text
    assert text.endswith(CHOSEN)


@pytest.mark.parametrize(
    ("factor", "unit", "shown"), [(0.1, "seconds", "36"), (1, "minutes", "6.0"), (60, "hours", "6.00")]
)
def test_time_stands_in_a_unit_that_suits_it(make_tuning_record: Make, factor: float, unit: str, shown: str) -> None:
    record = make_tuning_record("early", *EARLY)
    trials = tuple(
        dataclasses.replace(
            trial, outcomes=tuple(dataclasses.replace(each, train_s=factor * each.train_s) for each in trial.outcomes)
        )
        for trial in record.trials
    )
    (section,) = tuning_sections([dataclasses.replace(record, trials=trials)])
    table = trials_table(section)
    assert table.headers[5].label == f"{unit} of training"
    assert table.lines[0].entries[5].text == shown


def test_a_search_around_smoke_is_said_to_mean_nothing(make_tuning_record: Make) -> None:
    record = dataclasses.replace(make_tuning_record("early", *EARLY), profile="smoke")
    for text in (tuning_markdown([record]), tuning_html([record])):
        assert "Profile smoke: its numbers mean nothing." in text


def test_what_the_choice_was_made_by_is_not_shown(two: list[TuningRecord]) -> None:
    for text in (tuning_markdown(two), tuning_html(two)):
        assert "0.123" not in text
        assert ">0.310<" not in text


class TestWorthSentence:
    def test_a_method_that_is_worst_with_one_trial_and_best_with_more_is_said_to_be(
        self, make_tuning_record: Make
    ) -> None:
        steady = make_tuning_record("steady", [0.4] * 16, [0.4] * 16)
        gaps = [0.1] * 6 + [0.8] * 10
        (section,) = tuning_sections([steady, make_tuning_record("late", gaps, gaps)])
        assert worth_sentence(section) == (
            "Of 2 methods the best is steady with one trial, late with the best of 8. Ranks change: late from 2 to 1, "
            "steady from 1 to 2. That is shown for late, steady: a change is shown where 95 % of all sets of trials "
            "that are drawn again, with replacement, change in the same direction."
        )

    def test_of_four_methods_it_says_how_much_of_their_order_is_the_tuning(self, make_tuning_record: Make) -> None:
        gaps = {
            "a": [0.1, 0.1, 0.1, 0.1],
            "b": [0.2, 0.3, 0.2, 0.3],
            "c": [0.4, 0.4, 0.3, 0.5],
            "d": [0.5, 0.1, 0.9, 0.9],
        }
        (section,) = tuning_sections([make_tuning_record(name, each, each) for name, each in gaps.items()])
        said = worth_sentence(section)
        assert "Both orders have a rank correlation of 1.00 (" in said
        between, within = np.var([np.mean(each) for each in gaps.values()]), np.mean([np.var(g) for g in gaps.values()])
        share = f"{100 * between / (between + within):.0f} %"
        assert f"Of the variance of the test gaps of single trials {share} lies between methods" in said

    def test_methods_that_cannot_separate_are_left_out_of_what_it_says_besides(self, make_tuning_record: Make) -> None:
        """Controls with one vector make any order steady; who learns from the attributes is not compared at all."""
        gaps = {name: [0.20 + n / 100, 0.3, 0.4, 0.5] for n, name in enumerate("abcd")}
        between, within = np.var([np.mean(each) for each in gaps.values()]), np.mean([np.var(g) for g in gaps.values()])
        records = [make_tuning_record(name, each, each) for name, each in gaps.items()]
        records += [make_tuning_record(name, [0.6] * 4, [0.6] * 4, one_space=True) for name in ("one", "another")]
        records.append(make_tuning_record("taught", [0.1] * 4, [0.1] * 4, supervised=True))
        (section,) = tuning_sections(records)
        said = worth_sentence(section)
        assert said.startswith("Of 6 methods the best is a with one trial and with the best of 2.")
        (rest,) = re.findall(r"the 4 methods with two spaces the rank correlation is 1\.00 \(.*\), and (\d+) %", said)
        assert rest == f"{100 * between / (between + within):.0f}"
        assert uncounted_sentence(section) == "Not counted: taught (learns from the attributes)."
        assert "taught" in worth_chart(section)
        assert "taught: learning from the attributes, and not compared." in worth_table(section).notes

    def test_it_says_what_failed_trials_add_to_what_lies_within_methods(self, make_tuning_record: Make) -> None:
        gaps = {name: [0.20 + n / 10, 0.3, 0.4, None] for n, name in enumerate("abcd")}
        records = [make_tuning_record(name, each, each) for name, each in gaps.items()]
        ended = [[gap for gap in each if gap is not None] for each in gaps.values()]
        shares = []
        for found in ([[*each, 1.0] for each in ended], ended):
            between, within = np.var([np.mean(each) for each in found]), np.mean([np.var(each) for each in found])
            shares.append(100 * between / (between + within))
        said = worth_sentence(*tuning_sections(records))
        assert f"trials {shares[0]:.0f} % ({shares[1]:.0f} % without trials that failed) lies between" in said

    def test_nothing_is_said_of_the_order_of_equal_methods(self, make_tuning_record: Make) -> None:
        failed = [make_tuning_record(name, [None] * 4, [None] * 4) for name in "abcd"]
        assert worth_sentence(*tuning_sections(failed)) == (
            "Of 4 methods the best is a, b, c, d with one trial and with the best of 2. No method changes rank between."
        )

    def test_a_change_that_the_trials_do_not_show_is_called_so(self, make_tuning_record: Make) -> None:
        one = make_tuning_record("one", [0.30, 0.32, 0.34, 0.36], [0.305, 0.32, 0.33, 0.36])
        other = make_tuning_record("other", [0.31, 0.32, 0.33, 0.34], [0.32, 0.32, 0.325, 0.32])
        (section,) = tuning_sections([one, other])
        assert "That is possibly luck for one, other: " in worth_sentence(section)

    @pytest.mark.parametrize("trials", [2, 3])
    def test_too_few_trials_or_methods_say_nothing(self, trials: int, make_tuning_record: Make) -> None:
        few = [make_tuning_record(name, [0.3] * trials, [0.3] * trials) for name in ("a", "b")]
        assert worth_sentence(*tuning_sections(few)) == ""
        assert worth_sentence(*tuning_sections([make_tuning_record("a", *EARLY)])) == ""
        assert worth_chart(*tuning_sections(few)) == ""


def test_methods_that_were_not_opened_are_named_and_left_out(two: list[TuningRecord], make_tuning_record: Make) -> None:
    closed = make_tuning_record("closed", [0.3] * 4, [None] * 4)
    (section,) = tuning_sections([closed, *two])
    table = worth_table(section)
    assert [line.name for line in table.lines] == ["early", "late", "closed"]
    assert [entry.text for entry in table.lines[-1].entries] == [NO_SCORE] * 4
    assert "closed: the test split was not opened for all trials yet; `cabench open-trials` does it." in table.notes
    assert "2 methods" in worth_sentence(section)
    assert "closed" not in worth_chart(section)


def test_methods_that_are_not_compared_are_named_beside_the_first_sentence(
    two: list[TuningRecord], make_tuning_record: Make
) -> None:
    closed = make_tuning_record("closed", [0.3] * 4, [0.3, 0.3, 0.3, None])
    old = make_tuning_record("pca", *EARLY, version=discovery.method_class("pca").version - 1)
    said = "Not counted: closed (not all of its trials are opened), pca (tuned in an older version)."
    for text in (tuning_markdown([*two, closed, old]), tuning_html([*two, closed, old])):
        assert text.index("Of 2 methods the best is early") < text.index(said)
    assert "Not counted" not in tuning_markdown(two)


def test_nothing_opened_gives_a_report_all_the_same(make_tuning_record: Make) -> None:
    text = tuning_markdown([make_tuning_record("closed", [0.3] * 4, [None] * 4)])
    assert "`closed" not in text
    assert "| closed   |        4 |" in text
    assert tuning_markdown([]) == "There are no tuning records yet.\n"
    assert "There are no tuning records yet." in tuning_html([])


def test_the_gap_of_the_chosen_trial_stands_beside_that_of_the_profile(make_tuning_record: Make) -> None:
    record = make_tuning_record("early", *EARLY)
    (section,) = tuning_sections([dataclasses.replace(record, chosen=2)])
    (line,) = worth_table(section).lines
    assert [entry.text for entry in line.entries[:2]] == ["0.300", "0.320"]


def test_a_method_with_nothing_to_search_is_said_to_be_one(two: list[TuningRecord], make_tuning_record: Make) -> None:
    fixed = make_tuning_record("fixed", [0.3], [0.32], space={}, budget=4)
    (section,) = tuning_sections([*two, fixed])
    line = next(line for line in worth_table(section).lines if line.name == "fixed")
    assert [entry.text for entry in line.entries] == ["0.320"] * 4
    assert any(note.startswith("fixed: nothing to search") for note in worth_table(section).notes)


def test_methods_tuned_in_an_older_version_are_stale_and_not_compared(
    two: list[TuningRecord], make_tuning_record: Make
) -> None:
    version = discovery.method_class("pca").version
    old = make_tuning_record("pca", *EARLY, version=version - 1)
    (section,) = tuning_sections([*two, old])
    assert [line.stale for line in worth_table(section).lines if line.name == "pca"] == [True]
    assert "Of 2 methods" in worth_sentence(section)
    (section,) = tuning_sections([*two, make_tuning_record("pca", *EARLY, version=version)])
    assert "Of 3 methods" in worth_sentence(section)


def test_a_method_whose_package_cannot_be_imported_is_compared_as_one_that_is_not_installed(
    two: list[TuningRecord], make_tuning_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(name: str) -> None:
        raise UserError(f"The method {name} cannot be imported.")

    monkeypatch.setattr(discovery, "method_class", cannot)
    (section,) = tuning_sections([*two, make_tuning_record("broken", *EARLY)])
    assert "Of 3 methods" in worth_sentence(section)


def test_data_sets_and_profiles_have_sections_of_their_own(two: list[TuningRecord], make_tuning_record: Make) -> None:
    records = [
        *two,
        make_tuning_record("early", *EARLY, dataset="planted"),
        make_tuning_record("early", *EARLY, profile="paper"),
    ]
    assert [(section.dataset, section.profile) for section in tuning_sections(records)] == [
        ("dsprites", "paper"),
        ("dsprites", "quick"),
        ("planted", "quick"),
    ]
    assert [section.dataset for section in tuning_sections(records, "planted")] == ["planted"]
    other = [make_tuning_record("c", *EARLY, budget=5), make_tuning_record("d", *EARLY, criterion="label-free")]
    found = tuning_sections([*two, *other])
    assert [[record.method for record in section.records] for section in found] == [["d"], ["early", "late"], ["c"]]
    assert "precision fp32: a budget of 5 trials for each method, chosen by labels on" in tuning_markdown(other[:1])
    assert len(tuning_figures([*two, *(replace(record, criterion="label-free") for record in two)])) == 2
    with pytest.raises(UserError, match="did you mean 'planted'"):
        tuning_sections(records, "plantd")


def test_settings_from_elsewhere_are_text(make_tuning_record: Make) -> None:
    hostile = make_tuning_record("mine", *EARLY, fixed={"epochs": "<script>alert(1)</script>|`x`"})
    assert "<script>alert" not in tuning_html([hostile])
    assert r"\<script\>alert(1)\</script\>\|\`x\`" in tuning_markdown([hostile])


def test_the_page_holds_the_chart_and_every_table(two: list[TuningRecord]) -> None:
    page = tuning_html(two)
    (svg,) = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    titles = [title.text for title in ElementTree.fromstring(svg).iter("title")]
    assert titles == ["early", "late"]
    for title in ("Expected test gap of the best of n trials", "Trials", "Chosen settings"):
        assert f"<h3>{title}</h3>" in page


def test_the_command_writes_it_and_what_is_out_of_date_shows(two: list[TuningRecord], tmp_path, cabench_here) -> None:
    for record in two:
        record.write(tmp_path / "tuning")
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- cabench tables: generated by `cabench report`, do not edit -->\n<!-- end of cabench tables -->\n"
    )
    done = cabench_here("report", "--tuning", str(tmp_path / "tuning"), "--output", str(page))
    assert done.returncode == 0
    assert page.read_text("utf-8").startswith("before\n")
    assert generated_text(page) == tuning_markdown(two).strip()
    assert generated_text(page) != tuning_markdown(two[:1]).strip()
    html = tmp_path / "page.html"
    assert (
        cabench_here(
            "report", "--tuning", str(tmp_path / "tuning"), "--format", "html", "--output", str(html)
        ).returncode
        == 0
    )
    assert generated_text(html) == tuning_html(two).strip()


def test_the_command_draws_the_chart(make_tuning_record: Make, tmp_path, cabench_here) -> None:
    for record in (make_tuning_record(name, *EARLY, profile="../my profile.toml") for name in ("a", "b")):
        record.write(tmp_path / "tuning")
    done = cabench_here("report", "--tuning", str(tmp_path / "tuning"), "--figures", str(tmp_path / "figures"))
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "figures").glob("*.svg")
    assert path.name == "dsprites-.._my_profile.toml-tuning.svg"
    assert {title.text for title in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}title")} == {"a", "b"}


def test_formats_that_it_has_not_are_refused(tmp_path, cabench_here) -> None:
    (tmp_path / "tuning").mkdir()
    done = cabench_here("report", "--tuning", str(tmp_path / "tuning"), "--format", "csv")
    assert done.returncode == 2
    assert "choose --format markdown or html" in done.stderr
    done = cabench_here("report", "--tuning", str(tmp_path / "nothing"))
    assert done.returncode == 2
    assert "There is no folder of tuning records" in done.stderr
