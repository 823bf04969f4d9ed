"""Comparisons of methods: who takes part, who is told apart, who may be the best, and what cannot be tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from cabench import discovery
from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.report.comparison import OTHER_IMAGES, Mark, against, compare, mark, takes_part
from cabench.report.conclusions import conclusion
from cabench.report.crossed import FEW_GROUPS, ONE_SEED, difference
from cabench.report.multiplicity import LEVEL, holm, shaffer
from cabench.report.quantities import gap_of
from cabench.report.row_values import NOT_KEPT, sampled
from cabench.report.summary import Row, sections

MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]

GAPS = {"best": [0.10, 0.11, 0.12], "close": [0.11, 0.12, 0.13], "far": [0.60, 0.62, 0.61], "wide": [0.2, 0.5, 0.3]}


def rows_of(records: list[Record]) -> tuple[Row, ...]:
    (section,) = sections(records)
    return section.rows


class TestWhoTakesPart:
    @pytest.mark.parametrize("name", ["chance", "oracle", "random_encoder", "supervised", "sepclr_supervised"])
    def test_not_methods_that_learn_nothing_or_are_told_the_answers(self, make_record: MakeRecord, name: str) -> None:
        (row,) = rows_of([make_record(method__name=name, method__version=discovery.method_class(name).version)])

        assert not row.stale
        assert not takes_part(row)

    @pytest.mark.parametrize("name", ["pca", "someone_elses"])
    def test_methods_that_learn_and_those_of_packages_that_are_not_here(
        self, make_record: MakeRecord, name: str
    ) -> None:
        (row,) = rows_of([make_record(method__name=name)])

        assert takes_part(row)

    def test_not_stale_or_failed_ones(self, make_record: MakeRecord, make_failed: MakeRecord) -> None:
        rows = rows_of([make_record(method__version=-1), make_failed(method__label="broken")])

        assert [takes_part(row) for row in rows] == [False, False]


class TestCompare:
    def test_corrects_the_p_values_of_all_pairs_together(self, make_records: MakeRecords) -> None:
        rows = {row.name: row for row in rows_of(make_records(GAPS))}
        parts = {name: sampled(row, gap_of) for name, row in rows.items()}
        raw = {
            frozenset(pair): difference(*(parts[name].sample for name in pair), parts["best"].groups).p_value
            for pair in combinations(rows, 2)
        }

        found = compare(list(rows.values()), gap_of)

        assert found.p_values == pytest.approx(shaffer(raw))
        assert list(found.means) == ["best", "close", "wide", "far"]
        assert found.means == pytest.approx({name: np.mean(values) for name, values in GAPS.items()})
        assert found.untested == {}

    def test_tells_the_worse_from_those_that_may_be_as_good(self, make_records: MakeRecords) -> None:
        found = compare(rows_of(make_records(GAPS)), gap_of)

        assert (found.best, found.worse, found.not_worse) == ("best", ["far"], ["close", "wide"])
        assert found.may_be_best == found.bold == ["best", "close", "wide"]

    def test_a_single_seed_and_missing_contributions_are_named_and_take_no_part(
        self, make_records: MakeRecords
    ) -> None:
        lost = [replace(record, contributions=None) for record in make_records({"lost": [0.0, 0.01, 0.02]})]
        records = [*make_records({**GAPS, "once": [0.05]}), *lost]

        found = compare(rows_of(records), gap_of)

        assert found.untested == {"once": ONE_SEED, "lost": NOT_KEPT}
        usual = compare(rows_of(make_records(GAPS)), gap_of)
        assert replace(found, untested={}, groups=None) == replace(usual, groups=None)
        assert found.p_values == usual.p_values

    def test_seeds_need_not_be_the_same_ones(self, make_record: MakeRecord, make_records: MakeRecords) -> None:
        other = [make_record(seed, gap=0.6 + seed / 100, method__label="far") for seed in (7, 8)]

        found = compare(rows_of([*make_records({"best": GAPS["best"]}), *other]), gap_of)

        assert found.worse == ["far"]

    def test_equal_vectors_under_all_seeds_leave_no_variance_over_seeds(self, make_records: MakeRecords) -> None:
        fixed = make_records({"a": [0.1] * 3, "b": [0.1004] * 3}, vectors_sha256="ab")

        found = compare(rows_of(fixed), gap_of)

        assert found.limits.group_share == 1
        assert found.not_worse == ["b"]

    def test_vectors_are_not_taken_for_equal_where_their_digests_are_unknown(self, make_records: MakeRecords) -> None:
        (row, *_) = rows_of(make_records({"a": [0.1] * 3}))
        (known, *_) = rows_of(make_records({"a": [0.1] * 3}, vectors_sha256="ab"))
        (single, *_) = rows_of(make_records({"a": [0.1]}, vectors_sha256="ab"))

        assert [row.is_deterministic, known.is_deterministic, single.is_deterministic] == [False, True, False]

    def test_rows_scored_on_other_images_are_not_compared(self, make_records: MakeRecords) -> None:
        def with_other_groups(record: Record) -> Record:
            table = record.contributions._replace(rows=record.contributions.rows + 1)
            return replace(record, contributions=table)

        records = [*make_records(GAPS), *map(with_other_groups, make_records({"other": [0.3, 0.4, 0.5]}))]

        assert compare(rows_of(records), gap_of).untested == {"other": OTHER_IMAGES}

    def test_too_few_groups_leave_nothing_to_be_said(self, make_records: MakeRecords) -> None:
        def of_two_groups(record: Record) -> Record:
            rows = np.where(np.arange(40) < 2, 10, 0)
            values = np.where(rows > 0, 0.01 * np.sign(np.arange(40) - 0.5), 0.0)
            scores = [part._replace(values=values, rows=rows) for part in record.contributions.scores]
            return replace(record, contributions=record.contributions._replace(rows=rows, scores=scores))

        rows = rows_of([of_two_groups(record) for record in make_records(GAPS)])
        found = compare(rows, gap_of)

        assert found.untested == dict.fromkeys(["best", "close", "wide", "far"], FEW_GROUPS)
        assert (found.means, found.bold, found.limits.degrees) == ({}, (), 1)
        assert {mark(row, found) for row in rows} == {Mark.NONE}

    def test_yardsticks_and_stale_rows_change_nothing(self, make_records: MakeRecords) -> None:
        version = discovery.method_class("chance").version
        others = [
            *make_records({"chance": [0.0, 0.01]}, method__name="chance", method__version=version),
            *make_records({"best": [0.0, 0.02]}, method__version=-1),
        ]

        found, usual = (compare(rows_of(make_records(GAPS) + more), gap_of) for more in (others, []))

        assert replace(found, groups=None) == replace(usual, groups=None)
        assert found.p_values == usual.p_values


class TestMarks:
    def test_bold_are_those_of_which_one_is_the_best(self, make_records: MakeRecords) -> None:
        rows = rows_of(make_records(GAPS))
        found = compare(rows, gap_of)

        assert [row.name for row in rows if mark(row, found) is Mark.BEST] == ["best", "close", "wide"]

    def test_nothing_is_bold_where_nobody_can_be_left_out(self, make_records: MakeRecords) -> None:
        rows = rows_of(make_records({"a": [0.1, 0.2, 0.3], "b": [0.12, 0.19, 0.35]}))
        found = compare(rows, gap_of)

        assert list(found.may_be_best) == ["a", "b"]
        assert {mark(row, found) for row in rows} == {Mark.NONE}

    @pytest.mark.parametrize("gaps", [{"a": [0.1, 0.2, 0.3]}, {"a": [0.1], "b": [0.9]}, {}])
    def test_nothing_is_bold_where_nothing_can_be_compared(
        self, make_records: MakeRecords, gaps: dict[str, list[float]]
    ) -> None:
        rows = rows_of(make_records({**gaps, "c": [0.5]}))

        assert not compare(rows, gap_of).bold


class TestAgainst:
    def test_corrects_for_the_differences_from_the_reference_alone(self, make_records: MakeRecords) -> None:
        gaps = {"ours": [0.30, 0.31, 0.32], **GAPS}
        rows = {row.name: row for row in rows_of(make_records(gaps))}
        ours = sampled(rows["ours"], gap_of)
        raw = {name: difference(sampled(rows[name], gap_of).sample, ours.sample, ours.groups).p_value for name in GAPS}
        shown = {name for name, p in holm(raw).items() if p < LEVEL}

        found = against(list(rows.values()), gap_of, "ours")

        assert set(found.better) == shown & {"best", "close"} == {"best", "close"}
        assert list(found.worse) == ["far"]
        assert list(found.alike) == ["wide"]

    def test_a_yardstick_can_be_the_reference(self, make_records: MakeRecords) -> None:
        version = discovery.method_class("chance").version
        control = make_records({"chance": [0.5, 0.51, 0.49]}, method__name="chance", method__version=version)

        found = against(rows_of([*make_records(GAPS), *control]), gap_of, "chance")

        assert set(found.better) == {"best", "close"}

    def test_a_reference_of_one_seed_is_said_not_to_be_testable(self, make_records: MakeRecords) -> None:
        found = against(rows_of(make_records({**GAPS, "ours": [0.3]})), gap_of, "ours")

        assert (found.better, found.worse, found.alike) == ((), (), ())
        assert found.untested == {"ours": ONE_SEED}

    def test_a_name_that_is_not_there_is_refused_with_the_closest(self, make_records: MakeRecords) -> None:
        with pytest.raises(UserError, match="did you mean 'close'"):
            sections(make_records(GAPS), reference="clos")

    def test_data_sets_without_the_reference_are_compared_as_usual_and_say_so(self, make_records: MakeRecords) -> None:
        elsewhere = {"far": [0.1, 0.2, 0.15], "near": [0.5, 0.6, 0.55]}
        records = [*make_records(GAPS), *make_records(elsewhere, dataset__label="x")]

        here, there = map(conclusion, sections(records, reference="best"))

        assert here.startswith("Against best, declared beforehand")
        assert there.startswith("Over 3 seeds")
        assert "best has no current record here, so that all pairs are compared." in there


def test_groups_are_those_of_all_test_rows_for_the_gap(make_records: MakeRecords) -> None:
    (row, *_) = rows_of(make_records({"a": [0.1, 0.2]}))
    found, table = sampled(row, gap_of).groups, row.records[0].contributions

    assert np.array_equal(found.rows, table.rows)
    assert np.array_equal(found.strata, table.strata)
