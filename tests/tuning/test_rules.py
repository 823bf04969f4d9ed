"""Rules on planted tables of trials: which trial each takes, and what becomes of trials that it cannot judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cabench.errors import UserError
from cabench.tuning.choice import choose, finalists
from cabench.tuning.rules import LABEL_FREE, LABELS, RULES, tuning_rule
from cabench.tuning.tuning_record import Outcome, TrialEntry, TuningRecord

MakeRecord = Callable[..., TuningRecord]
CRITERIA = {
    "labels:100": [0.5, 0.4, 0.1, 0.3],
    "told": [0.1, 0.9, 0.5, 0.2],
    "apart": [0.2, 0.1, 0.9, 1.0],
    "stable": [0.9, 0.2, 0.8, 0.3],
    "loss": [4.0, 3.0, 2.0, 1.0],
    "salient_rank": [5.0, 4.0, 3.0, 1.5],
}


def chosen(record: TuningRecord, rule: str) -> int:
    return choose(record.trials, RULES[rule]).number


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("labels", 1), ("labels:100", 2), ("told", 1), ("apart", 3), ("loss", 3), ("label-free", 2)],
)
def test_each_rule_takes_its_best_trial(judged_record: MakeRecord, rule: str, expected: int) -> None:
    record = judged_record([None] * 4, CRITERIA, gaps=[0.4, 0.2, 0.3, 0.5])
    assert chosen(record, rule) == expected


def test_a_collapsed_trial_is_not_taken_though_it_looks_best(judged_record: MakeRecord) -> None:
    criteria = {"told": [0.1, 0.9], "apart": [0.1, 1.0], "salient_rank": [2.0, 1.99]}
    assert chosen(judged_record([None] * 2, criteria), LABEL_FREE) == 0


def test_collapsed_trials_stand_behind_all_others(judged_record: MakeRecord) -> None:
    criteria = {"told": [0.9, 0.1, 0.5], "apart": [1.0, 0.1, 0.5], "salient_rank": [1.0, 3.0, 3.0]}
    record = judged_record([None] * 3, criteria)
    assert [trial.number for trial in finalists(record.trials, RULES[LABEL_FREE])] == [2, 1, 0]


def test_a_method_with_one_salient_dimension_is_tuned_all_the_same(judged_record: MakeRecord) -> None:
    criteria = {"told": [0.1, 0.9], "apart": [0.1, 1.0], "salient_rank": [1.0, 1.0]}
    assert chosen(judged_record([None] * 2, criteria), LABEL_FREE) == 1


def test_stability_counts_only_where_all_trials_have_it(judged_record: MakeRecord) -> None:
    criteria = {"told": [0.5, 0.6, 0.1], "apart": [0.5, 0.6, 0.1], "salient_rank": [3.0] * 3}
    without = judged_record([None] * 3, {**criteria, "stable": [0.9, 0.1, None]})
    costs = RULES[LABEL_FREE].costs(without.trials)
    assert costs == {0: 2.0, 1: 1.0, 2: 3.0}
    known = judged_record([None] * 3, {**criteria, "stable": [0.9, 0.1, 0.2]})
    assert RULES[LABEL_FREE].costs(known.trials) == pytest.approx({0: 5 / 3, 1: 5 / 3, 2: 8 / 3})


@pytest.mark.parametrize("rule", list(RULES))
def test_trials_that_failed_are_not_judged(judged_record: MakeRecord, rule: str) -> None:
    criteria = {name: [None, *values[1:]] for name, values in CRITERIA.items()}
    record = judged_record([None] * 4, criteria, gaps=[None, 0.2, 0.3, 0.4])
    assert set(RULES[rule].costs(record.trials)) == {1, 2, 3}
    assert chosen(record, rule) != 0


@pytest.mark.parametrize("rule", list(RULES))
def test_the_profile_stays_where_a_rule_judges_nothing(judged_record: MakeRecord, rule: str) -> None:
    record = judged_record([None] * 2, {}, gaps=[None, None])
    assert RULES[rule].costs(record.trials) == {}
    assert chosen(record, rule) == 0
    assert finalists(record.trials, RULES[rule]) == []


def test_of_equals_the_earlier_is_taken(judged_record: MakeRecord) -> None:
    criteria = {name: [values[0]] * 3 for name, values in CRITERIA.items()}
    record = judged_record([None] * 3, criteria)
    assert {chosen(record, rule) for rule in RULES} == {0}


def _again(trial: TrialEntry, **changes: object) -> TrialEntry:
    """A trial that ran under a second seed as well."""
    more = replace(trial.outcomes[0], seed=1001, **changes)
    return replace(trial, outcomes=(*trial.outcomes, more))


def test_the_second_look_may_change_the_choice_and_the_finalists_stay(judged_record: MakeRecord) -> None:
    told = [0.9, 0.8, 0.7, 0.6, 0.5]
    first = judged_record([None] * 5, {"told": told})
    rule = RULES["told"]
    luck: Outcome = first.trials[0].outcomes[0]
    looked = [_again(first.trials[0], criteria={**luck.criteria, "told": 0.1}), *map(_again, first.trials[1:4])]
    trials = [*looked, first.trials[4]]
    assert [trial.number for trial in finalists(trials, rule)] == [0, 1, 2, 3]
    assert choose(trials, rule).number == 1


@pytest.mark.parametrize("rule", [LABELS, "told"])
def test_a_trial_that_fails_under_its_second_seed_is_not_chosen(judged_record: MakeRecord, rule: str) -> None:
    record = judged_record([None] * 2, {"told": [0.9, 0.1]}, gaps=[0.1, 0.4])
    trials = [_again(record.trials[0], gap=None, criteria={}, error="out of memory"), _again(record.trials[1])]
    assert choose(trials, RULES[rule]).number == 1


def test_settings_are_tuned_by_the_gap_or_without_labels() -> None:
    assert tuning_rule("label-free").labels == "none"
    with pytest.raises(UserError, match=r"[Cc]riterion 'label_free'.*did you mean 'label-free'"):
        tuning_rule("label_free")
