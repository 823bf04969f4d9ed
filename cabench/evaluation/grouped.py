"""Sums over groups of test rows that belong together, such as a subject's images, and how much they say.

Which test rows a score was taken of is chance. Rows of one group are not independent, so groups are what is sampled:
the first-order changes that rows make to a score are summed by group, and the spread of these sums gives the score's
variance over another draw of groups. With few groups of unequal sizes plain sums are too small and their degrees of
freedom too many; both are corrected (Bell and McCaffrey 2002; MacKinnon and Webb 2017 on unequal groups).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Sampled(NamedTuple):
    """The variance of a score over another draw of what was sampled.

    Attributes:
        variance: of the score.
        degrees: of freedom of the variance, how much is known of it; 0 where too little was drawn to tell.
    """

    variance: float
    degrees: float


def sampled(contributions: np.ndarray, rows: np.ndarray, strata: np.ndarray) -> Sampled:
    """The variance of a score over the draw of test groups.

    What a stratum adds on the whole is not drawn: it is taken from its groups first, by their rows. With h the share of
    a stratum's rows that a group holds, the variance is the sum of contributions² / (1 - h). Each stratum of G groups
    has (sum of rows)² / (sum of rows²) - 1 degrees of freedom, G - 1 where groups are equal. Where a stratum has one
    group alone, nothing tells how another would have differed: no degree of freedom is left.

    Args:
        contributions: float (G,), the first-order change of the score by each group.
        rows: (G,), how many rows of each group the score was taken of; groups of 0 take no part.
        strata: int (G,), what is drawn apart, such as classes or populations that no group mixes.
    """
    variances, degrees = all_sampled(contributions[np.newaxis], rows, strata)
    return Sampled(float(variances[0]), degrees)


def all_sampled(contributions: np.ndarray, rows: np.ndarray, strata: np.ndarray) -> tuple[np.ndarray, float]:
    """The variances (n,) of n scores of the same groups, and the degrees of freedom of each; see `sampled`.

    Args:
        contributions: float (n, G), of each score.
        rows: (G,), as for one score.
        strata: int (G,), likewise.
    """
    there = rows > 0
    contributions, sizes = contributions[:, there], rows[there].astype(np.float64)
    _, codes = np.unique(strata[there], return_inverse=True)
    totals = np.bincount(codes, sizes)
    alone = np.bincount(codes) == 1
    means = [np.bincount(codes, each) / totals for each in contributions]
    contributions = contributions - sizes * np.reshape(means, (len(contributions), len(totals)))[:, codes]
    left = np.where(alone[codes], 1.0, 1 - sizes / totals[codes])
    degrees = 0.0 if alone.any() else float(np.sum(totals**2 / np.bincount(codes, sizes**2) - 1))
    # Row by row in memory, numbers are added in the order in which those of one score are.
    return np.sum(np.ascontiguousarray(contributions**2 / left), axis=1), degrees


def effective(rows: np.ndarray) -> float:
    """How many groups of equal size say as much as groups of these sizes (G,): (sum of rows)² / (sum of rows²)."""
    sizes = rows[rows > 0].astype(np.float64)
    return float(sizes.sum() ** 2 / np.sum(sizes**2)) if len(sizes) else 0.0


def strata_of(groups: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Int64 (n,): the kind of each row where every group lies in one kind, else 0 for all.

    Args:
        groups: int (n,), the group of each row.
        kinds: int or bool (n,), such as the class or the population of each row.
    """
    _, codes = np.unique(kinds, return_inverse=True)
    pairs = np.unique(np.stack([groups, codes]), axis=1)
    mixed = pairs.shape[1] > len(np.unique(groups))
    return np.zeros_like(codes) if mixed else codes
