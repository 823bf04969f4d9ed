"""What choosing by a rule is worth: how it orders the trials of a method, and what its choice loses against the best.

Both take the test gaps of trials, which are known once `cabench open-trials` has opened the test split. The *rank
correlation* of a rule is Spearman's between what it judges trials by and their test gaps. Its *regret* is the test gap
of the trial that it chooses less the best test gap of any trial: as the test split's own luck helps to find the best,
no rule can be expected to reach 0. Its *gain* is the test gap of trial 0, the profile's own settings, less that of its
choice; its gain over a trial at random takes the mean of all trials that did not fail in place of trial 0. A trial that
failed has the worst gap.

All rules judge trials under the one seed that all have, whose test gap is known: more seeds ran only of those that one
of the rules had picked. So `stable` does not count.

Methods that learn from the attributes do not count, as they are yardsticks; nor do those with one vector for both
spaces, of which criteria without labels say the same in every trial.

Intervals are Student's t over the methods of a data set: another method has other trials, so that the differences
between methods hold the luck of the trials too. In simulations of 3 to 12 methods with 16 trials each, 95 % intervals
of a gain held the true mean in 92 to 97 of 100 tables, those of a rank correlation in 92 to 95, and of a regret, which
is skewed, in 86 to 91; a bootstrap over methods in 70 to 91, and one over methods and their trials in 79 to 97. The
last is no better where it matters: of a rule that knows nothing it finds a gain in 2 to 4 of 100 tables, Student's t in
1 to 2. That holds of trials that did not fail. Where some did, differences from trial 0 are skewed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr, t

from cabench.tuning.choice import choose, first_look
from cabench.tuning.criteria import STABLE
from cabench.tuning.rules import RULES, Rule, has_ended
from cabench.tuning.tuning_record import Outcome, TrialEntry, TuningRecord
from cabench.tuning.worth import is_opened, test_gap_of

DEFAULT, RANDOM = "default", "random"
LEVEL = 0.05
_ROUNDING = 1e-9
"""Gaps that differ by less are equal."""
FEWEST_RANKED = 4
"""Trials of which a rank correlation is taken."""


class Estimate(NamedTuple):
    """A mean over methods.

    Attributes:
        value: the mean.
        half_width: of its interval; None of one method alone, and where all have the same value but for rounding.
        methods: how many there are.
    """

    value: float
    half_width: float | None
    methods: int

    @property
    def low(self) -> float | None:
        """The lower end of the interval; None where there is none."""
        return None if self.half_width is None else self.value - self.half_width

    @property
    def high(self) -> float | None:
        """The upper end; None likewise."""
        return None if self.half_width is None else self.value + self.half_width


class Worth(NamedTuple):
    """What a way to choose is worth, over methods.

    Attributes:
        name: of the rule, `DEFAULT` or `RANDOM`.
        correlation: in [-1, 1], more is better; None where the rule orders no trials.
        regret: a gap, less is better; None where it judges none.
        gain: a gap, over the profile's own settings, more is better; None likewise.
        over_random: the same over a trial taken at random; None of `RANDOM` too.
    """

    name: str
    correlation: Estimate | None
    regret: Estimate | None
    gain: Estimate | None
    over_random: Estimate | None


def comparable(records: Sequence[TuningRecord]) -> list[TuningRecord]:
    """Those in which there was something to choose, with known test gaps, of methods of which it says something."""
    return [record for record in records if not why_not_comparable(record)]


def why_not_comparable(record: TuningRecord) -> list[str]:
    """Why a record says nothing of what rules are worth, as clauses; empty where it does."""
    reasons = {
        "learns from the attributes": record.supervised,
        "one vector for both spaces": record.one_space,
        "nothing to choose": len(record.trials) == 1,
        "not all of its trials are opened": not is_opened(record),
    }
    return [reason for reason, holds in reasons.items() if holds]


def worths(records: Sequence[TuningRecord]) -> list[Worth]:
    """What each rule is worth on one data set, then the profile's own settings and a trial taken at random."""
    found = [worth_of(rule, records) for rule in RULES.values()]
    by_chance = _without_judging(RANDOM, _at_random, records)._replace(over_random=None)
    return [*found, _without_judging(DEFAULT, _first, records), by_chance]


