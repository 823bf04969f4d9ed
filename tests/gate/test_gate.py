"""A baseline against records: what fails, what is only said, and what cannot be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from cabench import discovery
from cabench.errors import UserError
from cabench.evaluation.score import Unmeasured
from cabench.experiment.identity import current_evaluation
from cabench.experiment.provenance import commit
from cabench.experiment.record import Record
from cabench.gate.baseline import Baseline
from cabench.gate.gate import Outcome, check, new_baseline
from cabench.gate.judgement import Verdict

SCORES = {
    "shape": [0.90, 0.91, 0.92],
    "shape leak": [0.70, 0.69, 0.71],
    "digit": [0.80, 0.79, 0.81],
    "scale": [0.60, 0.61, 0.59],
    "scale leak": [0.30, 0.31, 0.29],
    "is_target": [0.90, 0.91, 0.92],
    "site leak": [0.70, 0.69, 0.71],
}
GAPS = [0.20, 0.21, 0.19]


@pytest.fixture
def records(make_records) -> list[Record]:
    return make_records(SCORES, GAPS)


@pytest.fixture
def baseline(records) -> Baseline:
    return new_baseline(records)


def shifted(by: float, *names: str) -> dict[str, list[float]]:
    """Scores of other draws, some of them moved."""
    generator = np.random.default_rng(0)
    return {
        name: [value + 0.003 * generator.normal() + by * (name in names) for value in values]
        for name, values in SCORES.items()
    }


def failing(outcome: Outcome) -> list[tuple[str, str]]:
    return sorted((finding.column.attribute, finding.column.space) for finding in outcome.failures)


def texts(outcome: Outcome) -> str:
    return "\n".join(problem.text for problem in outcome.problems)


def test_the_same_numbers_pass_and_are_known_to_be_the_same(baseline, records):
    outcome = check(baseline, records)

    assert outcome.passed
    assert {finding.result.verdict for finding in outcome.findings} == {Verdict.SAME}
    assert len(outcome.findings) == 1 + len(SCORES)
    assert outcome.notes == ()


@pytest.mark.parametrize(
    ("name", "by", "place"),
    [
        ("shape", -0.1, ("shape", "salient")),
        ("shape leak", 0.1, ("shape", "common")),
        ("digit", -0.1, ("digit", "common")),
        ("scale", -0.1, ("scale", "salient")),
        ("scale leak", 0.1, ("scale", "common")),
        ("is_target", -0.1, ("is_target", "salient")),
        ("site leak", 0.1, ("site", "salient")),
    ],
)
def test_a_loss_in_either_direction_fails(baseline, make_records, name, by, place):
    outcome = check(baseline, make_records(shifted(by, name), GAPS))

    assert not outcome.passed
    assert failing(outcome) == [place]


def test_a_larger_separation_gap_fails(baseline, make_records):
    outcome = check(baseline, make_records(SCORES, [gap + 0.1 for gap in GAPS]))

    assert failing(outcome) == [("all attributes", "common")]


@pytest.mark.parametrize(
    ("name", "by"), [("shape", 0.05), ("shape leak", -0.1), ("shape leak", -0.4), ("scale leak", -0.3)]
)
def test_a_gain_passes(baseline, make_records, name, by):
    assert check(baseline, make_records(shifted(by, name), GAPS)).passed


def test_the_effect_and_the_level_decide(baseline, make_records):
    worse = make_records(shifted(-0.1, "shape"), GAPS)

    assert check(baseline, worse, effect=0.2).passed
    assert check(baseline, worse, level=1e-12).passed


@pytest.mark.parametrize("wrong", [{"level": 0.0}, {"level": 1.0}, {"level": float("nan")}])
def test_levels_that_are_none_are_refused(baseline, records, wrong):
    with pytest.raises(UserError, match="--level"):
        check(baseline, records, **wrong)


@pytest.mark.parametrize("effect", [-0.1, float("nan"), float("inf")])
def test_effects_that_are_none_are_refused(baseline, records, effect):
    with pytest.raises(UserError, match="--effect"):
        check(baseline, records, effect=effect)


def test_other_seeds_can_be_compared(baseline, make_records):
    records = [dataclasses.replace(record, seed=record.seed + 7) for record in make_records(shifted(0), GAPS)]

    assert texts(check(baseline, records)).startswith("seed 0, 1, 2 of the baseline is not in the results")
    outcome = check(baseline, records, seeds=[7, 8, 9])

    assert outcome.passed
    # The gaps are equal number by number, but not under the same seeds.
    assert Verdict.SAME not in {finding.result.verdict for finding in outcome.findings}


def test_a_method_that_no_seed_changes_is_compared_exactly(make_records):
    then, now = ({"shape": [value] * 2, "digit": [0.8] * 2} for value in (0.9, 0.894))

    outcome = check(new_baseline(make_records(then)), make_records(now))

    assert failing(outcome) == [("shape", "salient")]
    assert outcome.judgement.tests == 0


def test_a_single_seed_on_each_side_says_that_it_cannot_be_tested(make_records):
    outcome = check(new_baseline(make_records({"shape": [0.9]})), make_records({"shape": [0.5]}))

    assert not outcome.passed
    assert [finding.result.verdict for finding in outcome.failures] == [Verdict.UNTESTED]


def test_a_cell_that_is_missing_fails(baseline, make_records):
    outcome = check(baseline, make_records(SCORES, GAPS, method__label="another"))

    assert texts(outcome).startswith("it is in the baseline but not in the results")
    assert "another" in outcome.notes[0]


def test_a_seed_that_failed_fails_and_the_others_are_compared(baseline, records):
    error = {"type": "ValueError", "message": "a loss of nan", "traceback": "", "step": 3, "last_terms": None}
    failed = dataclasses.replace(records[1], status="failed", scores=(), separation_gap=None, error=error)

    outcome = check(baseline, [records[0], failed, records[2]])

    assert texts(outcome) == "seed 1 failed (a loss of nan)"
    assert len(outcome.findings) == 1 + len(SCORES)


def test_scores_that_are_no_numbers_fail(baseline, records):
    outcome = check(baseline, [dataclasses.replace(records[0], separation_gap=float("nan")), *records[1:]])

    assert texts(outcome) == "seed 0 has scores that are no finite numbers"


@pytest.mark.parametrize(
    "older",
    [
        {"method__version": -1},
        {"dataset__builder_version": -1},
        {"evaluation": {"version": -1, "config": current_evaluation()["config"]}},
    ],
)
def test_records_of_other_versions_than_the_installed_ones_fail(make_records, older):
    records = make_records(SCORES, GAPS, **older)
    baseline = new_baseline(make_records(SCORES, GAPS))

    outcome = check(baseline, records)

    assert "older versions" in texts(outcome)
    assert "run it again" in texts(outcome)
    assert outcome.findings == ()
    # Beside current ones they are left aside.
    assert check(baseline, [*records, *make_records(SCORES, GAPS)]).passed


def test_a_raised_method_version_is_said_and_compared(make_records, monkeypatch):
    baseline = new_baseline(make_records(SCORES, GAPS))
    version = discovery.method_class("pca").version
    monkeypatch.setattr(discovery.method_class("pca"), "version", version + 1)

    outcome = check(baseline, make_records(shifted(-0.1, "shape"), GAPS, method__version=version + 1))

    assert failing(outcome) == [("shape", "salient")]
    assert f"method version {version} in the baseline, {version + 1} now" in outcome.notes[0]


def test_another_configuration_is_said_and_compared(baseline, make_records):
    outcome = check(baseline, make_records(SCORES, GAPS, method__config={"components": 8}))

    assert outcome.passed
    assert outcome.notes == ("planted / pca (quick, fp32): components = 32 in the baseline, 8 now.",)


def test_of_several_configurations_the_baselines_is_taken(baseline, make_records):
    other = make_records(shifted(-0.1, "shape"), GAPS, method__config={"components": 8})

    assert check(baseline, [*other, *make_records(SCORES, GAPS)]).passed

    third = make_records(SCORES, GAPS, method__config={"components": 4})
    assert "2 configurations" in texts(check(baseline, [*other, *third]))


def test_other_data_cannot_be_compared(baseline, make_records):
    outcome = check(baseline, make_records(SCORES, GAPS, dataset__content_sha256="cd" * 32))

    assert texts(outcome).startswith("its data changed (content abababab in the baseline, cdcdcdcd now)")
    assert outcome.findings == ()


def test_another_evaluation_cannot_be_compared(baseline, records):
    (place, group) = next(iter(baseline.groups.items()))
    older = Baseline({place: dataclasses.replace(group, evaluation={**group.evaluation, "version": 1})})

    outcome = check(older, records)

    assert "the evaluation changed (version 1 in the baseline" in texts(outcome)
    assert outcome.findings == ()


def test_a_seed_that_is_gone_fails_unless_others_are_named(baseline, records):
    assert texts(check(baseline, records[:2])).startswith("seed 2 of the baseline is not in the results; run it")
    assert check(baseline, records[:2], seeds=[0, 1]).passed


def test_a_metric_that_is_gone_under_one_seed_fails(baseline, records):
    records[1] = dataclasses.replace(records[1], scores=tuple(s for s in records[1].scores if s.attribute != "digit"))

    assert texts(check(baseline, records)) == "digit is no longer measured in the common space under seed 1"


def test_two_records_of_one_seed_cannot_be_compared(baseline, records):
    outcome = check(baseline, [*records, dataclasses.replace(records[0], key="ab" * 32)])

    assert texts(outcome) == "the results hold two records of one seed; keep the one that was computed last"


def test_another_ideal_on_the_same_data_fails(baseline, records):
    easier = [
        dataclasses.replace(
            record,
            scores=tuple(dataclasses.replace(s, ideal=s.value) if s.attribute == "digit" else s for s in record.scores),
        )
        for record in records
    ]

    assert "the ideal of digit in the common space is 1 in the baseline and 0.8" in texts(check(baseline, easier))


def test_a_metric_that_is_gone_fails_with_the_reason(baseline, make_records):
    fewer = make_records({name: values for name, values in SCORES.items() if name != "digit"}, GAPS)
    reasons = (
        Unmeasured("common", "digit", "target", "balanced_accuracy", "there are too few groups"),
        Unmeasured("common", "digit", "background", "balanced_accuracy", "there is one class"),
    )

    outcome = check(baseline, [dataclasses.replace(record, unmeasured=reasons) for record in fewer])

    assert texts(outcome) == "digit is no longer measured in the common space (there is one class)"
    assert len(outcome.findings) == len(SCORES)


def at_speed(records: Sequence[Record], images_per_s: float, **provenance) -> list[Record]:
    return [
        dataclasses.replace(
            record,
            cost={**record.cost, "images_per_s": images_per_s},
            provenance={**record.provenance, **provenance},
        )
        for record in records
    ]


class TestThroughput:
    def test_a_slowdown_is_said(self, baseline, records):
        outcome = check(baseline, at_speed(records, 600))

        assert outcome.passed
        assert "40% slower on the same hardware (1,000 images/s in the baseline, 600 now)" in outcome.notes[0]

    def test_a_slowdown_fails_where_that_is_asked_for(self, baseline, records):
        assert "40% slower" in texts(check(baseline, at_speed(records, 600), max_slowdown=0.2))
        assert check(baseline, at_speed(records, 600), max_slowdown=0.5).passed

    @pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.1, 1.0])
    def test_slowdowns_that_are_none_are_refused(self, baseline, records, wrong):
        with pytest.raises(UserError, match="--max-slowdown"):
            check(baseline, records, max_slowdown=wrong)

    def test_a_small_slowdown_is_not_said(self, baseline, records):
        assert check(baseline, at_speed(records, 800)).notes == ()

    @pytest.mark.parametrize("other", [{"threads": 2}, {"cpu": "another"}, {"device": "cuda:0", "gpu": "a GPU"}])
    def test_other_hardware_is_not_compared(self, baseline, records, other):
        outcome = check(baseline, at_speed(records, 1, **other), max_slowdown=0.1)

        assert outcome.passed
        assert "throughput is not compared" in outcome.notes[0]

    def test_the_number_of_a_gpu_does_not_matter(self, make_records):
        first, second = (
            at_speed(make_records(SCORES, GAPS), speed, device=device, gpu="a GPU")
            for speed, device in ((1000, "cuda:0"), (100, "cuda:1"))
        )

        assert not check(new_baseline(first), second, max_slowdown=0.1).passed

    def test_short_trainings_are_left_out(self, make_records):
        cost = {"train_s": 1.0, "images_per_s": 1000.0}
        (group,) = new_baseline(make_records(SCORES, GAPS, cost=cost)).groups.values()

        assert group.speeds == {}


def test_records_of_another_commit_are_named(baseline, make_records):
    if commit()[0] is None:
        pytest.skip("this is no checkout")
    provenance = {"device": "cpu", "gpu": None, "cpu": "a processor", "threads": 1, "commit": "0123456789"}

    outcome = check(baseline, make_records(SCORES, GAPS, provenance=provenance))

    assert outcome.passed
    assert "01234567" in outcome.notes[0]


def test_a_baseline_is_not_made_of_failed_cells(records):
    failed = dataclasses.replace(records[1], status="failed", scores=(), separation_gap=None)

    with pytest.raises(UserError, match="seed 1 failed"):
        new_baseline([records[0], failed])


def test_a_baseline_is_not_made_of_old_records(make_records):
    with pytest.raises(UserError, match="older versions"):
        new_baseline(make_records(SCORES, GAPS, method__version=-1))


def test_vectors_of_one_space_are_compared_without_a_gap(make_records):
    def records(shape: float):
        made = make_records(
            {"shape": [shape + step for step in (0, 0.01, 0.02)]},
            method__name="ours", method__label="ours", method__version=1, method__origin="vectors",
        )  # fmt: skip
        return [dataclasses.replace(record, separation_gap=None) for record in made]

    baseline = new_baseline(records(0.9))

    assert check(baseline, records(0.9)).passed
    (failure,) = check(baseline, records(0.8)).failures
    assert failure.column.attribute == "shape"
