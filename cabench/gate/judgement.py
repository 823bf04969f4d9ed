"""Which metrics got worse: one-sided tests of new seeds against a baseline's, corrected for their number.

The question of each test is whether the loss exceeds `effect`, not merely 0, so that losses too small to matter fail
nothing however many seeds show them. All quantities are distances from an ideal, as fractions; more is worse.

*Shared spread.* With three seeds on each side a metric's own spread is known so poorly that a t-test, corrected for 60
comparisons, finds a loss of five spreads once in three times. All metrics of the table together tell what spreads are
usual and how much they vary between metrics. As in limma (Smyth, Statistical Applications in Genetics and Molecular
Biology 3, 2004) variances are taken to vary as a scaled inverse chi-square with parameters estimated from all of them
(by the moments of their logarithms), and each metric's variance is drawn towards the usual one: where metrics spread
alike, the test has hundreds of degrees of freedom; where they do not, it is close to an ordinary t-test. How much
variances vary is taken one standard error higher than estimated, as believing too much in a common spread raises false
alarms where seeds have heavy tails. A metric that spreads so much more than is usual that one in a hundred would by
chance is left its own variance and degrees of freedom, as in the robust form (Phipson et al., Annals of Applied
Statistics 10, 2016): else a wild one among tame ones would be called worse again and again. Spreads below
`SMALLEST_SPREAD` count as that: they come from metrics at their ceiling and say nothing of others.

*No pairing.* On a processor the same code and seed give the same numbers, bit for bit. A changed code breaks that: the
same seed starts at the same weights and draws the same images, but soon trains another network. Where some of the
likeness is left, values of the same seed are positively correlated, and an unpaired test errs on the careful side;
pairing would halve the degrees of freedom for a likeness that need not be there, and ask for the same seeds.

*Degenerate cases.* Values equal to the baseline's under every seed are no change and are not tested. A method of which
no seed changes any metric is compared exactly. One seed on each side rests on the spread of the other metrics; where
there is none at all, a loss beyond `effect` cannot be tested, and that is said.

*What the rate means.* In at most `level` of comparisons without a change is any metric called worse (Holm), provided
that seeds are drawn alike on both sides. Measured, by `tests/gate/test_judgement.py`: normal values, values with heavy
tails (t with 3 degrees of freedom), values correlated within a cell, spreads alike, log-normal, drawn from those of the
published records, and one in twenty ten times the others: 0 to 5 % of comparisons fail at a level of 5 %. A loss of 5
points in one of 60 metrics, with a spread of 1 point and three seeds each, is found in 97 to 99 % where the others
spread alike (90 to 94 % where seeds have heavy tails), and in 32 to 94 % where they do not; with five seeds, in 95 to
100 % in either case. A baseline that was lucky is lucky in every later comparison: the rate is over baselines too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import fmean
from typing import NamedTuple, TypeVar

import numpy as np
from scipy import optimize, special, stats

from cabench.report.multiplicity import holm

LEVEL = 0.05
EFFECT = 0.005
SMALLEST_SPREAD = 0.005
_WILD = 0.01  # probability of a spread by chance from which on a metric is not drawn towards the others
_ALIKE = 1e-6  # variances of log-variances below this are none: over a million degrees of freedom

_Key = TypeVar("_Key")


class Verdict(StrEnum):
    """What a comparison came to."""

    SAME = "no change"
    HELD = "not shown to be worse"
    WORSE = "worse"
    UNTESTED = "cannot be tested"


class Pair(NamedTuple):
    """One metric on both sides.

    Attributes:
        old: one value a seed, at least one.
        new: likewise.
        unchanged: whether the new values are the baseline's, bit for bit, under every seed.
        exact: whether no seed changes any metric of the cell, so that nothing is left to chance.
    """

    old: Sequence[float]
    new: Sequence[float]
    unchanged: bool = False
    exact: bool = False

    @property
    def loss(self) -> float:
        """How much worse the new mean is."""
        return fmean(self.new) - fmean(self.old)


class Result(NamedTuple):
    """What became of one metric.

    Attributes:
        verdict: whether it got worse.
        loss: new mean minus old mean of the distances; positive is worse.
        p_value: that of the test, corrected for the number of tests; None where there was none.
    """

    verdict: Verdict
    loss: float
    p_value: float | None


class UsualSpread(NamedTuple):
    """What the table's metrics have in common: the prior of their variances.

    Attributes:
        variance: the usual variance over seeds.
        weight: the degrees of freedom that it stands for; infinite where all spread alike, 0 where nothing is known.
        total: degrees of freedom of all metrics together, more than which no test has.
    """

    variance: float
    weight: float
    total: float


class Judgement(NamedTuple):
    """The results of a table.

    Attributes:
        results: by metric.
        tests: how many were tested.
        usual_spread: standard deviation over seeds; None where none is known.
        detectable: the smallest loss of a metric of usual spread that is found with a probability of 0.95; None where
            nothing was tested.
    """

    results: Mapping[object, Result]
    tests: int
    usual_spread: float | None
    detectable: float | None


def judge(pairs: Mapping[_Key, Pair], level: float = LEVEL, effect: float = EFFECT) -> Judgement:
    """Tell which metrics of a table got worse.

    Args:
        pairs: by anything that names the metric.
        level: the share of comparisons without a change in which any metric may be called worse.
        effect: the loss that must be exceeded.
    """
    usual = usual_spread(list(pairs.values()))
    tested = {key: pair for key, pair in pairs.items() if _can_be_tested(pair, usual)}
    corrected = holm(dict(zip(tested, _p_values(list(tested.values()), usual, effect), strict=True)))
    results: dict[object, Result] = {
        key: Result(_verdict(pair, corrected.get(key), level, effect), pair.loss, corrected.get(key))
        for key, pair in pairs.items()
    }
    return Judgement(
        results,
        len(tested),
        float(np.sqrt(usual.variance)) if usual.weight else None,
        _detectable(list(tested.values()), usual, level, effect),
    )


def usual_spread(pairs: Sequence[Pair]) -> UsualSpread:
    """The prior of variances, from all metrics that chance has a part in and that have two seeds on a side."""
    found = [_own_spread(pair) for pair in pairs if not pair.exact]
    variances, degrees = (np.array(column) for column in zip(*found, strict=True)) if found else (np.empty(0),) * 2
    variances, degrees = variances[degrees > 0], degrees[degrees > 0]
    if len(degrees) < 2:
        return UsualSpread(0.0, 0.0, float(degrees.sum()))
    variances = np.maximum(variances, SMALLEST_SPREAD**2)
    logarithms = np.log(variances) - special.digamma(degrees / 2) + np.log(degrees / 2)
    varying = logarithms.var(ddof=1)
    excess = varying * (1 + np.sqrt(2 / (len(degrees) - 1))) - special.polygamma(1, degrees / 2).mean()
    total = float(degrees.sum())
    if excess < _ALIKE:
        return UsualSpread(float(np.average(variances, weights=degrees)), np.inf, total)
    weight = 2 * optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-6, 2 / _ALIKE)
    usual = np.exp(logarithms.mean() + special.digamma(weight / 2) - np.log(weight / 2))
    return UsualSpread(float(usual), float(weight), total)


def _own_spread(pair: Pair) -> tuple[float, int]:
    """A metric's own variance over seeds, about the mean of each side, and its degrees of freedom."""
    # Equal values on both sides were drawn once, not twice.
    sides = [pair.old] if pair.unchanged else [pair.old, pair.new]
    degrees = sum(len(side) - 1 for side in sides)
    squares = sum(_squares(side) for side in sides)
    return (squares / degrees if degrees else 0.0), degrees


