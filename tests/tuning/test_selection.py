"""What rules are worth: on planted tables with known answers, and the coverage of intervals by simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from cabench.tuning.rules import RULES
from cabench.tuning.selection import Estimate, comparable, estimate, rank_correlation, worth_of, worths
from cabench.tuning.tuning_record import TuningRecord

MakeRecord = Callable[..., TuningRecord]
TESTED = [0.30, 0.20, 0.25, 0.40, 0.35]


def is_mean(found: Estimate | None, values: Sequence[float]) -> bool:
    """Whether an estimate is the mean of these values, one a method."""
    return found is not None and (found.value, found.methods) == (pytest.approx(np.mean(values)), len(values))


def test_a_rule_that_orders_as_the_test_split_does_loses_nothing(judged_record: MakeRecord) -> None:
    found = worth_of(RULES["labels:100"], [judged_record(TESTED, {"labels:100": TESTED}, method=m) for m in "ab"])
    assert is_mean(found.correlation, [1.0, 1.0])
    assert is_mean(found.regret, [0.0, 0.0])
    assert is_mean(found.gain, [TESTED[0] - 0.20] * 2)


def test_more_of_a_criterion_that_is_better_high_is_taken_so(judged_record: MakeRecord) -> None:
    record = judged_record(TESTED, {"told": TESTED})  # the higher the worse
    found = worth_of(RULES["told"], [record])
    assert is_mean(found.correlation, [-1.0])
    assert is_mean(found.regret, [0.40 - 0.20])
    assert is_mean(found.gain, [0.30 - 0.40])


def test_the_profile_and_a_random_trial_stand_beside_the_rules(judged_record: MakeRecord) -> None:
    default, random = worths([judged_record(TESTED, {})])[-2:]
    assert is_mean(default.regret, [0.30 - 0.20])
    assert is_mean(random.regret, [np.mean(TESTED) - 0.20])
    assert is_mean(default.gain, [0.0])
    assert is_mean(default.over_random, [np.mean(TESTED) - TESTED[0]])
    assert random.over_random is None
    assert (default.correlation, random.correlation) == (None, None)


def test_methods_that_are_told_or_have_one_vector_do_not_count(judged_record: MakeRecord) -> None:
    """Without labels nothing is said of their trials: `told` is the same for all of a single vector."""
    names = ("mmcvae", "supervised", "sepclr_supervised", "simclr", "beta_vae", "pca", "not_installed")
    found = comparable([judged_record(TESTED, {}, method=name) for name in names])
    assert [record.method for record in found] == ["mmcvae", "not_installed"]


def test_stability_chooses_only_among_trials_that_its_own_rule_picked(judged_record: MakeRecord) -> None:
    """By `told` and `apart` trial 2 is chosen, of gap 0.25; with `stable`, known of the best four, trial 1, of 0.20."""
    judged = {"told": [0.1, 0.5, 0.6, 0.2, 0.3], "apart": [0.5] * 5, "salient_rank": [3.0] * 5}
    record = judged_record(TESTED, judged | {"stable": [None, 0.9, 0.1, 0.3, 0.2]})
    for criterion, gain in (("labels", 0.05), ("labels:100", 0.05), ("label-free", 0.10)):
        found = worth_of(RULES["label-free"], [replace(record, criterion=criterion)])
        assert is_mean(found.gain, [gain]), criterion


def test_more_seeds_count_only_for_the_rule_that_picked_what_ran_under_them(judged_record: MakeRecord) -> None:
    """Under one seed trial 1 has the best gap, and the fewest loss; under a second one both are bad."""
    record = judged_record(TESTED, {"loss": [2.0, 1.0, 3.0, 4.0, 5.0]}, gaps=[0.3, 0.2, 0.4, 0.5, 0.6])
    first = record.trials[1].outcomes[0]
    again = replace(record.trials[1], outcomes=(first, replace(first, seed=1, gap=0.9, criteria={"loss": 9.0})))
    record = replace(record, trials=(record.trials[0], again, *record.trials[2:]))
    for criterion, by_labels, by_loss in (("labels", 0.0, 0.1), ("labels:100", 0.1, 0.1)):
        tuned = replace(record, criterion=criterion)
        assert is_mean(worth_of(RULES["labels"], [tuned]).gain, [by_labels])
        assert is_mean(worth_of(RULES["loss"], [tuned]).gain, [by_loss])


@pytest.mark.parametrize("gains", [[0.1] * 3, [0.3 - 0.2, 0.4 - 0.3, 0.6 - 0.5]])
def test_gains_that_are_equal_but_for_rounding_have_no_interval(gains: list[float]) -> None:
    assert estimate(gains) == Estimate(pytest.approx(0.1), None, 3)


def test_a_rule_that_judges_no_trial_of_a_method_does_not_count_it(judged_record: MakeRecord) -> None:
    with_loss = judged_record(TESTED, {"loss": TESTED}, method="mmcvae")
    without = judged_record(TESTED, {}, method="cpca")
    by_name = {found.name: found for found in worths([with_loss, without])}
    assert is_mean(by_name["loss"].regret, [0.0])
    assert is_mean(by_name["default"].regret, [0.1, 0.1])
    assert by_name["told"].regret is None


def test_a_failed_trial_has_the_worst_gap_and_is_not_ranked(judged_record: MakeRecord) -> None:
    gaps = [None, 0.1, 0.2, 0.3, 0.4]
    record = judged_record([None, *TESTED[1:]], {"told": [None, 1, 2, 3, 4]}, gaps=gaps)
    assert is_mean(worth_of(RULES["told"], [record]).gain, [1.0 - 0.35])
    assert rank_correlation(RULES["told"], record) == pytest.approx(-0.8)


def test_too_few_trials_or_equal_ones_have_no_rank_correlation(judged_record: MakeRecord) -> None:
    assert rank_correlation(RULES["told"], judged_record(TESTED[:3], {"told": [1, 2, 3]})) is None
    assert rank_correlation(RULES["told"], judged_record(TESTED, {"told": [1] * 5})) is None
    assert rank_correlation(RULES["told"], judged_record([0.3] * 5, {"told": [1, 2, 3, 4, 5]})) is None


def test_rank_correlation_is_that_of_ranks(judged_record: MakeRecord) -> None:
    generator = np.random.default_rng(0)
    judged, tested = generator.integers(0, 5, 16) / 10, generator.random(16)
    expected = np.corrcoef(rankdata(judged), rankdata(tested))[0, 1]
    record = judged_record(tested.tolist(), {"labels:100": judged.tolist()})
    assert rank_correlation(RULES["labels:100"], record) == pytest.approx(expected)


def test_methods_with_one_trial_or_unknown_test_gaps_are_not_compared(judged_record: MakeRecord) -> None:
    records = [
        judged_record(TESTED, {}, method="whole"),
        judged_record(TESTED[:1], {}, method="nothing_to_search"),
        judged_record([*TESTED[:4], None], {}, method="not_opened"),
    ]
    assert [record.method for record in comparable(records)] == ["whole"]
    assert worths(records[1:])[-1].regret is None


def test_an_estimate_is_the_t_interval() -> None:
    found = estimate([1.0, 2.0, 4.0])
    assert found is not None
    # by hand: mean 7/3, standard error sqrt(7/3)/sqrt(3), t of 2 degrees of freedom 4.302653
    assert found.value == pytest.approx(7 / 3)
    assert found.half_width == pytest.approx(4.302653 * (7 / 3) ** 0.5 / 3**0.5, rel=1e-6)
    assert found.methods == 3
    assert estimate([]) is None
    assert estimate([1.0]) == (1.0, None, 1)
    assert estimate([1.0, 1.0]) == (1.0, None, 2)


def _simulated(
    judged_record: MakeRecord, generator: np.random.Generator, skill: float, methods: int
) -> list[TuningRecord]:
    """Methods of 16 trials whose test gaps spread by 1 to 6 points, judged with `skill` times the truth, and noise."""
    records = []
    for number in range(methods):
        spread = generator.uniform(0.01, 0.06)
        tested = 0.4 + spread * generator.normal(size=16)
        judged = skill * tested + spread * generator.normal(size=16)
        records.append(judged_record(tested.tolist(), {"labels:100": judged.tolist()}, method=f"method{number}"))
    return records


@pytest.mark.parametrize("skill", [0.0, 1.0])
def test_intervals_hold_the_true_mean_and_find_no_gain_where_there_is_none(
    judged_record: MakeRecord, skill: float
) -> None:
    generator, rule = np.random.default_rng(1), RULES["labels:100"]
    found = [worth_of(rule, _simulated(judged_record, generator, skill, 8)) for _ in range(300)]
    for name, fewest in (("gain", 0.92), ("correlation", 0.90), ("regret", 0.84)):
        estimates = [getattr(worth, name) for worth in found]
        truth = np.mean([estimate.value for estimate in estimates])
        assert np.mean([estimate.low <= truth <= estimate.high for estimate in estimates]) >= fewest, name
    seen = np.mean([worth.gain.low > 0 for worth in found])
    assert seen <= 0.045 if skill == 0 else seen > 0.3
