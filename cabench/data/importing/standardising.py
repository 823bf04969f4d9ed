"""Features as data set files hold them: standardised over the training rows, in double precision.

Values with a large offset, such as times in seconds since 1970, keep their information: the mean is taken off before
anything is rounded to float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cabench.data.importing.examples import PIECE
from cabench.data.layout import listed

ROUNDING = 8  # units of a number's last place, within which a column is constant but for rounding


class Standardisation(NamedTuple):
    """What is taken off each feature, and what it is then multiplied by.

    Attributes:
        mean: float64 (d,), of the known training values; 0 where there are none.
        scale: float64 (d,), one over their standard deviation; 0 where they are constant.
        known: int64 (d,), how many training values are known.
    """

    mean: np.ndarray
    scale: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, tables: Mapping[str, np.ndarray], training: Mapping[str, np.ndarray]) -> Standardisation:
        """Learn it from the training rows, in three passes, piece by piece.

        Args:
            tables: float32 or float64 (n, d) by population, or whatever their rows are divided by, NaN = missing.
            training: the training rows (m,) of each.
        """
        first = next(iter(tables.values()))
        known, total = np.zeros(first.shape[1], np.int64), np.zeros(first.shape[1])
        # Sums are of differences to some value of the column, so that an offset costs no digits.
        origin, largest = np.full(first.shape[1], np.nan), np.zeros(first.shape[1])
        for rows in _pieces(tables, training):
            origin = np.where(np.isnan(origin), np.fmax.reduce(rows, axis=0), origin)
            known += (~np.isnan(rows)).sum(axis=0)
            total += np.nansum(rows - origin, axis=0)
            largest = np.fmax(largest, np.fmax.reduce(np.abs(rows), axis=0))
        mean = np.where(known > 0, origin, 0) + total / np.maximum(known, 1)
        widest = np.zeros_like(mean)
        for rows in _pieces(tables, training):
            widest = np.fmax(widest, np.fmax.reduce(np.abs(rows - mean), axis=0))
        unit = np.where(widest > 0, widest, 1)  # in which squares neither overflow nor vanish
        squares = np.zeros_like(mean)
        for rows in _pieces(tables, training):
            squares += np.nansum(((rows - mean) / unit) ** 2, axis=0)
        deviation = unit * np.sqrt(squares / np.maximum(known, 1))
        # A constant column varies only by the rounding of sums of its numbers.
        varies = deviation > ROUNDING * np.finfo(np.float64).eps * largest
        return cls(mean, np.divide(1, deviation, out=np.zeros_like(deviation), where=varies), known)

    def said(self, features: Sequence[str]) -> list[str]:
        """Which columns tell nothing, by the names of all columns (d), or by their numbers if there are no names."""
        names = np.array(features if len(features) else [str(column) for column in range(len(self.known))], object)
        columns = (
            ("have no value in the training split, and are 0 everywhere", self.known == 0),
            ("have one and the same value in the training split, and are 0 everywhere", self.is_constant),
        )
        return [f"Features that {what}: {listed(names[which].tolist())}." for what, which in columns if which.any()]

    @property
    def is_constant(self) -> np.ndarray:
        """Bool (d,): which columns have training values, all of them equal but for rounding."""
        constant: np.ndarray = (self.known > 0) & (self.scale == 0)
        return constant

    def rows(self, features: np.ndarray) -> np.ndarray:
        """Float32 (n, d): standardised features, NaN = missing; a column without known training values becomes 0."""
        scaled = (features.astype(np.float64) - self.mean) * self.scale
        scaled[:, self.known == 0] = 0
        single: np.ndarray = scaled.astype(np.float32)
        return single


def _pieces(tables: Mapping[str, np.ndarray], training: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    for population, rows in training.items():
        for start in range(0, len(rows), PIECE):
            yield tables[population][rows[start : start + PIECE]].astype(np.float64)
