"""Which differences between methods are real, and so what tables set in bold: paired tests over seeds, and ranks.

Methods that learn and are not told the attributes take part; controls that learn nothing and methods that are taught
the attributes are yardsticks, shown beside them. For each quantity every two methods are compared by a two-sided paired
t-test, as the same seed gives both the same draws of images. The p-values of all pairs are corrected for their number
(Holm, Scandinavian Journal of Statistics 1979), and those of the pairs with the best method are read off. Correcting
these alone would not hold the level, as which method is best was found on the same data: of ten equal methods, one or
more would be called worse in 9 to 14 of 100 tables instead of 5 (simulated, 3 to 10 seeds).

Over data sets, methods are ranked by separation gap (Demšar, JMLR 2006).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from cabench import discovery
from cabench.errors import UserError
from cabench.report.multiplicity import holm
from cabench.report.summary import Quantity, Row, Section, grouped, separation_gap_of

LEVEL = 0.05
POWER = 0.8
FEWEST_SEEDS = 3
ROUNDING = 1e-12  # differences that differ by less are equal
PERMUTATIONS = 9999


class Mark(Enum):
    """How an entry compares with the others of its column."""

    NONE = ""
    BEST = "best"
    CLOSE = "not shown to be worse than the best"


class Comparison(NamedTuple):
    """Methods by one quantity, of which less is better.

    Attributes:
        best: the row with the smallest mean.
        p_values: by the name of every other row, of its difference from the best; 0.03 says that in at most 3 of 100
            tables in which no method differs any two of them would seem to differ as clearly.
        seeds: that all of the rows share.
        detectable: the smallest difference that a single test with these seeds finds with probability 0.8, given the
            median spread of the differences from the best; None where that spread is 0.
    """

    best: Row
    p_values: Mapping[str, float]
    seeds: tuple[int, ...]
    detectable: float | None

    def not_worse(self) -> list[str]:
        """The names of the rows that are not shown to be worse than the best, itself first."""
        return [self.best.name, *(name for name, p in self.p_values.items() if p >= LEVEL)]


class Ranking(NamedTuple):
    """Mean ranks of the methods that all data sets of one profile have in common.

    Attributes:
        profile: the profile's name.
        precision: of the networks.
        datasets: labels.
        ranks: by method label, its rank on each data set (1 is the smallest gap, ties share their mean), best mean
            first.
        p_value: of Friedman's test that all methods rank alike, by permuting the ranks within each data set: with few
            data sets the usual approximations miss their level by far. None below three methods or three data sets,
            where it can hardly find anything, and where all ranks are equal.
    """

    profile: str
    precision: str
    datasets: tuple[str, ...]
    ranks: dict[str, tuple[float, ...]]
    p_value: float | None


def takes_part(row: Row) -> bool:
    """Whether a row is compared: current records of a method that learns and is not told the attributes."""
    if not row.records or row.stale:
        return False
    entry = row.records[0].method
    try:
        method = discovery.method_class(entry["name"])
    except UserError:  # handed over in Python, from elsewhere, or of a package that is not installed here
        return entry.get("learns", True) and not entry.get("supervised", False)
    return method.learns and not method.supervised


def mark(row: Row, found: Comparison | None) -> Mark:
    """How a row stands out in a column: the smallest mean, and what is not shown to be worse."""
    if found is None or row.stale:
        return Mark.NONE
    if row.name == found.best.name:
        return Mark.BEST
    return Mark.CLOSE if row.name in found.not_worse() else Mark.NONE


def compare(rows: Sequence[Row], quantity: Quantity) -> Comparison | None:
    """Compare the rows that take part and have the quantity under three seeds or more.

    Returns:
        None where there are fewer than two such rows, or fewer than three seeds that all of them share.
    """
    values = {row.name: _by_seed(row, quantity) for row in rows if takes_part(row)}
    values = {name: by_seed for name, by_seed in values.items() if len(by_seed) >= FEWEST_SEEDS}
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in values.values()))) if values else []
    if len(values) < 2 or len(seeds) < FEWEST_SEEDS:
        return None
    table = {name: np.array([by_seed[seed] for seed in seeds]) for name, by_seed in values.items()}
    best = min(table, key=lambda name: float(table[name].mean()))
    pairs = {frozenset(pair): table[pair[0]] - table[pair[1]] for pair in combinations(table, 2)}
    p_values = holm({pair: paired_p(differences) for pair, differences in pairs.items()})
    spread = float(np.median([series.std(ddof=1) for pair, series in pairs.items() if best in pair]))
    return Comparison(
        best=next(row for row in rows if row.name == best),
        p_values={name: p_values[frozenset((best, name))] for name in table if name != best},
        seeds=tuple(seeds),
        detectable=detectable(spread, len(seeds)) if spread > ROUNDING else None,
    )


def paired_p(differences: np.ndarray) -> float:
    """Two-sided p-value of a t-test that the mean of the differences (n,) is 0; they may all be equal."""
    if np.ptp(differences) <= ROUNDING:
        return float(abs(differences[0]) <= ROUNDING)
    return float(stats.ttest_1samp(differences, 0).pvalue)


def detectable(spread: float, n: int) -> float:
    """The mean difference that a two-sided paired t-test at 5 % finds with probability 0.8.

    Args:
        spread: standard deviation of the paired differences.
        n: the number of pairs, at least 2.
    """
    return _detectable_shift(n) * spread / float(np.sqrt(n))


@cache
def _detectable_shift(n: int) -> float:
    """The same in standard errors."""
    # The noncentral t distribution as a mean over the spread that a sample may show: scipy's own gives NaN far out.
    sample_spread = np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, n - 1) / (n - 1))
    critical = stats.t.ppf(1 - LEVEL / 2, n - 1) * sample_spread

    def missing(shift: float) -> float:
        return float(np.mean(stats.norm.cdf(shift - critical) + stats.norm.cdf(-shift - critical)) - POWER)

    return float(optimize.brentq(missing, 0.01, 1000.0))


def _by_seed(row: Row, quantity: Quantity) -> dict[int, float]:
    found = {record.seed: quantity(record) for record in row.records}
    return {seed: value for seed, value in found.items() if value is not None}


def rankings(sections: Sequence[Section]) -> list[Ranking]:
    """One ranking for every profile and precision that has two or more data sets with two or more common methods.

    Data sets on which no method takes part, all of their records being stale, are left out.
    """
    compared = [section for section in sections if any(takes_part(row) for row in section.rows)]
    groups = grouped(compared, lambda section: (section.profile, section.precision))
    found = (_ranking(group) for group in groups.values() if len(group) > 1)
    return [ranking for ranking in found if len(ranking.ranks) > 1]


def _ranking(sections: Sequence[Section]) -> Ranking:
    gaps = [
        {row.title: gap.mean for row in section.rows if takes_part(row) and (gap := row.spread(separation_gap_of))}
        for section in sections
    ]
    common = [name for name in gaps[0] if all(name in others for others in gaps)]
    table = np.array([[by_name[name] for name in common] for by_name in gaps])  # (data sets, methods)
    ranks = stats.rankdata(table, axis=1) if common else table
    order = np.argsort(ranks.mean(axis=0), kind="stable").tolist() if common else []
    return Ranking(
        profile=sections[0].profile,
        precision=sections[0].precision,
        datasets=tuple(section.dataset for section in sections),
        ranks={common[index]: tuple(float(rank) for rank in ranks[:, index]) for index in order},
        p_value=rank_test(table),
    )


def rank_test(table: np.ndarray) -> float | None:
    """P-value of Friedman's test on values (data sets, methods), by seeded permutations; see `Ranking`."""
    n, k = table.shape
    if n < 3 or k < 3 or (table == table[:, :1]).all():
        return None
    ranks = stats.rankdata(table, axis=1)
    generator = np.random.default_rng(0)
    permuted = generator.permuted(np.broadcast_to(ranks, (PERMUTATIONS, n, k)), axis=2)
    # How far the methods' mean ranks lie apart; the other parts of Friedman's statistic are the same in all.
    apart = permuted.mean(axis=1).var(axis=1)
    reached = apart >= ranks.mean(axis=0).var() - 1e-12
    return float((1 + reached.sum()) / (1 + PERMUTATIONS))
