"""Where a score is put, what its ideal is, what images add to it, and what becomes of one that cannot be measured."""

from __future__ import annotations

import numpy as np
import pytest

from cabench.evaluation.contributions import Tested as Images
from cabench.evaluation.score import Measurement, NotMeasurableError, Place, Score, Scoring, Unmeasured

WANTED = Place("salient", "kind", "salient", "target")
LEAK = Place("common", "kind", "salient", "target")
TESTED = Images(
    np.arange(4), np.array([0, 0, 1, 2]), np.zeros(4, dtype=np.int64)
)  # four groups in three of five blocks
BLOCKS = 5


def measured(place: Place, measurement: Measurement, tested: Images = TESTED) -> Score:
    scoring = Scoring(BLOCKS)
    scoring.add(place, "mig", measurement, tested)
    return scoring.scores[0]


def test_a_score_holds_its_place_and_all_that_was_measured() -> None:
    scoring = Scoring(BLOCKS)

    scoring.measure(LEAK, "hsic", lambda: Measurement(0.7, 0.1, 0.02, 0.005), TESTED, 50, converged=False)

    expected = Score("common", "kind", "salient", "target", "hsic", 0.7, 0.1, 0.1, 0.02, 50, 4, False, 0.005, 4)
    assert scoring.scores == [expected]
    assert scoring.unmeasured == []


def test_ideal_is_perfect_where_the_attribute_belongs_and_chance_elsewhere() -> None:
    ideals = [measured(place, Measurement(0.7, 1.0, perfect=0.0)).ideal for place in (WANTED, LEAK)]

    assert ideals == [0.0, 1.0]


def test_a_nuisance_may_be_in_the_common_space_or_not_and_must_not_be_in_the_salient_one() -> None:
    places = [Place(space, "site", "nuisance", "target") for space in ("common", "salient")]

    assert [measured(place, Measurement(0.7, 0.5)).ideal for place in places] == [None, 0.5]


def test_what_is_read_from_nuisances_alone_has_no_ideal() -> None:
    assert measured(Place("nuisance", "kind", "salient", "target"), Measurement(0.7, 0.5)).ideal is None


def test_what_fits_nothing_has_no_training_images_and_has_converged() -> None:
    score = measured(WANTED, Measurement(0.7, 0.0))

    assert (score.n_train, score.converged, score.p_value) == (0, True, None)


class TestContributions:
    """What each block of test rows adds to a score."""

    INFLUENCE = np.array([0.3, -0.1, 0.2, -0.4])

    def test_are_sums_over_the_rows_of_a_block(self) -> None:
        scoring = Scoring(BLOCKS)
        scoring.add(WANTED, "mig", Measurement(0.7, 0.0, influence=self.INFLUENCE), TESTED)

        (found,) = scoring.contributions
        np.testing.assert_allclose(found.values, [0.2, 0.2, -0.4, 0, 0])
        np.testing.assert_array_equal(found.rows, [2, 1, 1, 0, 0])

    def test_stand_beside_every_score_also_where_there_are_none(self) -> None:
        scoring = Scoring(BLOCKS)
        for influence in (None, self.INFLUENCE):
            scoring.add(WANTED, "mig", Measurement(0.7, 0.0, influence=influence), TESTED)

        assert [part.values is None for part in scoring.contributions] == [True, False]
        np.testing.assert_array_equal(scoring.contributions[0].rows, [2, 1, 1, 0, 0])

    def test_give_the_standard_error_over_groups_and_not_over_blocks(self) -> None:
        score = measured(WANTED, Measurement(0.7, 0.0, influence=self.INFLUENCE))

        assert score.standard_error == pytest.approx(np.sqrt(np.sum(self.INFLUENCE**2) * 4 / 3))

    def test_of_rows_of_one_group_count_together(self) -> None:
        pairs = TESTED._replace(groups=np.array([7, 7, 3, 3]))
        score = measured(WANTED, Measurement(0.7, 0.0, influence=self.INFLUENCE), pairs)

        # Sums of 0.2 and -0.2, each of half of the rows.
        assert score.standard_error == pytest.approx(np.sqrt(2 * 0.2**2 / (1 - 1 / 2)))
        assert (score.n_test, score.n_groups) == (4, 2)

    def test_an_error_of_its_own_stays_where_a_metric_has_no_influence(self) -> None:
        assert measured(WANTED, Measurement(0.7, 0.0, 0.05)).standard_error == 0.05
        assert measured(WANTED, Measurement(0.7, 0.0)).standard_error is None


def test_what_has_no_meaning_is_kept_with_its_reason() -> None:
    scoring = Scoring(BLOCKS)

    def refuse() -> Measurement:
        raise NotMeasurableError("all values are equal")

    scoring.measure(WANTED, "r2", refuse, TESTED)

    assert scoring.scores == scoring.contributions == []
    assert scoring.unmeasured == [Unmeasured("salient", "kind", "target", "r2", "all values are equal")]


def test_any_other_error_is_not_swallowed() -> None:
    def fail() -> Measurement:
        raise ValueError("shapes differ")

    with pytest.raises(ValueError, match="shapes differ"):
        Scoring(BLOCKS).measure(WANTED, "r2", fail, TESTED)


def test_two_scorings_share_nothing() -> None:
    with Scoring(BLOCKS).skipping([WANTED], ["r2"]):
        raise NotMeasurableError("too few")

    assert Scoring(BLOCKS).unmeasured == []


def test_a_reason_stands_for_each_of_the_places_and_metrics() -> None:
    scoring = Scoring(BLOCKS)

    with scoring.skipping([WANTED, LEAK], ["r2", "knn_correlation"]):
        raise NotMeasurableError("too few")

    expected = [(space, metric) for space in ("salient", "common") for metric in ("r2", "knn_correlation")]
    assert [(item.space, item.metric) for item in scoring.unmeasured] == expected
    assert {item.reason for item in scoring.unmeasured} == {"too few"}
