"""What is said around tables: origin, problems, what the numbers mean, and what follows from them and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from cabench import discovery
from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.record import Record
from cabench.report.comparison import Ranking, compare
from cabench.report.notes import conclusion, notes, origin, problems, ranking_sentence
from cabench.report.summary import Section, leaked_of, sections, separation_gap_of

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


CLOSE = {"a": [0.10, 0.20, 0.30], "b": [0.12, 0.19, 0.35]}


FAR = {"c": [0.60, 0.70, 0.81]}


def said_of(records: Sequence[Record]) -> str:
    (section,) = sections(records)
    return conclusion(section)


class TestConclusion:
    def test_one_method_is_not_compared(self, make_records: MakeRecords) -> None:
        assert said_of(make_records({"a": [0.1, 0.2, 0.3]})) == "There are no two methods to compare."

    def test_yardsticks_are_not_compared(self, make_records: MakeRecords) -> None:
        version = discovery.method_class("chance").version
        controls = make_records({"chance": [0.0, 0.0, 0.0]}, method__name="chance", method__version=version)

        assert said_of([*make_records({"a": [0.1, 0.2, 0.3]}), *controls]) == "There are no two methods to compare."
        assert "chance" not in said_of([*make_records(CLOSE), *controls])

    @pytest.mark.parametrize("seeds", [1, 2])
    def test_nothing_is_concluded_below_three_seeds(self, make_records: MakeRecords, seeds: int) -> None:
        said = said_of(make_records({"a": [0.1, 0.2][:seeds], "b": [0.8, 0.9][:seeds]}))

        assert said.startswith("Nothing can be concluded about the order of the methods")

    def test_best_is_named_with_its_gap_the_seeds_and_how_many_were_compared(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({**CLOSE, **FAR}))

        assert said.startswith(
            "Over 3 seeds, a has the smallest separation gap (0.200 ± 0.248) of the 3 methods compared"
        )

    def test_those_shown_to_be_worse_and_those_not_are_told_apart(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({**CLOSE, **FAR}))

        assert "Shown to be worse (paired t-tests of all pairs, Holm-corrected, 5 %): c. Not shown to be: b." in said

    def test_nobody_shown_to_be_worse_is_said_as_such(self, make_records: MakeRecords) -> None:
        assert "No other is shown to be worse (" in said_of(make_records(CLOSE))

    def test_everybody_shown_to_be_worse_is_said_as_such(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({"a": CLOSE["a"], **FAR}))

        assert "All others are worse (" in said
        assert "Not shown to be" not in said.split("leaks least")[0]

    def test_least_and_most_leaky_are_named_in_percent(self, make_record: MakeRecord) -> None:
        records = [
            make_record(seed, leak=leak, method__label=name)
            for name, leaks in {"tight": [0.10, 0.12, 0.14], "leaky": [0.80, 0.81, 0.86]}.items()
            for seed, leak in enumerate(leaks)
        ]
        rows = {row.name: row.spread(leaked_of) for row in sections(records)[0].rows}
        tight, leaky = (
            f"({100 * rows[name].mean:.1f} ± {100 * rows[name].half_width:.1f} %)" for name in ("tight", "leaky")
        )

        said = said_of(records)

        assert f"tight leaks least {tight}, leaky most {leaky}. All others are more leaky (" in said

    def test_nobody_is_named_where_all_leak_alike(self, make_records: MakeRecords) -> None:
        said = said_of(make_records(CLOSE))

        assert "All leak alike (" in said
        assert "leaks least" not in said

    def test_those_left_out_for_too_few_seeds_are_named(self, make_records: MakeRecords) -> None:
        said = said_of(make_records({**CLOSE, "new": [0.1, 0.2]}))

        assert "Not compared, with fewer than 3 seeds: new." in said

    def test_stale_rows_are_given_as_the_reason_for_saying_nothing(self, make_records: MakeRecords) -> None:
        said = said_of(make_records(CLOSE, method__version=-1))

        assert said == "There are no two methods to compare: 2 rows are of an older version, and stale."

    def test_smallest_difference_that_can_be_found_is_told(self, make_records: MakeRecords) -> None:
        records = make_records({**CLOSE, **FAR})
        (section,) = sections(records)

        assert f"only from {compare(section.rows, separation_gap_of).detectable:.3f} on" in said_of(records)

    def test_no_such_difference_is_told_where_seeds_do_not_differ(self, make_records: MakeRecords) -> None:
        assert "probability" not in said_of(make_records({"a": [0.1, 0.1, 0.1], "b": [0.2, 0.2, 0.2]}))


class TestRankingSentence:
    @pytest.mark.parametrize(("p_value", "verdict"), [(0.004, "rank differently"), (0.2, "not shown to rank differ")])
    def test_verdict_follows_the_test(self, p_value: float, verdict: str) -> None:
        ranking = Ranking("quick", "fp32", ("x", "y", "z"), {"a": (1, 1, 1), "b": (2, 2, 2), "c": (3, 3, 3)}, p_value)

        assert verdict in ranking_sentence(ranking)
        assert f"p = {p_value:.3f}" in ranking_sentence(ranking)

    def test_too_few_to_test_are_not_generalised_from(self) -> None:
        said = ranking_sentence(Ranking("quick", "fp32", ("x", "y"), {"a": (1, 1), "b": (2, 2)}, None))

        assert said.startswith("2 data sets and 2 methods are too few to test")
