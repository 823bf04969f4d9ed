"""What each test row, or group of rows, adds to each score: kept beside a record, so that reports can compare methods.

A contribution is the change of a score by the rows of one block, to first order, or of a correlation exactly; those of
one score sum to 0. Blocks are the groups of the test rows, such as subjects. Rows without groups are pooled into some
200 blocks, as so many tell the spread of a score as well as thousands do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cabench.evaluation.grouped import sampled, strata_of


class Contributions(NamedTuple):
    """Of one score, or of something made of several.

    Attributes:
        values: float64 (blocks,), float32 where it was read from a file, summing to 0; None where the metric has no
            influence.
        rows: int64 (blocks,), how many rows of each block it was taken of.
        strata: int64 (blocks,), what is drawn apart, see `cabench.evaluation.grouped.sampled`.
    """

    values: np.ndarray | None
    rows: np.ndarray
    strata: np.ndarray


class Tested(NamedTuple):
    """The test rows that a score is taken of.

    Attributes:
        groups: int64 (n,), the group of each row; every row its own where no groups are known.
        blocks: int64 (n,), the block that it is pooled into.
        kinds: int64 or bool (n,), the class or population of each row; all equal where it has none.
    """

    groups: np.ndarray
    blocks: np.ndarray
    kinds: np.ndarray

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(np.unique(self.groups))

    def standard_error(self, influence: np.ndarray) -> float:
        """Of a score over the draw of the groups, from each row's influence (n,)."""
        _, codes = np.unique(self.groups, return_inverse=True)
        found = _summed(influence, codes, self.kinds, int(codes.max(initial=-1)) + 1)
        assert found.values is not None
        return float(np.sqrt(sampled(found.values, found.rows, found.strata).variance))

    def contributions(self, influence: np.ndarray | None, blocks: int) -> Contributions:
        """The influence (n,) summed by block, of so many blocks."""
        return _summed(influence, self.blocks, self.kinds, blocks)


def _summed(influence: np.ndarray | None, codes: np.ndarray, kinds: np.ndarray, groups: int) -> Contributions:
    strata = np.zeros(groups, dtype=np.int64)
    strata[codes] = strata_of(codes, kinds)
    values = None if influence is None else np.bincount(codes, influence, groups)
    return Contributions(values, np.bincount(codes, minlength=groups), strata)


class ContributionTable(NamedTuple):
    """The contributions to all scores of one cell.

    Attributes:
        scores: in the order of the record's scores.
        rows: int64 (blocks,), all test rows of each block.
        strata: int64 (blocks,), the population of each block, or 0 for all where a block lies in both.
        names: the blocks' names in the data; empty where the data have no groups.
    """

    scores: Sequence[Contributions]
    rows: np.ndarray
    strata: np.ndarray
    names: Sequence[str] = ()
