"""What reports compare of records: quantities with their slopes, and what test groups add to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cabench.evaluation.evaluate import VERSION
from cabench.evaluation.score import Score
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record
from cabench.report.crossed import Sample, interval
from cabench.report.quantities import Quantity, distance_of, gap_of, leaked_of, score_of, unwanted_of, wanted_of
from cabench.report.row_values import NOT_KEPT, NOT_KNOWN, interval_of, over_seeds, sampled
from cabench.report.summary import Row, column_of, sections

MakeScore = Callable[..., Score]
MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]


def only_row(records: list[Record]) -> Row:
    (section,) = sections(records)
    (row,) = section.rows
    return row


@pytest.mark.parametrize("quantity", [gap_of, wanted_of, unwanted_of, leaked_of])
def test_slopes_say_how_a_quantity_changes_with_each_score(make_record: MakeRecord, quantity: Quantity) -> None:
    record, step = make_record(value=0.8, leak=0.4), 1e-6
    found = quantity(record)

    for place, score in enumerate(record.scores):
        moved = list(record.scores)
        moved[place] = replace(score, value=score.value + step)
        change = quantity(replace(record, scores=tuple(moved))).value - found.value
        assert found.slopes.get(place, 0.0) == pytest.approx(change / step, abs=1e-6)


@pytest.mark.parametrize(
    ("space", "value", "slope"), [("salient", 0.8, -1), ("salient", 1.0, 0), ("common", 0.3, 1), ("common", 0.05, 0)]
)
def test_the_distance_from_the_ideal_falls_grows_or_is_cut(
    make_score: MakeScore, make_record: MakeRecord, space: str, value: float, slope: float
) -> None:
    score = make_score(space, value)

    found = distance_of(column_of(score))(make_record(scores=(make_score("salient", 0.5, "auc"), score)))

    assert found.value == pytest.approx({"salient": 1 - value, "common": max(0, value - 0.1)}[space])
    assert found.slopes == {1: slope}


def test_what_groups_add_is_the_sum_over_scores_of_slope_times_contribution(make_record: MakeRecord) -> None:
    row = only_row([make_record(0), make_record(1, value=0.85)])

    found = sampled(row, gap_of)

    added = [
        sum(slope * record.contributions.scores[place].values for place, slope in gap_of(record).slopes.items())
        for record in row.records
    ]
    assert found.sample.contributions == pytest.approx(np.mean(added, axis=0))
    assert found.sample.contributions.sum() == pytest.approx(0, abs=1e-12)


def test_an_interval_is_that_of_seeds_and_test_groups_together(make_record: MakeRecord) -> None:
    row = only_row([make_record(0, 0.8), make_record(1, 0.9), make_record(2, 0.85)])
    column = column_of(row.records[0].scores[2])
    parts = np.array([record.contributions.scores[2].values for record in row.records])
    groups = sampled(row, score_of(column)).groups

    assert over_seeds(row, score_of(column)) == [0.8, 0.9, 0.85]
    assert interval_of(row, score_of(column)) == interval(
        Sample(np.array([0.8, 0.9, 0.85]), parts.mean(axis=0), False), groups
    )


def test_one_score_is_scored_on_its_own_groups(make_record: MakeRecord) -> None:
    record = make_record()
    rows = record.contributions.scores[2].rows.copy()
    rows[:20] = 0
    scores = list(record.contributions.scores)
    scores[2] = scores[2]._replace(rows=rows)
    row = only_row([replace(record, contributions=record.contributions._replace(scores=scores))])

    assert (sampled(row, score_of(column_of(record.scores[2]))).groups.rows == rows).all()
    assert (sampled(row, gap_of).groups.rows == 10).all()


def test_missing_contributions_are_given_as_the_reason(make_record: MakeRecord) -> None:
    record = make_record()
    scores = [part._replace(values=None) for part in record.contributions.scores]
    unknown = replace(record, contributions=record.contributions._replace(scores=scores))

    assert sampled(only_row([replace(record, contributions=None)]), gap_of) == NOT_KEPT
    assert sampled(only_row([unknown]), gap_of) == NOT_KNOWN
    assert interval_of(only_row([unknown]), gap_of) is None


def test_no_gap_is_made_of_the_scores_of_another_evaluation_or_of_one_space(make_record: MakeRecord) -> None:
    old = make_record(evaluation={**current_evaluation(), "version": VERSION - 1})
    one_space = make_record(separation_gap=None)

    for record in (old, one_space):
        assert [of(record) for of in (gap_of, wanted_of, unwanted_of, leaked_of)] == [None] * 4
