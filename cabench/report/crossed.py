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
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from cabench.evaluation.grouped import all_sampled
from cabench.report.multiplicity import LEVEL

POWER = 0.8
FEWEST_DEGREES = 2
PIECE = 4096  # pairs that are compared at a time, so that many methods do not take much memory
ROUNDING = 1e-12  # values that differ by less are equal

ONE_SEED = "one seed"  # does not tell how much seeds change a method
FEW_GROUPS = "there are too few test groups"
NO_SPREAD = "no test group changes the difference to first order, so its uncertainty is unknown"


class Sample(NamedTuple):
    """One quantity of one method.

    Attributes:
        values: float64 (seeds,).
        contributions: float64 (groups,), the first-order change of their mean by each test group; they sum to 0.
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
        variance: of the difference, from both sources. This and what follows is None where it cannot be tested, or
            where nothing varies.
        degrees: of freedom of the variance.
        group_share: the test groups' part of the variance, in [0, 1]. Above a half, more test groups would tell more
            than more seeds.
    """

    difference: float
    p_value: float | None
    reason: str = ""
    variance: float | None = None
    degrees: float | None = None
    group_share: float | None = None

    @property
    def better_p(self) -> float | None:
        """The one-sided p-value that the first method has the smaller mean."""
        if self.p_value is None:
            return None
        return self.p_value / 2 if self.difference < 0 else 1 - self.p_value / 2

    @property
    def half_width(self) -> float | None:
        """Of the 95 % interval around the difference, over seeds and test groups; None as `variance` is."""
        return self._errors(1 - LEVEL / 2)

    @property
    def detectable(self) -> float | None:
        """The difference that the test against both variances finds with probability 0.8; None likewise."""
        usual, found = self._errors(1 - LEVEL / 2), self._errors(POWER)
        return None if usual is None or found is None else usual + found

    def _errors(self, part: float) -> float | None:
        """The standard error times the quantile of the t-distribution below which this part of it lies."""
        if self.variance is None:
            return None
        return float(stdtrit(self.degrees, part) * np.sqrt(self.variance))


@dataclass(frozen=True)
class Differences:
    """Every two of some methods: the first with the second, the first with the third and so on. All (pairs,).

    Attributes:
        apart: float64, the differences of means over seeds, first minus second.
        p_values: float64, two-sided; NaN where a pair cannot be tested.
        reasons: text, why not; "" where it can.
        over_groups: float64, the test groups' part of the variance.
        variances: float64, of the differences, from both sources.
        degrees: float64, of freedom of the variances.
    """

    apart: np.ndarray
    p_values: np.ndarray
    reasons: np.ndarray
    over_groups: np.ndarray
    variances: np.ndarray
    degrees: np.ndarray

    def pair(self, number: int) -> Difference:
        """One of them."""
        apart, p_value = float(self.apart[number]), float(self.p_values[number])
        if self.reasons[number]:
            return Difference(apart, None, str(self.reasons[number]))
        if not _varies(self.over_groups[number]):
            return Difference(apart, p_value)
        variance = float(self.variances[number])
        share = float(self.over_groups[number]) / variance
        return Difference(apart, p_value, "", variance, float(self.degrees[number]), share)

    @property
    def better_p(self) -> np.ndarray:
        """The one-sided p-values (pairs,) that the first of two has the smaller mean; NaN where it is not tested."""
        return np.where(self.apart < 0, self.p_values / 2, 1 - self.p_values / 2)


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
    return differences([a, b], groups).pair(0)


