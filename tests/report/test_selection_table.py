"""The table of rules that choose, and the sentence on which to use, on planted records of tuning."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cabench.report import latex, markdown
from cabench.report.selection_table import MEANINGS, selection_sentence, selection_tables
from cabench.report.tables import Table
from cabench.tuning.rules import RULES
from cabench.tuning.tuning_record import TuningRecord

MakeRecord = Callable[..., TuningRecord]


def planted(judged_record: MakeRecord, methods: int = 8, **skills: float) -> list[TuningRecord]:
    """Methods of 12 trials whose test gaps spread by 0.05; criteria follow these as strongly as their skill says."""
    generator = np.random.default_rng(0)
    records = []
    for number in range(methods):
        tested = 0.4 + 0.05 * generator.normal(size=12)
        tested[0] = 0.4 + 0.005 * generator.normal()
        judged = {
            name.replace("labels_", "labels:"): (
                skill * tested * (1 if name in ("labels_100", "loss") else -1) + 0.05 * generator.normal(size=12)
            ).tolist()
            for name, skill in skills.items()
        }
        records.append(judged_record(tested.tolist(), judged, gaps=tested.tolist(), method=f"method{number}"))
    return records


def entries(table: Table, name: str) -> list[str]:
    (line,) = (line for line in table.lines if line.name == name)
    return [entry.text for entry in line.entries]


def test_every_rule_has_a_row_and_what_is_not_known_is_said(judged_record: MakeRecord) -> None:
    (table,) = selection_tables(planted(judged_record, told=20, apart=0))
    assert [line.name for line in table.lines] == [
        "labels (upper envelope)",
        "labels:100",
        "label-free",
        "told",
        "apart",
        "loss",
        "the profile's own settings",
        "a trial at random",
    ]
    assert entries(table, "labels (upper envelope)")[:2] == ["1.000", "0.000"]
    assert entries(table, "told")[-1] == "8"
    assert entries(table, "loss") == ["–", "–", "–", "–", "0"]
    assert any(note.startswith("Not known by loss: method0, ") for note in table.notes)


def test_every_rule_is_explained_below_the_table(judged_record: MakeRecord) -> None:
    (table,) = selection_tables(planted(judged_record, told=20))
    assert set(MEANINGS) == set(RULES)
    assert any(all(f"{name}: {meaning}." in note for name, meaning in MEANINGS.items()) for note in table.notes)


def test_the_random_trial_loses_what_trials_lose_on_average(judged_record: MakeRecord) -> None:
    records = planted(judged_record)
    regrets = [
        np.mean([gap - min(record_gaps) for gap in record_gaps])
        for record_gaps in ([trial.outcomes[0].test_gap for trial in record.trials] for record in records)
    ]
    (table,) = selection_tables(records)
    assert entries(table, "a trial at random")[:2] == ["–", f"{np.mean(regrets):.3f}"]


def test_what_rounds_to_0_has_no_sign(judged_record: MakeRecord) -> None:
    records = [judged_record([0.3, 0.3002], {"told": [0.1, 0.2]}, method=name) for name in "ab"]
    (table,) = selection_tables(records)
    assert entries(table, "told")[1:4] == ["0.000", "0.000", "0.000"]


def test_a_rule_with_skill_is_advised_with_its_interval(judged_record: MakeRecord) -> None:
    said = selection_sentence(planted(judged_record, told=20, apart=0, salient_rank=0, labels_100=20))
    better = "a smaller test gap than with the profile's own settings is shown for choices by"
    gain = r"by 0\.0[1-9]\d ± 0\.0[1-9]\d over 8 methods\."
    assert re.match(
        rf"Without labels, {better} told, {gain} With a hundred labels, {better} labels:100, {gain} These are", said
    )


def test_a_hundred_labels_may_be_needed(judged_record: MakeRecord) -> None:
    said = selection_sentence(planted(judged_record, told=0, labels_100=20))
    assert "Without labels, no rule is shown to choose better than the profile's own settings" in said
    assert "choices by labels:100" in said


def test_no_rule_is_advised_without_evidence(judged_record: MakeRecord) -> None:
    said = selection_sentence(planted(judged_record, told=0, apart=0, loss=0, labels_100=0))
    nothing = "no rule is shown to choose better than the profile's own settings, nor than a trial at random."
    assert said.startswith(f"Without labels, {nothing} With a hundred labels, {nothing} These are 95 %")
    assert "corrected for the 5 rules" in said


def test_rules_that_are_better_than_chance_alone_are_named(judged_record: MakeRecord) -> None:
    """Profiles whose own settings are among the best: no rule gains over these, and one with skill does over chance."""
    records = []
    for record in planted(judged_record, told=20, apart=0):
        outcome = replace(record.trials[0].outcomes[0], test_gap=0.3)
        records.append(replace(record, trials=(replace(record.trials[0], outcomes=(outcome,)), *record.trials[1:])))
    said = selection_sentence(records)
    without, with_labels = said.split(" With a hundred labels, ")
    assert re.search(
        r"settings; better than a trial at random choose: told, by 0\.0\d\d ± 0\.0\d\d over 8 methods\.$", without
    )
    assert with_labels.startswith("nothing is known. These are")


def test_what_is_known_against_chance_is_said_without_labels_though_labels_win(judged_record: MakeRecord) -> None:
    """`told` alone knows which trials are bad, so that it beats chance; labels find the one that is better."""
    records = []
    for number in range(8):
        gaps = [0.3, 0.2 + 0.01 * number, *[0.6] * 10]
        judged = {"told": [3.0, 2.0, *[1.0] * 10], "labels:100": gaps}
        records.append(judged_record(gaps, judged, gaps=gaps, method=f"method{number}"))
    without, with_labels = selection_sentence(records).split(" With a hundred labels, ")
    assert without.startswith(
        "Without labels, no rule is shown to choose better than the profile's own settings; better"
    )
    assert "told, by 0.2" in without
    assert "is shown for choices by labels:100, by 0.0" in with_labels


def test_a_gain_that_tables_would_show_as_0_is_none(judged_record: MakeRecord) -> None:
    records = [
        judged_record([0.3, 0.2999 - number / 1e6, 0.3], {"told": [0.1, 0.2, 0.0]}, method=f"method{number}")
        for number in range(8)
    ]
    assert "no rule is shown to choose better" in selection_sentence(records)


def test_where_no_rule_judges_anything_nothing_is_said(judged_record: MakeRecord) -> None:
    records = [judged_record([None] * 5, {}, gaps=[None] * 5, method=name) for name in "abc"]
    assert selection_sentence(records) == ""


@pytest.mark.parametrize("methods", [1, 2])
def test_few_methods_show_nothing(judged_record: MakeRecord, methods: int) -> None:
    said = selection_sentence(planted(judged_record, methods, told=20))
    assert "is shown for choices" not in said
    assert bool(said) == (methods == 2)


def test_records_whose_test_split_was_not_opened_say_nothing(judged_record: MakeRecord) -> None:
    records = [judged_record([None, None], {"told": [0.1, 0.2]}, method=name) for name in "ab"]
    assert selection_tables(records) == []
    assert selection_sentence(records) == ""


def test_what_does_not_count_is_named_once_with_its_reasons(judged_record: MakeRecord) -> None:
    records = [
        replace(judged_record([0.1, None], {}, method="taught"), supervised=True),
        replace(judged_record([0.1], {}, method="one"), one_space=True),
    ]
    (table,) = selection_tables([*planted(judged_record), *records])
    assert [note for note in table.notes if "taught" in note or "one (" in note] == [
        "Not counted in this table: taught (learns from the attributes; not all of its trials are opened), "
        "one (one vector for both spaces; nothing to choose)."
    ]


def test_methods_of_which_trials_failed_are_named(judged_record: MakeRecord) -> None:
    failed = judged_record([None, 0.2], {}, gaps=[None, 0.2], method="failed")
    (table,) = selection_tables([*planted(judged_record), failed])
    assert any(note.startswith("Some trials failed of failed; ") for note in table.notes)


def test_formats_name_the_rows(judged_record: MakeRecord) -> None:
    (table,) = selection_tables(planted(judged_record))
    assert markdown.table_text(table).startswith("| chosen by")
    assert "chosen by & " in latex._environment(table, "")
