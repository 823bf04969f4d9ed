"""How much two methods differ, where both the seeds and the test groups are drawn by chance.

A mean over seeds would come out differently under other seeds, and on other test groups: subjects, or the rows
themselves where no subjects are known. Each source has a variance:

- *Seeds*: the variance of a method's values / its number of seeds; 0 for a method that no seed changes. Seeds are not
  paired, as equal seeds share little after training.
- *Test groups*: all methods are scored on the same ones, so they are paired: the contributions of a group to both
  scores are subtracted first. See `cabench.evaluation.grouped.sampled`.

Three t-tests ask whether the difference is more than chance: against the sum of both variances, against each alone.
**The largest of the three p-values counts.** The degrees of freedom of a sum, how much is known of its size, are
Satterthwaite's (Biometrics Bulletin 1946). The design is that of the studies in which several readers judge the same
patients under two techniques (Hillis, Statistics in Medicine 2007).

What no test here covers is another training split.

Measured by `tests/simulate_comparisons.py`, 2,000 tables of two methods a number, in percent. The level, how often
equal methods are called different, is to be 5 at most; the power is that at a difference of 3 true standard errors.
Beside them the level of a paired t-test over seeds alone:

    seeds, groups, what varies with seeds         level  power  level over seeds
    3, 4 or 20, both deterministic              4.6-5.2  54-80               100
    3, 20, one deterministic                        3.8     77                28
    3, 20 or 60, spread of 3 points             3.2-3.5  69-71              8-10
    3, 1000, spread of 1 or 3 points                3.5  56-66               6-9
    5, 4, spread of 3 points                        3.9     56                25
    5, 20 or 1000, spread of 3 points           3.3-3.6  75-79              6-16
    AUC terms, clipped, 8 to 1000 subjects      1.4-4.3                   12-100
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from cabench.evaluation.grouped import Sampled, sampled
from cabench.report.multiplicity import LEVEL

POWER = 0.8
FEWEST_DEGREES = 2
ROUNDING = 1e-12  # values that differ by less are equal

ONE_SEED = "one seed"  # does not tell how much seeds change a method
FEW_GROUPS = "there are too few test groups"
NO_SPREAD = "no test group changes the difference to first order, so its uncertainty is unknown"


class Sample(NamedTuple):
    """One quantity of one method.

    Attributes:
        values: float64 (seeds,).
        contributions: float64 (seeds, groups), the first-order change of each value by each test group; rows sum to 0.
        deterministic: whether its vectors are equal under all seeds.
    """

    values: np.ndarray
    contributions: np.ndarray
    deterministic: bool


class TestGroups(NamedTuple):
    """The test groups that all methods are scored on.

    Attributes:
        rows: (groups,), how many test rows each has; groups of 0 take no part.
        strata: int (groups,), what is drawn apart, see `cabench.evaluation.grouped.sampled`.
    """

    rows: np.ndarray
    strata: np.ndarray


class Difference(NamedTuple):
    """How much one method's mean differs from another's.

    Attributes:
        difference: of the means over seeds, first minus second.
        p_value: two-sided, in [0, 1]; None where it cannot be tested.
        reason: a clause that says why it cannot be tested; "" where it can.
        half_width: of the 95 % interval around the difference, over seeds and test groups. This and what follows is
            None where it cannot be tested, or where nothing varies.
        variance: of the difference, from both sources.
        degrees: of freedom of the variance.
        group_share: the test groups' part of the variance, in [0, 1]. Above a half, more test groups would tell more
            than more seeds.
        detectable: the difference that the test against both variances finds with probability 0.8.
    """

    difference: float
    p_value: float | None
    reason: str = ""
    half_width: float | None = None
    variance: float | None = None
    degrees: float | None = None
    group_share: float | None = None
    detectable: float | None = None

    @property
    def better_p(self) -> float | None:
        """The one-sided p-value that the first method has the smaller mean."""
        if self.p_value is None:
            return None
        return self.p_value / 2 if self.difference < 0 else 1 - self.p_value / 2


class Interval(NamedTuple):
    """A 95 % interval of one method's mean, over seeds and test groups.

    Attributes:
        mean: over seeds.
        half_width: the interval is mean - half_width to mean + half_width; it may reach beyond the quantity's range.
    """

    mean: float
    half_width: float


def difference(a: Sample, b: Sample, groups: TestGroups) -> Difference:
    """Compare two methods that were scored on the same test groups.

    Args:
        a: the first method.
        b: the second; it may have other seeds, and another number of them.
        groups: the test groups of both.

    Raises:
        ValueError: where the methods have contributions of different numbers of groups.
    """
    apart = float(a.values.mean() - b.values.mean())
    over_seeds = _summed([_over_seeds(a), _over_seeds(b)])
    over_groups = sampled(a.contributions.mean(axis=0) - b.contributions.mean(axis=0), *groups)
    if reason := _why_unknown([a, b], over_groups):
        return Difference(apart, None, reason)
    if over_groups.variance <= ROUNDING**2:
        return Difference(apart, None, NO_SPREAD) if abs(apart) > ROUNDING else Difference(apart, 1.0)
    total = _summed([over_seeds, over_groups])
    tests = [total, over_groups] + [over_seeds] * (over_seeds.variance > 0)
    found, usual = stdtrit(total.degrees, [POWER, 1 - LEVEL / 2]) * np.sqrt(total.variance)
    return Difference(
        difference=apart,
        p_value=max(_two_sided_p(apart, source) for source in tests) if abs(apart) > ROUNDING else 1.0,
        half_width=float(usual),
        variance=total.variance,
        degrees=total.degrees,
        group_share=over_groups.variance / total.variance,
        detectable=float(usual + found),
    )


def interval(sample: Sample, groups: TestGroups) -> Interval | None:
    """Where one method's mean lies, over seeds and test groups.

    Returns:
        None where that cannot be known: one seed of a method that learns, too few test groups, or no test group changes
        the value to first order, as where every answer is right.
    """
    over_groups = sampled(sample.contributions.mean(axis=0), *groups)
    if _why_unknown([sample], over_groups) or over_groups.variance <= ROUNDING**2:
        return None
    total = _summed([_over_seeds(sample), over_groups])
    half_width = stdtrit(total.degrees, 1 - LEVEL / 2) * np.sqrt(total.variance)
    return Interval(float(sample.values.mean()), float(half_width))


def _why_unknown(samples: Sequence[Sample], over_groups: Sampled) -> str:
    if any(len(sample.values) < 2 and not sample.deterministic for sample in samples):
        return ONE_SEED
    return FEW_GROUPS if over_groups.degrees < FEWEST_DEGREES else ""


def _over_seeds(sample: Sample) -> Sampled:
    """The variance of a mean over another draw of seeds."""
    seeds = len(sample.values)
    if sample.deterministic or seeds < 2:
        return Sampled(0.0, 0.0)
    variance = float(sample.values.var(ddof=1)) / seeds
    return Sampled(variance if variance > ROUNDING**2 else 0.0, seeds - 1)


def _summed(sources: Sequence[Sampled]) -> Sampled:
    """The variance of a sum of independent sources, and Satterthwaite's degrees of freedom of it."""
    varying = [source for source in sources if source.variance > 0]
    variance = sum(source.variance for source in varying)
    known = sum(source.variance**2 / source.degrees for source in varying)
    return Sampled(variance, variance**2 / known) if varying else Sampled(0.0, 0.0)


def _two_sided_p(apart: float, source: Sampled) -> float:
    """Of a t-test that the difference is 0."""
    return float(2 * stdtr(source.degrees, -abs(apart) / np.sqrt(source.variance)))