def worth_of(rule: Rule, records: Sequence[TuningRecord], level: float = LEVEL) -> Worth:
    """What one rule is worth on one data set; of records that `comparable` leaves in.

    Args:
        rule: it counts for methods of which it judges any trial.
        records: of the methods.
        level: how often an interval may miss.
    """
    among = [record for record in comparable(records) if rule.costs(looked_at(record))]
    correlations = [rank_correlation(rule, record) for record in among]
    chosen = [_test_gaps(record)[choose(looked_at(record), rule).number] for record in among]
    known = [value for value in correlations if value is not None]
    return Worth(rule.name, estimate(known, level), *_against_trials(chosen, among, level))


def looked_at(record: TuningRecord) -> list[TrialEntry]:
    """The trials as all rules may judge them: under the one seed that all have, by what one seed tells."""
    return [replace(trial, outcomes=tuple(map(_alone, trial.outcomes))) for trial in first_look(record.trials)]


def _alone(outcome: Outcome) -> Outcome:
    """What a single seed tells."""
    return replace(outcome, criteria={name: value for name, value in outcome.criteria.items() if name != STABLE})


def rank_correlation(rule: Rule, record: TuningRecord) -> float | None:
    """Spearman's, over the trials that the rule judges.

    None where these are fewer than `FEWEST_RANKED`, or where all have the same test gap or are judged alike.
    """
    costs, gaps = rule.costs(looked_at(record)), _test_gaps(record)
    numbers = sorted(costs)
    judged, tested = [costs[number] for number in numbers], [gaps[number] for number in numbers]
    if len(numbers) < FEWEST_RANKED or min(len(set(judged)), len(set(tested))) < 2:
        return None
    return float(spearmanr(judged, tested).statistic)


def estimate(values: Sequence[float], level: float = LEVEL) -> Estimate | None:
    """The mean of one value a method, with its interval; None without values."""
    if not values:
        return None
    count, spread = len(values), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    differ = max(values) - min(values) > _ROUNDING
    half_width = float(t.ppf(1 - level / 2, count - 1)) * spread / count**0.5 if differ else None
    return Estimate(float(np.mean(values)), half_width, count)


def _without_judging(name: str, take: Callable[[TuningRecord], float], records: Sequence[TuningRecord]) -> Worth:
    among = comparable(records)
    return Worth(name, None, *_against_trials(list(map(take, among)), among, LEVEL))


def _against_trials(
    chosen: Sequence[float], records: Sequence[TuningRecord], level: float
) -> tuple[Estimate | None, Estimate | None, Estimate | None]:
    """Regret, gain and gain over a random trial of the test gaps of what was chosen, one a record."""
    tested = [_test_gaps(record) for record in records]
    regrets = [gap - min(gaps) for gap, gaps in zip(chosen, tested, strict=True)]
    gains = [gaps[0] - gap for gap, gaps in zip(chosen, tested, strict=True)]
    over_random = [_at_random(record) - gap for gap, record in zip(chosen, records, strict=True)]
    return estimate(regrets, level), estimate(gains, level), estimate(over_random, level)


def _test_gaps(record: TuningRecord) -> list[float]:
    found = [test_gap_of(trial) for trial in record.trials]
    return [gap for gap in found if gap is not None]


def _first(record: TuningRecord) -> float:
    return _test_gaps(record)[0]


def _at_random(record: TuningRecord) -> float:
    """The mean test gap of trials that did not fail: whoever takes one that did, sees it and takes another."""
    gaps = _test_gaps(record)
    ended = [gaps[trial.number] for trial in record.trials if has_ended(trial)] or gaps
    return sum(ended) / len(ended)
