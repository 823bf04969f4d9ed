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


def test_methods_that_learn_from_attributes_or_have_one_vector_do_not_count(judged_record: MakeRecord) -> None:
    """Without labels nothing is said of their trials: `told` is the same for all of a single vector."""
    record = judged_record(TESTED, {})
    others = [replace(record, method="taught", supervised=True), replace(record, method="one", one_space=True)]
    assert comparable([record, *others]) == [record]


@pytest.mark.parametrize("criterion", ["labels", "labels:100", "label-free"])
def test_what_is_known_of_some_trials_alone_counts_for_no_rule(judged_record: MakeRecord, criterion: str) -> None:
    """Under one seed trial 1 is the best by all rules; under a second, it is the worst, and it is not stable."""
    order, tested = [0.3, 0.1, 0.4, 0.5], [0.30, 0.20, 0.25, 0.40]
    better_high = [-value for value in order]
    known = {"labels:100": order, "loss": order, "told": better_high, "apart": better_high, "salient_rank": [3.0] * 4}
    record = judged_record(tested, known | {"stable": [0.9, 0.0, 0.8, 0.7]}, gaps=order)
    first = record.trials[1].outcomes[0]
    worse = dict.fromkeys(known, 9.0) | {"told": -9.0, "apart": -9.0, "salient_rank": 0.0}
    again = replace(record.trials[1], outcomes=(first, replace(first, seed=1, gap=0.9, criteria=worse)))
    record = replace(record, criterion=criterion, trials=(record.trials[0], again, *record.trials[2:]))
    for rule in RULES.values():
        found = worth_of(rule, [record])
        assert is_mean(found.gain, [0.30 - 0.20]), rule.name
        assert is_mean(found.correlation, [np.corrcoef(rankdata(order), rankdata(tested))[0, 1]]), rule.name


def test_a_rule_judges_a_trial_that_failed_under_a_further_seed(judged_record: MakeRecord) -> None:
    record = judged_record(TESTED, {"told": [None, 0.9, None, None, None]})
    first = record.trials[1].outcomes[0]
    again = replace(record.trials[1], outcomes=(first, replace(first, seed=1, gap=None, error="no", criteria={})))
    found = worth_of(RULES["told"], [replace(record, trials=(record.trials[0], again, *record.trials[2:]))])
    assert is_mean(found.gain, [0.30 - 0.20])


def test_a_trial_at_random_is_one_that_did_not_fail(judged_record: MakeRecord) -> None:
    record = judged_record([0.3, None, 0.1], {"told": [0.1, None, 0.2]}, gaps=[0.3, None, 0.1])
    assert is_mean(worth_of(RULES["told"], [record]).over_random, [0.2 - 0.1])
    failed = judged_record([None] * 3, {}, gaps=[None] * 3)
    assert is_mean(worths([failed])[-1].regret, [0.0])


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
