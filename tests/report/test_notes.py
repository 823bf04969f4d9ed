"""What is said around tables: origin, problems, what the numbers mean, and what to beware of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cabench import discovery
from cabench.errors import UserError
from cabench.evaluation.score import Score, Unmeasured
from cabench.experiment.record import Record
from cabench.report.html import html_page, html_tables
from cabench.report.latex import latex
from cabench.report.markdown import markdown, markdown_summary
from cabench.report.notes import notes, origin, problems, ranking_sentence, warnings
from cabench.report.ranking import Ranking
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


TUNED = {"name": "tuned", "description": "settings chosen by trials", "extends": ["smoke"]}


class TestProfiles:
    def test_one_that_extends_another_is_said_to_and_what_it_is(self, make_record: MakeRecord) -> None:
        section = only_section([make_record(profile="tuned", provenance={"profile": TUNED})])

        assert " Profile tuned (extends smoke: settings chosen by trials), precision" in origin(section)

    def test_what_means_nothing_means_no_more_where_it_is_extended(self, make_record: MakeRecord) -> None:
        said = "Profile tuned extends smoke: its numbers mean nothing."

        assert said in warnings(only_section([make_record(profile="tuned", provenance={"profile": TUNED})]))
        assert "Profile smoke: its numbers mean nothing." in warnings(only_section([make_record(profile="smoke")]))
        extended = {**TUNED, "extends": ["quick"]}
        others = make_record(profile="tuned", provenance={"profile": extended})
        assert not any("mean nothing" in text for text in warnings(only_section([others])))

    @pytest.mark.parametrize("kept", [None, "tuned", {"name": "other", "extends": ["smoke"]}, {"name": "tuned"}])
    def test_what_a_record_keeps_of_another_profile_or_in_another_form_counts_for_nothing(
        self, make_record: MakeRecord, kept: object
    ) -> None:
        section = only_section([make_record(profile="tuned", provenance={"profile": kept})])

        assert " Profile tuned, precision" in origin(section)
        assert not any("mean nothing" in text for text in warnings(section))

    def test_under_chosen_settings_methods_are_named_that_nobody_tuned_there(self, make_record: MakeRecord) -> None:
        def told(tuned: object, method: str = "sepclr", **changes: object) -> list[str]:
            kept = {**TUNED, "extends": ["quick"], "tuned": tuned}
            version = discovery.method_class(method).version if method in discovery.plugins("methods") else 1
            names = {"method__name": method, "method__label": method, "method__version": version}
            record = make_record(profile="tuned", provenance={"profile": kept}, **names, **changes)
            return [text for text in warnings(only_section([record])) if text.startswith("Not tuned")]

        assert told(["mmcvae"]) == ["Not tuned on these data, as the others were: sepclr."]
        assert told([]) == []
        kept = {**TUNED, "extends": ["quick"], "tuned": []}
        version = discovery.method_class("sepclr").version
        names = {"method__name": "sepclr", "method__label": "sepclr", "method__version": version}
        section = only_section([make_record(profile="tuned", provenance={"profile": kept}, **names)])
        assert "Profile tuned holds settings that were chosen on other data; nobody tuned on these." in warnings(
            section
        )
        assert told(["mmcvae"], "a_method_of_somebody") == [
            "Not tuned on these data, as the others were: a_method_of_somebody."
        ]
        assert told(["sepclr"]) == told(["mmcvae"], "chance") == told(None) == told(3) == []
        assert told(["mmcvae"], method__origin="vectors") == []

    def test_a_method_that_is_broken_here_stops_no_report(
        self, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(name: str) -> type:
            raise UserError(f"{name} cannot be imported.")

        kept = {**TUNED, "extends": ["quick"], "tuned": ["mmcvae"]}
        record = make_record(profile="tuned", provenance={"profile": kept})
        monkeypatch.setattr(discovery, "method_class", broken)
        assert isinstance(warnings(only_section([record])), list)


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
            "Not measured:": [
                "knn balanced accuracy, digit, target images, salient space: all values are equal (all methods)"
            ]
        }

    def test_what_some_methods_lack_names_them_and_their_reasons(self, make_records: MakeRecords) -> None:
        records = [
            *make_records({"c": [0.1], "a": [0.2]}, unmeasured=(no_digit("one"), no_digit("one", "common"))),
            *make_records({"b": [0.3]}, unmeasured=(no_digit("two"),)),
        ]

        assert sorted(problems_of(records)["Not measured:"]) == [
            "knn balanced accuracy, digit, target images, salient and common space: one (a, c)",
            "knn balanced accuracy, digit, target images, salient space: two (b)",
        ]

    def test_what_most_methods_lack_names_those_that_do_not(self, make_records: MakeRecords) -> None:
        lacking = make_records({name: [0.1] for name in "abcd"}, unmeasured=(no_digit("one"),))
        (line,) = problems_of([*lacking, *make_records({"e": [0.3]})])["Not measured:"]
        assert line.endswith("salient space: one (all methods but e)")


class TestNotes:
    def test_who_is_compared_and_how_is_said_for_this_data_set(
        self, make_score: MakeScore, make_record: MakeRecord
    ) -> None:
        images = " ".join(notes(only_section([make_record()])))
        groups = " ".join(notes(only_section([make_record(scores=(make_score(n_groups=12),))])))

        assert "over seeds, over test images and over both" in images
        assert "over seeds, over test groups and over both" in groups

    def test_there_are_none_without_numbers(self, make_failed: MakeRecord) -> None:
        assert notes(only_section([make_failed(0)])) == []


class TestWarnings:
    def test_numbers_of_the_smoke_profile_are_said_to_mean_nothing(self, make_record: MakeRecord) -> None:
        records = [make_record(profile="smoke", leak_floor=0.02)]
        said = "Profile smoke: its numbers mean nothing."
        assert warnings(only_section(records))[0] == said
        html = html_page(records, Path("absent"))
        for text in (markdown(records), markdown_summary(records), latex(records), html, html_tables(records)):
            assert text.count(said) == 1
        assert said not in markdown([make_record()])

    def test_trials_are_said_to_be_no_results(self, make_record: MakeRecord, make_failed: MakeRecord) -> None:
        said = "These are trials of settings, scored on a part of the training split: they are no results"
        for make in (make_record, make_failed):
            records = [make(dataset__label="planted-validation", dataset__validation_of="cd" * 32)]
            assert warnings(only_section(records))[0].startswith(said)
            html = html_page(records, Path("absent"))
            for text in (markdown(records), markdown_summary(records), latex(records), html, html_tables(records)):
                assert text.count(said) == 1

    def test_there_are_none_where_images_are_many(self, make_record: MakeRecord) -> None:
        assert warnings(only_section([make_record(leak_floor=0.004)])) == []

    def test_what_leaks_by_chance_is_told_with_its_effect_on_the_gap(self, make_record: MakeRecord) -> None:
        (said,) = warnings(only_section([make_record(0, leak_floor=0.03), make_record(1, leak_floor=0.05)]))

        assert "would read leaked 4.0 %, and its separation gap would be 0.020 too large" in said

    def test_the_floor_of_stale_rows_does_not_count(self, make_record: MakeRecord) -> None:
        assert warnings(only_section([make_record(), make_record(1, leak_floor=0.5, method__version=-1)])) == []

    @pytest.mark.parametrize(("groups", "warned"), [(9, True), (10, False)])
    def test_correlations_over_few_groups_are_named(
        self, make_score: MakeScore, make_record: MakeRecord, groups: int, warned: bool
    ) -> None:
        score = make_score(metric="correlation", attribute="age_in_years", n_groups=groups)

        said = warnings(only_section([make_record(scores=(score,))]))

        assert (
            said == [f"age in years is read of {groups} test groups; a correlation over so few says little."] * warned
        )

    @pytest.mark.parametrize(("auc", "warned"), [(0.66, True), (0.64, False)])
    def test_nuisances_that_tell_target_from_background_are_named(
        self, make_score: MakeScore, make_record: MakeRecord, auc: float, warned: bool
    ) -> None:
        alone = make_score("nuisance", auc, "auc", attribute="is_target", population="all", ideal=None)

        said = warnings(only_section([make_record(scores=(make_score(), alone))]))

        assert [f"AUC of {100 * auc:.1f} %" in sentence for sentence in said] == [True] * warned


class TestRankingSentence:
    @pytest.mark.parametrize(
        ("p_value", "verdict"), [(0.004, "some methods tend to rank before others"), (0.2, "not shown to rank differ")]
    )
    def test_verdict_follows_the_test(self, p_value: float, verdict: str) -> None:
        ranking = Ranking("quick", "fp32", ("x", "y", "z"), {"a": (1, 1, 1), "b": (2, 2, 2), "c": (3, 3, 3)}, p_value)

        assert verdict in ranking_sentence(ranking)
        assert f"p = {p_value:.3f}" in ranking_sentence(ranking)

    def test_too_few_to_test_are_not_generalised_from(self) -> None:
        said = ranking_sentence(Ranking("quick", "fp32", ("x", "y"), {"a": (1, 1), "b": (2, 2)}, None))

        assert said.startswith("2 data sets and 2 methods are too few to test")
