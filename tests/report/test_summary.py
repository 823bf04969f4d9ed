"""Records gathered into sections and rows: what is put together, what is kept apart, and in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import permutations

import pytest

from cabench import discovery
from cabench.errors import UserError
from cabench.evaluation.evaluate import VERSION as EVALUATION_VERSION
from cabench.evaluation.probes import ProbeConfig
from cabench.evaluation.score import Score
from cabench.experiment.record import Record
from cabench.report.summary import Column, Row, Section, column_of, find, of_datasets, sections

MakeScore = Callable[..., Score]
MakeRecord = Callable[..., Record]

PCA_VERSION = discovery.method_class("pca").version
PLANTED_VERSION = discovery.dataset_class("planted").version
ANSWER = Column("digit", "salient", "target", "balanced_accuracy", "salient")


def only_section(records: Sequence[Record]) -> Section:
    (section,) = sections(records)
    return section


def values(row: Row, column: Column | None = None) -> list[float]:
    return [score.value for score in row.scores(column or ANSWER)]


def names(section: Section) -> list[str]:
    return [row.name for row in section.rows]


class TestRows:
    def test_seeds_of_one_configuration_make_one_row_in_order_of_seed(self, make_record: MakeRecord) -> None:
        (row,) = only_section([make_record(2, 0.7), make_record(0, 0.9), make_record(1, 0.8)]).rows

        assert [record.seed for record in row.records] == [0, 1, 2]
        assert row.name == "pca"
        assert values(row) == [0.9, 0.8, 0.7]
        assert (len(row.failures), row.stale) == (0, False)

    def test_another_configuration_under_one_label_makes_another_row_named_by_what_differs(
        self, make_record: MakeRecord
    ) -> None:
        section = only_section([make_record(gap=0.1), make_record(gap=0.2, method__config={"components": 8})])

        assert names(section) == ["pca (components=32)", "pca (components=8)"]

    def test_a_field_that_one_of_three_configurations_changes_is_shown_on_all(self, make_record: MakeRecord) -> None:
        configs = [{"components": 8, "whiten": 0}, {"components": 8, "whiten": 1}, {"components": 9, "whiten": 0}]

        section = only_section([make_record(gap=i / 10, method__config=config) for i, config in enumerate(configs)])

        assert names(section) == [f"pca (components={c['components']}, whiten={c['whiten']})" for c in configs]

    def test_labels_of_one_method_make_rows_that_need_no_field(self, make_record: MakeRecord) -> None:
        section = only_section(
            [
                make_record(gap=0.1),
                make_record(gap=0.2, method__label="pca_small", method__config={"components": 8, "whiten": 0}),
            ]
        )

        assert names(section) == ["pca", "pca_small"]

    def test_failed_seeds_are_counted_beside_those_that_ended_well(
        self, make_record: MakeRecord, make_failed: MakeRecord
    ) -> None:
        (row,) = only_section([make_record(0), make_failed(1), make_failed(2)]).rows

        assert ([record.seed for record in row.records], len(row.failures)) == ([0], 2)

    def test_a_row_of_failures_alone_is_kept(self, make_failed: MakeRecord) -> None:
        (row,) = only_section([make_failed(0), make_failed(1)]).rows

        assert (row.name, row.records, len(row.failures)) == ("pca", (), 2)


class TestStale:
    @pytest.mark.parametrize("version", [PCA_VERSION - 1, PCA_VERSION + 1])
    def test_another_version_of_the_method_is_stale(self, make_record: MakeRecord, version: int) -> None:
        (row,) = only_section([make_record(method__version=version)]).rows

        assert row.stale

    def test_another_version_of_the_builder_is_stale(self, make_record: MakeRecord) -> None:
        (row,) = only_section([make_record(dataset__builder_version=PLANTED_VERSION - 1)]).rows

        assert row.stale

    def test_another_version_of_the_evaluation_is_stale(self, make_record: MakeRecord) -> None:
        (row,) = only_section([make_record(evaluation__version=EVALUATION_VERSION - 1)]).rows

        assert row.stale

    def test_stale_seeds_are_never_averaged_with_others(self, make_record: MakeRecord) -> None:
        section = only_section(
            [make_record(0, 0.9), make_record(1, 0.1, method__version=PCA_VERSION - 1), make_record(2, 0.9)]
        )

        assert [(row.stale, values(row)) for row in section.rows] == [(False, [0.9, 0.9]), (True, [0.1])]

    def test_what_is_not_installed_is_not_stale(self, make_record: MakeRecord) -> None:
        (row,) = only_section([make_record(method__name="someone_elses", method__version=-5)]).rows

        assert not row.stale

    def test_another_configuration_of_the_evaluation_is_told_apart(self, make_record: MakeRecord) -> None:
        other = ProbeConfig(folds=3).to_dict()

        first, second = only_section([make_record(gap=0.1), make_record(gap=0.2, evaluation__config=other)]).rows

        assert (first.name, first.stale) != (second.name, second.stale)


class TestSections:
    @pytest.mark.parametrize(
        "change",
        [
            {"dataset__label": "planted_noisy"},
            {"dataset__content_sha256": "cd" * 32},
            {"profile": "smoke"},
            {"precision": "bf16"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_what_cannot_be_compared_stands_in_sections_of_its_own(
        self, make_record: MakeRecord, change: dict[str, str]
    ) -> None:
        found = sections([make_record(0), make_record(1, **change), make_record(2)])

        assert sorted(len(section.rows[0].records) for section in found) == [1, 2]

    def test_seed_and_provenance_make_no_section(self, make_record: MakeRecord) -> None:
        assert len(sections([make_record(0), make_record(1, provenance={"gpu": "another"})])) == 1

    def test_columns_of_some_metrics_stand_in_the_order_of_the_records(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        scores = (
            make_score("common"),
            make_score("common", metric="accuracy"),
            make_score("salient"),
            make_score("salient", metric="correlation", attribute="scale"),
            make_score("salient", metric="auc", attribute="is_target", population="all"),
        )

        section = only_section([make_record(scores=scores)])

        assert section.columns_of("correlation", "balanced_accuracy") == [column_of(scores[i]) for i in (0, 2, 3)]
        assert section.columns_of("auc") == [column_of(scores[4])]

    def test_test_images_are_a_sample_of_groups_where_some_belong_together(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        grouped = make_record(scores=(make_score(n_groups=12),))

        assert only_section([make_record()]).unit == "test images"
        assert only_section([make_record(dataset__is_table=True)]).unit == "test rows"
        assert only_section([grouped]).unit == "test groups"

    def test_yardsticks_are_those_of_current_rows_where_there_are_some(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        old = make_record(evaluation__version=1, scores=(make_score(chance=0.5),))

        assert {s.chance for s in only_section([make_record(), old]).scores(ANSWER)} == {0.1}
        assert {s.chance for s in only_section([old]).scores(ANSWER)} == {0.5}

    def test_rows_without_a_column_that_others_have_do_not_stop_the_report(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        stale = make_record(gap=0.5, evaluation__version=EVALUATION_VERSION - 1, scores=(make_score("common", 0.3),))

        section = only_section([make_record(), stale])

        common = ANSWER._replace(space="common")
        assert [(values(row, common), values(row)) for row in section.rows] == [([0.3], [0.9]), ([0.3], [])]


class TestOrder:
    def test_smallest_mean_gap_stands_first(self, make_record: MakeRecord) -> None:
        gaps = {"a": (0.3, 0.5), "b": (0.1, 0.2), "c": (0.9, 0.0)}
        records = [
            make_record(seed, gap=gap, method__label=label)
            for label, values in gaps.items()
            for seed, gap in enumerate(values)
        ]

        assert names(only_section(records)) == ["b", "a", "c"]

    def test_stale_rows_stand_after_current_ones_and_failed_ones_last(
        self, make_record: MakeRecord, make_failed: MakeRecord
    ) -> None:
        records = [
            make_failed(method__label="failed"),
            make_record(gap=0.0, method__label="stale", method__version=PCA_VERSION - 1),
            make_record(gap=0.9, method__label="current"),
        ]

        assert names(only_section(records)) == ["current", "stale", "failed"]

    def test_equal_gaps_are_ordered_by_name(self, make_record: MakeRecord) -> None:
        assert names(only_section([make_record(method__label=label) for label in "cab"])) == ["a", "b", "c"]

    def test_order_of_the_records_does_not_matter(self, make_record: MakeRecord, make_failed: MakeRecord) -> None:
        records = [
            make_record(0, 0.9, 0.1),
            make_record(1, 0.8, 0.2),
            make_record(0, 0.7, 0.3, method__config={"components": 8, "whiten": 0}),
            make_failed(2),
            make_failed(0, method__label="broken"),
        ]
        expected = sections(records)

        for order in (records[::-1], records[2:] + records[:2], records[::2] + records[1::2]):
            found = sections(order)

            assert [dataclasses.replace(section, rows=()) for section in found] == [
                dataclasses.replace(section, rows=()) for section in expected
            ]
            assert found[0].rows == expected[0].rows

    def test_order_of_the_records_does_not_matter_across_sections(self, make_record: MakeRecord) -> None:
        records = [make_record(0), make_record(0, profile="smoke"), make_record(0, dataset__label="another")]
        expected = sections(records)

        for order in permutations(records):
            assert sections(order) == expected


def test_find_gives_the_score_of_a_column(make_record: MakeRecord) -> None:
    record = make_record(value=0.77)

    assert find(record, ANSWER).value == 0.77
    assert find(record, ANSWER._replace(space="common")).value == 0.3


def test_a_report_can_be_of_some_data_sets_alone(make_record: MakeRecord) -> None:
    records = [make_record(dataset__label=label) for label in ("faces", "digits", "faces")]
    assert [r.dataset["label"] for r in of_datasets(records, "faces")] == ["faces", "faces"]
    assert len(of_datasets(records, "digits, faces")) == 3
    with pytest.raises(UserError, match="did you mean 'faces'"):
        of_datasets(records, "face")