def _squares(values: Sequence[float]) -> float:
    """The sum of squared distances from the mean."""
    mean = fmean(values)
    return sum((value - mean) ** 2 for value in values)


def _can_be_tested(pair: Pair, usual: UsualSpread) -> bool:
    """Whether chance has a part in it, and its spread is known from seeds of its own or from other metrics."""
    return not (pair.unchanged or pair.exact) and _own_spread(pair)[1] + usual.weight > 0


def _p_values(tested: Sequence[Pair], usual: UsualSpread, effect: float) -> list[float]:
    """One-sided p-values of losses of `effect` or less."""
    moderated = [_moderated(pair, usual) for pair in tested]
    variances, degrees = np.array(moderated).reshape(-1, 2).T
    sizes = np.array([1 / len(pair.old) + 1 / len(pair.new) for pair in tested])
    losses = np.array([pair.loss for pair in tested])
    p_values: list[float] = stats.t.sf((losses - effect) / np.sqrt(variances * sizes), degrees).tolist()
    return p_values


def _moderated(pair: Pair, usual: UsualSpread) -> tuple[float, float]:
    """A metric's variance drawn towards the usual one, unless it is wild, and its degrees of freedom."""
    own, degrees = _own_spread(pair)
    own = max(own, SMALLEST_SPREAD**2)
    if degrees and usual.weight and own > usual.variance * _f_quantile(degrees, usual.weight):
        return own, degrees
    if np.isinf(usual.weight):
        return usual.variance, usual.total
    variance = (usual.weight * usual.variance + degrees * own) / (usual.weight + degrees)
    return variance, min(degrees + usual.weight, usual.total)


def _f_quantile(degrees: int, weight: float) -> float:
    """The ratio of a metric's own variance to the usual one that chance exceeds with probability `_WILD`."""
    if np.isinf(weight):
        return float(stats.chi2.isf(_WILD, degrees)) / degrees
    return float(stats.f.isf(_WILD, degrees, weight))


def _verdict(pair: Pair, p_value: float | None, level: float, effect: float) -> Verdict:
    if pair.unchanged:
        return Verdict.SAME
    if p_value is not None:
        return Verdict.WORSE if p_value < level else Verdict.HELD
    if pair.loss <= effect:
        return Verdict.HELD
    return Verdict.WORSE if pair.exact else Verdict.UNTESTED


def _detectable(tested: Sequence[Pair], usual: UsualSpread, level: float, effect: float) -> float | None:
    """The loss that a test of typical size finds with a probability of 0.95, by the normal approximation."""
    if not tested or not usual.weight:
        return None
    size = float(np.median([1 / len(pair.old) + 1 / len(pair.new) for pair in tested]))
    degrees = min(float(np.median([_own_spread(pair)[1] for pair in tested])) + usual.weight, usual.total)
    errors = stats.t.isf(level / len(tested), degrees) + stats.norm.isf(0.05)
    return effect + float(errors * np.sqrt(usual.variance * size))
