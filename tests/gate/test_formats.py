"""What is said of an outcome: for people, as Markdown and as JUnit XML."""

from __future__ import annotations

import dataclasses
import re
from xml.etree import ElementTree

import pytest

from cabench.experiment.identity import current_evaluation
from cabench.gate.baseline import Baseline
from cabench.gate.formats import changes_text, junit, markdown, text
from cabench.gate.gate import Outcome, check, new_baseline

THEN = {"shape": [0.90, 0.91, 0.92], "shape leak": [0.70, 0.69, 0.71]}
NOW = {"shape": [0.80, 0.81, 0.82], "shape leak": [0.70, 0.69, 0.71]}
GAPS = [0.20, 0.21, 0.19]
HOSTILE = '<b>|"pca" & *co*\x1b[31m\x00\ud800'


@pytest.fixture
def failed(make_records) -> Outcome:
    return check(new_baseline(make_records(THEN, GAPS)), make_records(NOW, GAPS))


@pytest.fixture
def passed(make_records) -> Outcome:
    return check(new_baseline(make_records(THEN, GAPS)), make_records(THEN, GAPS))


@pytest.fixture
def hostile(make_records) -> Outcome:
    there = new_baseline(make_records(THEN, GAPS, method__label=HOSTILE))
    return check(there, make_records(NOW, GAPS, method__label=HOSTILE, provenance={}))


def test_people_are_told_what_how_much_and_why(failed):
    said = text(failed)

    assert said.startswith("The gate failed: 1 of 3 metrics got worse.")
    assert (
        "- planted / pca (quick, fp32): The salient space tells less of what it is there for. shape, salient space, "
        "balanced accuracy went from 91.0 ± 1.0 (3 seeds) to 81.0 ± 1.0 (3 seeds), a loss of 10.0 points. "
        "It counts: a loss of more than 0.5 points is shown (p < 0.0001, "
        "corrected for 1 test, below 0.05)."
    ) in said
    assert "Of 3 metrics, 2 are the baseline's to the last bit. 1 was tested for a loss of more than 0.5 points" in said
    assert "at most 5 % of comparisons without a change fail" in said


def test_people_are_told_that_nothing_got_worse(passed):
    said = text(passed)

    assert said.startswith("The gate passed: none of 3 metrics is shown to be worse.")
    assert "3 are the baseline's to the last bit" in said


def test_a_leak_and_the_gap_are_said_in_their_own_words(make_records):
    leaky = {**THEN, "shape leak": [0.80, 0.79, 0.81]}
    outcome = check(new_baseline(make_records(THEN, GAPS)), make_records(leaky, [gap + 0.1 for gap in GAPS]))
    said = text(outcome)

    assert "The common space tells more of what it should not know." in said
    assert "separation gap went from 0.200 ± 0.010 (3 seeds) to 0.300 ± 0.010 (3 seeds), a loss of 0.100" in said


def test_of_many_losses_the_largest_are_told_and_all_are_in_the_table(make_records):
    labels = [f"method {number}" for number in range(12)]
    then, now = (
        [record for label in labels for record in make_records(scores, GAPS, method__label=label)]
        for scores in (THEN, NOW)
    )
    outcome = check(new_baseline(then), now)

    for said in (text(outcome), markdown(outcome)):
        assert said.count("tells less of what it is there for") == 10
        assert "2 smaller losses in the table below" in said
        assert all(label in said for label in labels)
    assert junit(outcome).count("tells less of what it is there for") == 12


def test_one_seed_is_said_to_be_too_few(make_records):
    outcome = check(new_baseline(make_records({"shape": [0.9]})), make_records({"shape": [0.5]}))

    assert "The gate failed: 1 loss could not be tested." in text(outcome)
    assert "Run more seeds." in text(outcome)


def test_a_cell_that_is_missing_is_named(make_records):
    outcome = check(new_baseline(make_records(THEN, GAPS)), make_records(THEN, GAPS, method__label="another"))

    for said in (text(outcome), markdown(outcome)):
        assert "The gate failed: 1 problem." in said
        assert "it is in the baseline but not in the results" in said


def test_changes_are_shown_in_both_directions(make_records, failed):
    better = check(new_baseline(make_records(NOW, GAPS)), make_records(THEN, GAPS))

    assert "+10.0" in changes_text(failed)
    assert "-10.0" in changes_text(better)
    assert "No metric has changed." in changes_text(check(new_baseline(make_records(THEN)), make_records(THEN)))


def test_where_the_evaluation_changed_that_is_shown_in_place_of_changes(make_records):
    baseline = new_baseline(make_records(THEN))
    older = {
        name: dataclasses.replace(group, evaluation={**group.evaluation, "version": 2})
        for name, group in baseline.groups.items()
    }

    said = changes_text(check(Baseline(older), make_records(THEN)))

    assert "No metric can be compared." in said
    assert f"the evaluation changed (version 2 in the baseline, {current_evaluation()['version']} now)" in said


def test_markdown_holds_tables_of_equal_columns(failed):
    said = markdown(failed)

    assert said.startswith("## ❌ The gate failed")
    for block in re.findall(r"(?:^\|.*\n)+", said, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}) == 1
    assert "<details><summary>All metrics</summary>" in said


def test_markdown_of_a_hostile_name_stays_text(hostile):
    said = markdown(hostile)

    assert "<b>" not in said.replace("\\<b\\>", "")
    assert '\\<b\\>\\|"pca" \\& \\*co\\*' in said


def test_text_of_a_hostile_name_moves_no_cursor(hostile):
    for said in (text(hostile), changes_text(hostile)):
        assert r"*co*\x1b[31m\x00\ud800" in said
        assert not {"\x1b", "\0", "\ud800"} & set(said)


def test_junit_has_a_case_for_each_metric_and_a_failure_with_the_sentence(failed):
    root = ElementTree.fromstring(junit(failed))
    (suite,) = root
    cases = suite.findall("testcase")

    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    assert {case.get("classname") for case in cases} == {"gate.planted / pca (quick, fp32)"}
    (failure,) = suite.iter("failure")
    assert "a loss of 10.0 points" in failure.get("message")
    assert "The gate failed" in suite.find("system-out").text


def test_junit_of_problems_counts_them(make_records):
    outcome = check(new_baseline(make_records(THEN, GAPS)), make_records(THEN, GAPS, method__label="another"))
    (suite,) = ElementTree.fromstring(junit(outcome))

    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert "not in the results" in suite.find("testcase/failure").get("message")


def test_junit_of_a_hostile_name_is_xml_and_keeps_the_name(hostile):
    document = junit(hostile)
    (suite,) = ElementTree.fromstring(document.encode("utf-8"))

    assert '<b>|"pca" & *co*\\x1b[31m\\x00\\ud800' in suite.find("testcase").get("classname")
