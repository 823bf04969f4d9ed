"""Permutation tests of leaks: how often an attribute would be read as well from a space that knows nothing of it.

The probe stays as it was fitted, and the truth of the test rows is permuted: training and test rows are disjoint, so
nothing needs to be fitted again. Only what would be alike without a leak may change places. Where the truth is
constant in every group, such as a subject's sex, whole groups change places; where it varies in a group, rows do so
within their group. Where levels of a nuisance are given, nothing leaves its level. (Winkler et al., NeuroImage 2014 and
2015, on groups that are exchanged as a whole or within.)

All leaks are permuted together, by the same random keys of rows and groups: whichever leak stands out most in each
permutation tells what the largest of several related leaks reaches by luck (Westfall and Young, Wiley 1993).

The statistic is 0 where nothing is known, and a sum over rows of one number for the row and its truth, so that a
thousand permutations cost as many sums:

- Of real values it is the correlation of prediction and truth. Its divisor is that of the unpermuted values, which
  differs from the permuted ones' only where groups of unequal sizes change places.
- Of K classes it is 2 A - 1, where A is the linear part (Hájek's projection) of Hand and Till's AUC (Machine Learning
  2001). For classes j and k let F_jk(i) be the rank of row i among all n rows by the log-odds of j against k, brought
  to (0, 1) as (rank - 1/2) / n; ties share their mean. With A_jk = 1/2 + mean of F_jk over the rows of j - mean of F_jk
  over those of k, A is the mean of A_jk over pairs. As F_kj = 1 - F_jk, that is the mean over classes j of the mean
  over the rows of j of 1/2 + 2 / (K - 1) * sum over k of (F_jk - 1/2). For two classes all rows are of j or of k, the
  two means differ by AUC - 1/2, and A is exactly the AUC, whatever the sizes of the classes.

Ranks and means are taken within levels of the nuisance, if any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import gammaln
from scipy.stats import rankdata

PERMUTATIONS = 999
KEYS_AT_A_TIME = 2**18  # 2 MB of random keys: what a core's cache holds is fastest
ROUNDING = 1e-12  # permutations of few rows often give equal statistics, but for the order of a sum


class Leak(NamedTuple):
    """An attribute as a fitted probe reads it on some of the test rows.

    Attributes:
        truth: int64 (n,), the column in `evidence` of each row's class, of at least two classes; or float64 (n,), the
            real values.
        evidence: float64 (n, K), finite log-probabilities of the classes, or other scores whose differences are
            log-odds; for real values float64 (n,), the predictions.
        rows: int64 (n,), which of all test rows these are, each once.
        strata: int64 (n,), the level of a nuisance that the truth must not leave; all equal where there is none.
    """

    truth: np.ndarray
    evidence: np.ndarray
    rows: np.ndarray
    strata: np.ndarray


class Significance(NamedTuple):
    """How a leak stands against permutations.

    Attributes:
        p_value: how often it would be read as well without a leak, in [`p_smallest`, 1].
        p_familywise: how often any of the leaks would stand out as much without one, in [`p_value`, 1].
        p_smallest: the smallest p-value that can be: one over the number of permutations, or of distinct arrangements
            of the truth where so few groups allow fewer.
        floor: what a leak of nothing reads, in [0, 1]: the mean over permutations of the statistic, 0 where negative.
    """

    p_value: float
    p_familywise: float
    p_smallest: float
    floor: float


def permutation_tests(
    leaks: Sequence[Leak], groups: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0
) -> list[Significance]:
    """Test leaks against permutations that move the truth of all of them together.

    A leak that no permutation changes has p-values of 1. The unpermuted statistic counts as one of the permutations
    (Phipson and Smyth 2010).

    Args:
        leaks: of one cell; none give none.
        groups: int64 (N,), the group of each of all test rows; every row its own where no groups are known.
        permutations: how many.
        seed: of the random keys.
    """
    if not leaks:
        return []
    exchanges = [_Exchange.of(leak, groups) for leak in leaks]
    statistics = [_statistic(leak, exchange) for leak, exchange in zip(leaks, exchanges, strict=True)]
    n_keys = 2 * len(groups)
    pool = np.vstack(
        [_unpermuted(exchanges, statistics), *_permuted(exchanges, statistics, n_keys, permutations, seed)]
    )
    p_values = np.mean(pool >= pool[0] - ROUNDING, axis=0)
    standing_out = _standardised(pool)
    p_familywise = np.mean(standing_out.max(axis=1, keepdims=True) >= standing_out[0] - 1e3 * ROUNDING, axis=0)
    floors = np.clip(pool[1:], 0, 1).mean(axis=0)
    smallest = [
        max(1 / (1 + permutations), float(np.exp(-_log_arrangements(leak, exchange))))
        for leak, exchange in zip(leaks, exchanges, strict=True)
    ]
    return [
        Significance(max(float(p), least), max(float(family), float(p), least), least, float(floor))
        for p, family, least, floor in zip(p_values, p_familywise, smallest, floors, strict=True)
    ]


class _Exchange(NamedTuple):
    """Which units, groups or rows, may change places.

    Attributes:
        units: int64 (n,), the unit of each row, numbered by stratum.
        strata: int64 (units,), ascending; units change places within one.
        keys: int64 (units,), the random key that each unit is ordered by: one for each test row, then one for each
            group.
    """

    units: np.ndarray
    strata: np.ndarray
    keys: np.ndarray

    @classmethod
    def of(cls, leak: Leak, groups: np.ndarray) -> _Exchange:
        """Whole groups where the truth is constant in every one of them, else rows within groups."""
        _, codes = np.unique(groups, return_inverse=True)
        present, first, own = np.unique(codes[leak.rows], return_index=True, return_inverse=True)
        _, levels = np.unique(leak.strata, return_inverse=True)
        if np.array_equal(leak.truth, leak.truth[first][own]):
            # A group in several levels changes places with groups in the same levels alone.
            touched = np.zeros((len(present), levels.max() + 1), dtype=bool)
            touched[own, levels] = True
            return cls._ordered(own, _codes(touched), len(groups) + present)
        return cls._ordered(np.arange(len(own)), _codes(np.stack([own, levels], axis=1)), leak.rows)

    @classmethod
    def _ordered(cls, units: np.ndarray, strata: np.ndarray, keys: np.ndarray) -> _Exchange:
        by_stratum = np.argsort(strata, kind="stable")
        return cls(np.argsort(by_stratum)[units], strata[by_stratum], keys[by_stratum])

    @property
    def sizes(self) -> np.ndarray:
        """Float64 (units,): rows of each unit."""
        return np.bincount(self.units).astype(np.float64)

    @property
    def first(self) -> np.ndarray:
        """Int64 (units,): a row of each unit."""
        first: np.ndarray = np.unique(self.units, return_index=True)[1]
        return first

    @property
    def identity(self) -> bytes:
        """Equal for exchanges that permute alike."""
        return b"".join(part.astype(np.int64).tobytes() for part in self)

    def orders(self, keys: np.ndarray) -> np.ndarray:
        """Int64 (permutations, units): where each unit's truth goes, by keys (permutations, .) in [0, 1)."""
        return np.argsort(self.strata + keys[:, self.keys], axis=1)


