"""The separation gap: what it is made of, that it is bounded, and how it changes with each score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cabench.evaluation.gap import Estimate, is_leak, is_wanted, separation
from cabench.evaluation.score import Score


def score(value: float, metric: str, space: str, attribute: str, owner: str, **changes: Any) -> Score:
    chance = {"balanced_accuracy": 0.25, "knn_balanced_accuracy": 0.25, "auc": 0.5}.get(metric, 0.0)
    ideal = 1.0 if space == owner else (None if (space, owner) == ("common", "nuisance") else chance)
    place = {"space": space, "attribute": attribute, "attribute_space": owner, "population": "target"}
    numbers = {"value": value, "chance": chance, "ideal": ideal, "standard_error": 0.01, "n_train": 100, "n_test": 50}
    return replace(Score(metric=metric, converged=True, **place, **numbers), **changes)  # type: ignore[arg-type]


def wanted(value: float, metric: str = "balanced_accuracy", attribute: str = "kind", **changes: Any) -> Score:
    return score(value, metric, "salient", attribute, "salient", **changes)


def leak(value: float, metric: str = "auc", attribute: str = "kind", **changes: Any) -> Score:
    return score(value, metric, "common", attribute, "salient", **changes)


def gap_of(*scores: Score) -> float:
    found = separation(scores)
    assert found is not None
    return found.gap.value


class TestTerms:
    @pytest.mark.parametrize(("accuracy", "part"), [(0.25, 0.0), (0.1, 0.0), (0.625, 0.5), (1.0, 1.0)])
    def test_what_is_wanted_counts_by_how_far_it_is_above_chance(self, accuracy: float, part: float) -> None:
        found = separation([wanted(accuracy), leak(0.5)])

        assert found is not None
        assert (found.wanted.value, found.leaked.value) == pytest.approx((part, 0.0))
        assert found.gap.value == pytest.approx((1 - part) / 2)

    @pytest.mark.parametrize(("auc", "part"), [(0.5, 0.0), (0.3, 0.0), (0.75, 0.5), (1.0, 1.0)])
    def test_a_leak_counts_by_its_auc(self, auc: float, part: float) -> None:
        assert gap_of(wanted(1.0), leak(auc)) == pytest.approx(part / 2)

    def test_numbers_count_by_their_correlation_on_either_side(self) -> None:
        scores = [wanted(0.8, "correlation", "size"), leak(0.3, "correlation", "size")]

        assert gap_of(*scores) == pytest.approx((1 - 0.8 + 0.3) / 2)

    def test_target_against_background_counts_by_its_auc_on_either_side(self) -> None:
        scores = [wanted(0.9, "auc", "is_target"), leak(0.6, "auc", "is_target")]

        assert gap_of(*scores) == pytest.approx((1 - 0.8 + 0.2) / 2)

    @pytest.mark.parametrize(
        "metric", ["accuracy", "r2", "knn_balanced_accuracy", "knn_correlation", "adjusted_auc", "hsic", "norm_ratio"]
    )
    def test_no_other_metric_counts(self, metric: str) -> None:
        others = [wanted(0.1, metric), leak(0.9, metric)]

        assert gap_of(wanted(0.7), leak(0.6), *others) == gap_of(wanted(0.7), leak(0.6))

    def test_the_auc_of_a_wanted_class_and_the_balanced_accuracy_of_a_leak_do_not_count(self) -> None:
        assert not is_wanted(wanted(0.9, "auc"))
        assert not is_leak(leak(0.9, "balanced_accuracy"))

    def test_a_nuisance_counts_as_a_leak_of_the_salient_space_alone(self) -> None:
        scores = [
            wanted(1.0),
            leak(0.5),
            score(0.9, "auc", "salient", "site", "nuisance"),
            score(0.9, "auc", "common", "site", "nuisance"),
            score(0.9, "auc", "nuisance", "kind", "salient"),
        ]

        assert gap_of(*scores) == pytest.approx(np.mean([0.0, 0.8]) / 2)


class TestWeights:
    def test_an_attribute_of_two_populations_weighs_as_one(self) -> None:
        scores = [
            wanted(1.0),
            *(leak(auc, attribute="object", population=name) for auc, name in ((0.7, "target"), (0.9, "background"))),
            leak(0.5, attribute="kind"),
        ]

        assert gap_of(*scores) == pytest.approx(np.mean([np.mean([0.4, 0.8]), 0.0]) / 2)

    def test_either_half_weighs_the_same_however_many_scores_it_has(self) -> None:
        leaks = [leak(1.0, attribute=f"a{index}") for index in range(9)]

        assert gap_of(wanted(1.0), *leaks) == pytest.approx(0.5)

    def test_other_scores_between_do_not_matter(self) -> None:
        between = [wanted(0.2, "accuracy"), leak(0.7)]

        assert gap_of(wanted(0.4), *between) == gap_of(wanted(0.4), leak(0.7))


class TestBounds:
    def test_of_perfect_separation_is_zero_of_nothing_a_half_and_of_the_opposite_one(self) -> None:
        assert gap_of(wanted(1.0), leak(0.5)) == 0.0
        assert gap_of(wanted(0.25), leak(0.5)) == 0.5
        assert gap_of(wanted(0.25), leak(1.0)) == 1.0

    @pytest.mark.parametrize("seed", range(20))
    def test_is_within_zero_and_one_whatever_the_scores(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        scores = [
            *(
                wanted(v, m, f"a{i}")
                for i, (v, m) in enumerate(zip(generator.random(4), ["correlation"] * 4, strict=True))
            ),
            *(wanted(v, attribute=f"b{i}") for i, v in enumerate(generator.random(3))),
            *(leak(v, attribute=f"a{i}") for i, v in enumerate(generator.random(3))),
        ]
        found = separation(scores)

        assert found is not None
        assert all(0 <= estimate.value <= 1 for estimate in found)


class TestSlopes:
    SCORES = (
        wanted(0.7),
        wanted(0.9, "correlation", "size"),
        wanted(0.3, "accuracy"),
        leak(0.6),
        leak(0.2, "correlation", "size", population="background"),
        leak(0.4, "correlation", "size"),
        leak(0.45, attribute="object"),
        wanted(0.2, attribute="blind"),
    )

    @pytest.mark.parametrize("half", ["gap", "wanted", "leaked"])
    def test_tell_how_the_quantity_changes_with_each_score(self, half: str) -> None:
        found: Estimate = getattr(separation(self.SCORES), half)
        for index, changed in enumerate(self.SCORES):
            moved = [*self.SCORES]
            moved[index] = replace(changed, value=changed.value + 1e-3)
            after: Estimate = getattr(separation(moved), half)

            assert found.slopes.get(index, 0.0) == pytest.approx((after.value - found.value) / 1e-3, abs=1e-9)

    def test_what_is_below_chance_changes_nothing(self) -> None:
        found = separation(self.SCORES)

        assert found is not None
        assert found.gap.slopes[6] == found.gap.slopes[7] == 0.0


class TestNone:
    def test_where_one_space_was_probed(self) -> None:
        assert separation([wanted(0.9), wanted(0.4, "auc", "is_target")]) is None
        assert separation([leak(0.9)]) is None

    @pytest.mark.parametrize("scores", [[], [wanted(0.9, "accuracy"), leak(0.3, "accuracy")]])
    def test_without_scores_that_count_it_is_refused(self, scores: list[Score]) -> None:
        with pytest.raises(ValueError, match="No attribute could be probed"):
            separation(scores)

    def test_where_nothing_but_nuisances_was_read_it_is_refused(self) -> None:
        nuisances = [score(0.9, "auc", space, "site", "nuisance") for space in ("common", "salient")]

        with pytest.raises(ValueError, match="No attribute could be probed"):
            separation(nuisances)
