"""Where a score is put, what its ideal is, and what becomes of one that cannot be measured."""

from __future__ import annotations

import pytest

from cabench.evaluation.score import Measurement, NotMeasurableError, Place, Score, Scoring, Unmeasured

WANTED = Place("salient", "kind", "salient", "target")
LEAK = Place("common", "kind", "salient", "target")


def test_a_score_holds_its_place_and_all_that_was_measured() -> None:
    scoring = Scoring()

    scoring.measure(LEAK, "hsic", lambda: Measurement(0.7, 0.1, 0.02, 0.005), 30, 50, converged=False)

    expected = Score("common", "kind", "salient", "target", "hsic", 0.7, 0.1, 0.1, 0.02, 50, 30, False, 0.005)
    assert scoring.scores == [expected]
    assert scoring.unmeasured == []


def test_ideal_is_perfect_where_the_attribute_belongs_and_chance_elsewhere() -> None:
    scoring = Scoring()

    for place in (WANTED, LEAK):
        scoring.measure(place, "norm_ratio", lambda: Measurement(0.7, 1.0, None, perfect=0.0), 30)

    assert [score.ideal for score in scoring.scores] == [0.0, 1.0]


def test_what_fits_nothing_has_no_training_images_and_has_converged() -> None:
    scoring = Scoring()

    scoring.measure(WANTED, "mig", lambda: Measurement(0.7, 0.0, None), 30)

    assert (scoring.scores[0].n_train, scoring.scores[0].converged, scoring.scores[0].p_value) == (0, True, None)


def test_what_has_no_meaning_is_kept_with_its_reason() -> None:
    scoring = Scoring()

    def refuse() -> Measurement:
        raise NotMeasurableError("all values are equal")

    scoring.measure(WANTED, "r2", refuse, 30)

    assert scoring.scores == []
    assert scoring.unmeasured == [Unmeasured("salient", "kind", "target", "r2", "all values are equal")]


def test_any_other_error_is_not_swallowed() -> None:
    def fail() -> Measurement:
        raise ValueError("shapes differ")

    with pytest.raises(ValueError, match="shapes differ"):
        Scoring().measure(WANTED, "r2", fail, 30)


def test_two_scorings_share_nothing() -> None:
    with Scoring().skipping([WANTED], ["r2"]):
        raise NotMeasurableError("too few")

    assert Scoring().unmeasured == []


def test_a_reason_stands_for_each_of_the_places_and_metrics() -> None:
    scoring = Scoring()

    with scoring.skipping([WANTED, LEAK], ["r2", "knn_r2"]):
        raise NotMeasurableError("too few")

    expected = [(space, metric) for space in ("salient", "common") for metric in ("r2", "knn_r2")]
    assert [(item.space, item.metric) for item in scoring.unmeasured] == expected
    assert {item.reason for item in scoring.unmeasured} == {"too few"}
