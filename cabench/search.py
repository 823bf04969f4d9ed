"""Ranges in which fields of configurations are tuned.

A field names its own, where it is declared:

    salient_weight: float = setting(1000.0, at_least=0, search=Log(1, 1e4), help="...")

A trial is a point of the unit cube; a range turns one of its coordinates into a value. Values have three significant
digits, so that a profile with tuned settings can be read, and gives exactly what was tried.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

DIGITS = 3  # significant ones of a value
LAST = 1 - 2**-53  # the largest coordinate below 1


class Range(ABC):
    """What a field is tuned over."""

    @abstractmethod
    def at(self, part: float, default: object) -> object:
        """The value at a coordinate in [0, 1), of the kind of the field's default: whole where that is whole."""

    @abstractmethod
    def ends(self, default: object) -> tuple[object, ...]:
        """The values that all others lie between; of single values every one. `default` as of `at`."""

    @abstractmethod
    def holds(self, value: object) -> bool:
        """Whether a value lies in it."""


@dataclass(frozen=True)
class _Between(Range):
    """Numbers between two ends, which are in order."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise ValueError(f"{self} has no numbers in it: its ends are not in order, or not finite")

    def at(self, part: float, default: object) -> object:
        """See `Range`; a whole number has the share from itself to the next, the last one too."""
        if isinstance(default, int):
            low, high = math.ceil(self.low), math.floor(self.high)
            return min(int(self._between(low, high + 1, part)), high)
        rounded = float(f"{self._between(self.low, self.high, part):.{DIGITS}g}")
        return float(min(max(rounded, self.low), self.high))

    def ends(self, default: object) -> tuple[object, ...]:
        """See `Range`."""
        return self.at(0.0, default), self.at(LAST, default)

    def holds(self, value: object) -> bool:
        """See `Range`."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    @abstractmethod
    def _between(self, low: float, high: float, part: float) -> float: ...


@dataclass(frozen=True)
class Linear(_Between):
    """Equal steps: for fractions and sizes."""

    def _between(self, low: float, high: float, part: float) -> float:
        return low + (high - low) * part


@dataclass(frozen=True)
class Log(_Between):
    """Equal ratios, above 0: for weights and learning rates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise ValueError(f"{self} has no logarithm at its lower end")

    def _between(self, low: float, high: float, part: float) -> float:
        return float(low * (high / low) ** part)


@dataclass(frozen=True)
class OneOf(Range):
    """A few values of any kind, each with an equal share."""

    values: tuple[object, ...]

    def __init__(self, *values: object) -> None:
        object.__setattr__(self, "values", values)
        if len(values) < 2:
            raise ValueError(f"{self} leaves nothing to choose")

    def at(self, part: float, default: object) -> object:
        """See `Range`."""
        return self.values[int(part * len(self.values))]

    def ends(self, default: object) -> tuple[object, ...]:
        """See `Range`."""
        return self.values

    def holds(self, value: object) -> bool:
        """See `Range`."""
        return value in self.values