def _codes(table: np.ndarray) -> np.ndarray:
    """Int64 (n,): equal for equal rows of a table (n, m)."""
    codes: np.ndarray = np.unique(table, axis=0, return_inverse=True)[1]
    return codes.ravel()


class _Statistic(Protocol):
    def __call__(self, orders: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Float64 (permutations,), from the unit that each unit's truth goes to, and that unit's rows.

        Both are (permutations, units): int64 and float64.
        """


class _ClassStatistic:
    def __init__(self, leak: Leak, exchange: _Exchange) -> None:
        classes, labels = np.unique(leak.truth, return_inverse=True)
        self.labels = labels[exchange.first]
        self.members = np.eye(len(classes))[self.labels]
        self.excess = np.zeros((len(self.labels), len(classes)))
        np.add.at(self.excess, exchange.units, _excess(leak.evidence[:, classes], leak.strata))

    def __call__(self, orders: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        placed = self.excess.ravel()[orders * self.members.shape[1] + self.labels]
        over_classes: np.ndarray = ((placed @ self.members) / (sizes @ self.members)).mean(axis=1)
        return over_classes


class _RealStatistic:
    def __init__(self, leak: Leak, exchange: _Exchange) -> None:
        predicted, truth = (_deviations(part, leak.strata) for part in (leak.evidence, leak.truth))
        norm = float(np.linalg.norm(predicted) * np.linalg.norm(truth))
        self.shares = np.bincount(exchange.units, predicted) / (norm or 1.0)
        self.truth = (leak.truth - leak.truth.mean())[exchange.first]

    def __call__(self, orders: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        correlations: np.ndarray = self.shares[orders] @ self.truth
        return correlations


def _statistic(leak: Leak, exchange: _Exchange) -> _Statistic:
    return (_ClassStatistic if leak.evidence.ndim == 2 else _RealStatistic)(leak, exchange)


def _excess(evidence: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Float64 (n, K): what a row of each class adds to 2 A - 1, before the means within and over classes."""
    n_classes = evidence.shape[1]
    excess = np.zeros(evidence.shape)
    for one in range(n_classes - 1):
        above = _centred_ranks(evidence[:, [one]] - evidence[:, one + 1 :], strata)
        excess[:, one] += above.sum(axis=1)
        excess[:, one + 1 :] -= above
    excess *= 4 / (n_classes - 1)
    return excess


def _centred_ranks(values: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Float64 (n, m) in (-1/2, 1/2): F - 1/2 of each column's values within each stratum."""
    ranks = np.empty(values.shape)
    for stratum in np.unique(strata):
        inside = strata == stratum
        ranks[inside] = (rankdata(values[inside], axis=0) - 0.5) / np.sum(inside) - 0.5
    return ranks


def _deviations(values: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Float64 (n,): differences from the mean of the stratum; 0 for all where they are but rounding."""
    _, codes = np.unique(strata, return_inverse=True)
    deviations: np.ndarray = values - (np.bincount(codes, values) / np.bincount(codes))[codes]
    return deviations if np.linalg.norm(deviations) > ROUNDING * np.linalg.norm(values) else np.zeros(len(values))


def _unpermuted(exchanges: Sequence[_Exchange], statistics: Sequence[_Statistic]) -> np.ndarray:
    """Float64 (1, leaks)."""
    return np.column_stack(
        [
            statistic(np.arange(len(exchange.strata))[None], exchange.sizes[None])
            for exchange, statistic in zip(exchanges, statistics, strict=True)
        ]
    )


def _permuted(
    exchanges: Sequence[_Exchange], statistics: Sequence[_Statistic], n_keys: int, permutations: int, seed: int
) -> Iterator[np.ndarray]:
    """Float64 (., leaks): the statistics of so many permutations, in pieces of bounded size."""
    alike = defaultdict(list)
    for column, exchange in enumerate(exchanges):
        alike[exchange.identity].append(column)
    generator = np.random.default_rng(seed)
    at_a_time = max(1, KEYS_AT_A_TIME // n_keys)
    for done in range(0, permutations, at_a_time):
        keys = generator.random((min(at_a_time, permutations - done), n_keys))
        piece = np.empty((len(keys), len(exchanges)))
        for columns in alike.values():
            exchange = exchanges[columns[0]]
            orders = exchange.orders(keys)
            sizes = exchange.sizes[orders]
            for column in columns:
                piece[:, column] = statistics[column](orders, sizes)
        yield piece


def _standardised(pool: np.ndarray) -> np.ndarray:
    """Float64 (permutations, leaks): z of each column; -inf where a column does not vary: it is never the largest."""
    varies = np.ptp(pool, axis=0) > ROUNDING
    deviation = np.where(varies, pool.std(axis=0), 1.0)
    return np.where(varies, (pool - pool.mean(axis=0)) / deviation, -np.inf)


def _log_arrangements(leak: Leak, exchange: _Exchange) -> float:
    """The logarithm of how many ways there are to arrange the truth: a multinomial coefficient for each stratum."""
    _, truth = np.unique(leak.truth[exchange.first], return_inverse=True)
    units = np.bincount(exchange.strata)
    _, equal = np.unique(np.stack([exchange.strata, truth]), axis=1, return_counts=True)
    return float(gammaln(units + 1).sum() - gammaln(equal + 1).sum())