def differences(samples: Sequence[Sample], groups: TestGroups) -> Differences:
    """Compare every two of some methods that were scored on the same test groups.

    Args:
        samples: of the methods, which may have other seeds, and other numbers of them.
        groups: the test groups of all.

    Raises:
        ValueError: as `difference`.
    """
    first, second = np.triu_indices(len(samples), 1)
    means = np.array([sample.values.mean() for sample in samples])
    contributions = np.array([sample.contributions for sample in samples])
    pieces = [slice(start, start + PIECE) for start in range(0, len(first), PIECE)]
    parts = [all_sampled(contributions[first[p]] - contributions[second[p]], *groups) for p in pieces]
    over_groups = np.concatenate([np.zeros(0), *(variances for variances, _ in parts)])
    group_degrees = parts[0][1] if parts else 0.0
    seeds = _over_seeds(samples)
    of_both = _summed([Sources(*(part[first] for part in seeds)), Sources(*(part[second] for part in seeds))])
    of_groups = Sources(over_groups, np.full(len(first), group_degrees))
    total = _summed([of_both, of_groups])
    apart = means[first] - means[second]
    once = np.array([_is_one_seed(sample) for sample in samples], dtype=bool)
    is_apart, varies = np.abs(apart) > ROUNDING, _varies(over_groups)
    reasons = np.where(~varies & is_apart, NO_SPREAD, "")
    reasons = np.where(group_degrees < FEWEST_DEGREES, FEW_GROUPS, reasons)
    reasons = np.where(once[first] | once[second], ONE_SEED, reasons)
    largest = np.max([_two_sided_p(apart, source) for source in (total, of_groups, of_both)], axis=0)
    p_values = np.where(reasons == "", np.where(is_apart & varies, largest, 1.0), np.nan)
    return Differences(apart, p_values, reasons, over_groups, total.variances, total.degrees)


def interval(sample: Sample, groups: TestGroups) -> Interval | None:
    """Where one method's mean lies, over seeds and test groups.

    Returns:
        None where that cannot be known: one seed of a method that learns, too few test groups, or no test group changes
        the value to first order, as where every answer is right.
    """
    return intervals([sample], groups)[0]


def intervals(samples: Sequence[Sample], groups: TestGroups) -> list[Interval | None]:
    """Where each of some means lies that were taken of the same test groups, see `interval`."""
    over_groups, degrees = all_sampled(np.array([sample.contributions for sample in samples]), *groups)
    total = _summed([_over_seeds(samples), Sources(over_groups, np.full(len(samples), degrees))])
    half_widths = stdtrit(total.degrees, 1 - LEVEL / 2) * np.sqrt(total.variances)
    known = _varies(over_groups) & (degrees >= FEWEST_DEGREES)
    return [
        Interval(float(sample.values.mean()), float(half)) if is_known and not _is_one_seed(sample) else None
        for sample, half, is_known in zip(samples, half_widths, known, strict=True)
    ]


class Sources(NamedTuple):
    """Of n means, float64 (n,): the variance from one source, and its degrees of freedom."""

    variances: np.ndarray
    degrees: np.ndarray


def _varies(over_groups: np.ndarray) -> np.ndarray:
    """Whether the test groups change a value at all."""
    return over_groups > ROUNDING**2


def _is_one_seed(sample: Sample) -> bool:
    """Whether one seed alone was taken of a method that seeds may change."""
    return len(sample.values) < 2 and not sample.deterministic


def _over_seeds(samples: Sequence[Sample]) -> Sources:
    """The variance of each mean over another draw of seeds; 0 where no seed changes it."""
    counts = np.array([len(sample.values) for sample in samples])
    found = [
        0.0 if sample.deterministic or len(sample.values) < 2 else float(sample.values.var(ddof=1)) / len(sample.values)
        for sample in samples
    ]
    variances = np.where(np.array(found) > ROUNDING**2, found, 0.0)
    return Sources(variances, counts - 1.0)


def _summed(sources: Sequence[Sources]) -> Sources:
    """The variance of a sum of independent sources, and Satterthwaite's degrees of freedom of it; or 0."""
    variances: np.ndarray = np.sum([source.variances for source in sources], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing varies, and where no degree is left
        known = sum(np.where(s.variances > 0, s.variances**2 / s.degrees, 0.0) for s in sources)
        return Sources(variances, np.where(variances > 0, variances**2 / known, 0.0))


def _two_sided_p(apart: np.ndarray, source: Sources) -> np.ndarray:
    """Of t-tests that differences are 0; 0 against a source that does not vary, as it says nothing then."""
    varying = source.variances > 0
    errors = np.sqrt(source.variances, out=np.ones(len(apart)), where=varying)
    return np.where(varying, 2 * stdtr(source.degrees, -np.abs(apart) / errors), 0.0)
