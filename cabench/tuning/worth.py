"""How much tuning is worth: the test gap to expect of the best of n trials, chosen by validation.

Of N trials, in the order of their validation gaps with the worst first, t_(i) is the test gap of the i-th. Over all
sets of n of them, the mean test gap of the one with the best validation gap is

    E_n = sum over i >= n of t_(i) C(i - 1, n - 1) / C(N, n)

(Tang et al., ACL 2020, with test scores in place of validation scores). That is unbiased for n trials drawn like these.
Trials of a Sobol sequence are not drawn at random, so that it is an approximation over subsets. n = 1 is a setting
taken at random, not the profile's own. The second look at the best trials is not part of it.

The band comes from drawing trials with replacement: it is of other trials, not of other seeds or test rows. Towards
half the budget the best few trials decide and no resample holds a better one, so that it is too narrow there. In
simulations 95 % bands held the true value in 91 to 93 % of cases for n = 1 and in 72 to 85 % at half the budget, of
16 and of 32 trials; bands corrected for bias and skewness (BCa) did no better. Beyond half the budget nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.stats import hypergeom, rankdata

from cabench.tuning.rules import has_ended
from cabench.tuning.tuning_record import WORST, TrialEntry, TuningRecord

RESAMPLES = 2000
BAND = 0.95
"""The part of the resamples that lies in a band."""


class Curve(NamedTuple):
    """The expected test gap of one method against the number of trials.

    Attributes:
        method: its label.
        trials: how many there were.
        counts: the numbers of trials n: 1, 2, 4, ... up to half of those there were. A method with nothing to search
            has those of the others.
        expected: float64 (len(counts),), in [0, 1], less is better.
        resampled: float64 (RESAMPLES, len(counts)), the same of trials that were drawn with replacement.
    """

    method: str
    trials: int
    counts: tuple[int, ...]
    expected: np.ndarray
    resampled: np.ndarray

    @property
    def has_band(self) -> bool:
        """Whether trials were drawn that differ: of one alone nothing is known."""
        return self.trials > 1

    @property
    def band(self) -> np.ndarray:
        """Float64 (2, len(counts)): the ends of the band."""
        ends: np.ndarray = np.quantile(self.resampled, [(1 - BAND) / 2, (1 + BAND) / 2], axis=0)
        return ends


class RankChange(NamedTuple):
    """The rank of a method among others with one trial, and with the best of more.

    Attributes:
        method: its label.
        first: with one trial; 1 is the smallest gap, and equal methods share the better rank.
        last: with more.
        certainty: the part of the resamples in which its rank changes in this direction.
    """

    method: str
    first: int
    last: int
    certainty: float


def test_gap_of(trial: TrialEntry) -> float | None:
    """The test gap of a trial under the seed that all trials have.

    The worst there is where the trial failed; None where the test split was not opened.
    """
    if not trial.outcomes or trial.outcomes[0].gap is None:
        return WORST
    return trial.outcomes[0].test_gap


def is_opened(record: TuningRecord) -> bool:
    """Whether the test gaps of all trials are known."""
    return all(test_gap_of(trial) is not None for trial in record.trials)


def curves_of(records: Sequence[TuningRecord]) -> list[Curve]:
    """The curves of methods on one data set, in their order; those whose test gaps are not known are left out."""
    opened = [record for record in records if is_opened(record)]
    longest = _doublings(max((len(record.trials) for record in opened), default=0))
    return [_curve(record, _doublings(len(record.trials)) if record.space else longest) for record in opened]


def expected_best(judged: np.ndarray, tested: np.ndarray, n: int, copies: np.ndarray | None = None) -> np.ndarray:
    """The mean test gap of the best of n trials by validation gap, over all sets of n trials.

    Of trials with equal validation gaps each is as likely to be the one that is taken.

    Args:
        judged: float64 (N,), validation gaps; less is better.
        tested: float64 (N,), test gaps.
        n: from 1 to N.
        copies: int64 (resamples, N), how often each trial is there, N in all; None for each once.

    Returns:
        Float64 (resamples,): one alone without copies.
    """
    total = len(judged)
    copies = np.ones((1, total), np.int64) if copies is None else copies
    order = np.argsort(-judged, kind="stable")
    starts = np.flatnonzero(np.diff(judged[order], prepend=np.inf))  # of trials with equal gaps
    there = np.add.reduceat(copies[:, order], starts, axis=1)
    means = np.add.reduceat((copies * tested)[:, order], starts, axis=1) / np.maximum(there, 1)
    # By how many are no better than the equals: how likely it is that all n are among these.
    all_within = hypergeom.pmf(n, total, np.arange(total + 1), n)
    best_is_here = np.diff(all_within[np.cumsum(there, axis=1)], prepend=0.0)
    found: np.ndarray = (best_is_here * means).sum(axis=1)
    return found


def rank_changes(curves: Sequence[Curve], n: int) -> list[RankChange]:
    """The ranks of methods with one trial and with the best of n, which all their curves have."""
    first, last = (_ranks(np.stack([curve.expected[curve.counts.index(k)] for curve in curves])) for k in (1, n))
    drawn = [_ranks(np.stack([curve.resampled[:, curve.counts.index(k)] for curve in curves])) for k in (1, n)]
    alike = np.sign(drawn[1] - drawn[0]) == np.sign(last - first)[:, None]
    columns = zip(curves, first.tolist(), last.tolist(), alike.mean(axis=1).tolist(), strict=True)
    return [RankChange(curve.method, *found) for curve, *found in columns]


class Agreement(NamedTuple):
    """How alike two orders of methods are: Spearman's rank correlation, in [-1, 1].

    Attributes:
        correlation: of the orders; NaN where all methods are equal in one.
        low: where 95 % of the resamples begin; NaN where all methods are equal in all.
        high: where they end.
    """

    correlation: float
    low: float
    high: float


def order_agreement(curves: Sequence[Curve], n: int) -> Agreement:
    """How alike the orders of methods are with one trial and with the best of n, which all their curves have."""
    expected = [np.array([[curve.expected[curve.counts.index(k)]] for curve in curves]) for k in (1, n)]
    drawn = [np.stack([curve.resampled[:, curve.counts.index(k)] for curve in curves]) for k in (1, n)]
    correlation = float(_correlations(*expected)[0])
    found = _correlations(*drawn)
    known = found[~np.isnan(found)]
    low, high = np.quantile(known, [(1 - BAND) / 2, (1 + BAND) / 2]).tolist() if len(known) else (math.nan, math.nan)
    return Agreement(correlation, low, high)


def without_failures(records: Sequence[TuningRecord]) -> list[TuningRecord]:
    """Records of the trials that did not fail; without those of which all did."""
    ended = [replace(record, trials=tuple(filter(has_ended, record.trials))) for record in records]
    return [record for record in ended if record.trials]


def share_between_methods(records: Sequence[TuningRecord]) -> float:
    """The part of the variance of single trials' test gaps that lies between methods, in [0, 1]; they weigh alike.

    The rest lies between the trials of a method: it is what settings, and luck, make of it. NaN where all are equal.

    Args:
        records: whose trials are all opened.
    """
    gaps = [np.array([test_gap_of(trial) for trial in record.trials], np.float64) for record in records]
    between, within = np.var([each.mean() for each in gaps]), np.mean([each.var() for each in gaps])
    total = float(between + within)
    return float(between) / total if total > 0 else math.nan


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation over methods, float64 (sets,), of values (methods, sets)."""
    first, second = (ranks - ranks.mean(axis=0) for ranks in (rankdata(one, axis=0), rankdata(other, axis=0)))
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (first * second).sum(axis=0) / np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    return found


def _curve(record: TuningRecord, counts: tuple[int, ...]) -> Curve:
    judged = np.array([trial.gap for trial in record.trials])
    tested = np.array([test_gap_of(trial) for trial in record.trials], np.float64)
    total = len(judged)
    # Methods are tried independently, and so are their resamples.
    generator = np.random.default_rng(list(record.method.encode()))
    copies = generator.multinomial(total, np.full(total, 1 / total), size=RESAMPLES)
    sizes = [min(n, total) for n in counts]  # a single setting is the best of any number
    expected = np.concatenate([expected_best(judged, tested, n) for n in sizes])
    resampled = np.stack([expected_best(judged, tested, n, copies) for n in sizes], axis=1)
    return Curve(record.method, total, counts, expected, resampled)


def _doublings(trials: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to half the trials; 1 always."""
    return tuple(1 << power for power in range(max(trials // 2, 1).bit_length()))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Int64, of the shape of the values (methods, ...): 1 is the least of the methods."""
    ranks: np.ndarray = rankdata(values, method="min", axis=0).astype(np.int64)
    return ranks
