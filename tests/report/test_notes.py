"""What stands around tables: origin, problems, and what the numbers mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.record import Record
from cabench.report.notes import notes, origin, problems
from cabench.report.summary import Section, sections

MakeScore = Callable[..., Score]
MakeRecord = Callable[..., Record]
MakeRecords = Callable[..., list[Record]]


def only_section(records: Sequence[Record]) -> Section:
    (section,) = sections(records)
    return section


def problems_of(records: Sequence[Record]) -> dict[str, list[str]]:
    return dict(problems(only_section(records)))


def no_digit(reason: str, space: str = "salient") -> Unmeasured:
    return Unmeasured(space, "digit", "target", "knn_balanced_accuracy", reason)


class TestOrigin:
    def test_names_sources_profile_precision_seeds_and_content(self, make_record: MakeRecord) -> None:
        section = only_section([make_record(k, dataset__sources=["A", "B"], precision="bf16") for k in (4, 0)])

        assert origin(section) == ("Built from A, B. Profile quick, precision bf16, seeds 0, 4. Data content abababab.")

    def test_seeds_that_failed_are_not_counted(self, make_record: MakeRecord, make_failed: MakeRecord) -> None:
        assert "seeds 1." in origin(only_section([make_failed(0), make_record(1)]))
        assert "seeds none." in origin(only_section([make_failed(0)]))


class TestProblems:
    def test_there_are_none_where_all_went_well(self, make_records: MakeRecords) -> None:
        assert problems_of(make_records({"a": [0.1, 0.2], "b": [0.3, 0.4]})) == {}

    def test_failures_are_named_with_their_cause(self, make_record: MakeRecord, make_failed: MakeRecord) -> None:
        records = [make_record(0), make_failed(1), make_failed(2, error=None)]

        assert problems_of(records) == {
            "Failed, and tried again by the next run:": ["pca, seed 1: no", "pca, seed 2: no cause recorded"]
        }

    def test_what_did_not_converge_is_named_once_for_a_record(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        scores = tuple(
            make_score(space, metric=metric, converged=space == "salient")
            for metric in ("balanced_accuracy", "accuracy")
            for space in ("common", "salient")
        )

        assert problems_of([make_record(3, scores=scores)]) == {
            "Probes that did not converge:": ["pca, seed 3: digit from common"]
        }

    def test_what_could_not_be_measured_is_named_once_for_all_methods(self, make_records: MakeRecords) -> None:
        records = make_records({"a": [0.1, 0.2], "b": [0.3]}, unmeasured=(no_digit("all values are equal"),))

        assert problems_of(records) == {
            "Not measured:": ["knn balanced accuracy, digit, salient space: all values are equal (all methods)"]
        }

    def test_what_some_methods_lack_names_them_and_their_reasons(self, make_records: MakeRecords) -> None:
        records = [
            *make_records({"c": [0.1], "a": [0.2]}, unmeasured=(no_digit("one"), no_digit("one", "common"))),
            *make_records({"b": [0.3]}, unmeasured=(no_digit("two"),)),
        ]

        assert sorted(problems_of(records)["Not measured:"]) == [
            "knn balanced accuracy, digit, common space: one (a, c)",
            "knn balanced accuracy, digit, salient space: one (a, c)",
            "knn balanced accuracy, digit, salient space: two (b)",
        ]


class TestNotes:
    def test_metrics_are_named_with_their_attributes(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        scores = (
            make_score(),
            make_score("common"),
            make_score(attribute="hair_colour"),
            make_score(metric="r2", attribute="size"),
            make_score(metric="auc", attribute="is_target"),
            make_score(metric="mig", attribute="never"),
        )

        said = notes(only_section([make_record(scores=scores)]))[0]

        assert (
            "(balanced accuracy for digit, hair colour; R² for size; area under the ROC curve for target or background;"
        ) in said
        assert "never" not in said

    def test_largest_error_is_in_percent(self, make_score: MakeScore, make_record: MakeRecord) -> None:
        section = only_section([make_record(scores=(make_score(standard_error=0.0234), make_score("common")))])

        assert notes(section)[0].endswith("standard errors up to 2.3.")

    @pytest.mark.parametrize(("seeds", "paragraphs"), [(1, 1), (2, 1), (3, 2)])
    def test_marks_are_explained_where_there_may_be_some(
        self, make_record: MakeRecord, seeds: int, paragraphs: int
    ) -> None:
        said = notes(only_section([make_record(seed) for seed in range(seeds)]))

        assert len(said) == paragraphs
        assert ("Bold" in " ".join(said)) == (seeds == 3)

    def test_there_are_none_without_numbers(self, make_failed: MakeRecord) -> None:
        assert notes(only_section([make_failed(0)])) == []
