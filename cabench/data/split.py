"""Holding examples out, for testing or for choosing settings: in whole groups, the same on every machine.

They are drawn in proportion to populations and salient classes. The draw is then changed, where groups allow it, until
each population has every class that it holds on both sides, and among those held out in two groups: a class that is
not trained on cannot be learned, one that a single group has cannot be measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cabench.data.dataset import FEWEST_TESTED as FEWEST_GROUPS
from cabench.data.dataset import Attribute

FEWEST_TESTED = 3  # test examples of a class that is split on its own: with fewer, rounding counts too much
ENOUGH_GROUPS = 2 * FEWEST_GROUPS  # of a level that is to be tested in more than one
MANY_CLASSES = 20  # of an attribute: they are not named and, of a common one such as age, not kept on both sides


class Labelled(NamedTuple):
    """The examples of one population, by what is known of them.

    Attributes:
        size: how many there are.
        values: by attribute, (size,) int64 class indices (-1 = undefined) or float64 numbers.
    """

    size: int
    values: Mapping[str, np.ndarray]


def draw(
    parts: Mapping[str, Labelled], groups: np.ndarray, attributes: Sequence[Attribute], fraction: float, seed: int
) -> np.ndarray:
    """Draw the examples that are held out.

    Args:
        parts: background and target by name.
        groups: text (n_background + n_target,), equal for examples that must stay on one side.
        attributes: what is known of the examples.
        fraction: of each population, in (0, 1).
        seed: of the draw, from 0.

    Returns:
        Bool (n_background + n_target,).
    """
    strata = np.concatenate([_strata(population, part, attributes, fraction) for population, part in parts.items()])
    is_test = held_out(pd.Series(groups), pd.Series(strata), fraction, seed)
    codes, names = pd.factorize(groups)
    tested = np.zeros(len(names), np.bool_)
    tested[codes] = is_test
    by_hash = sorted(range(len(names)), key=lambda code: hashlib.sha256(f"{seed}/{names[code]}".encode()).hexdigest())
    sides = _Sides(tested, [np.unique(codes[level.rows]) for level in levels_of(parts, attributes)], by_hash)
    sides.complete()
    return sides.tested[codes]


def held_out(groups: pd.Series, strata: pd.Series, fraction: float, seed: int) -> np.ndarray:
    """Choose about `fraction` of each stratum's images, always in whole groups.

    Groups are chosen in the order of the SHA-256 of "<seed>/<group>", so that anybody can make a split again from its
    seed, with any version of any library.

    Args:
        groups: (n,) equal for images that must stay on one side: a patient, or the image itself.
        strata: (n,) the kinds to divide in proportion; a group counts for the stratum of its first image.
        fraction: of a stratum's images, in (0, 1), rounded to whole images; the group that crosses it is included.
        seed: of the order.

    Returns:
        Bool (n,): True for images of the test split.
    """
    images = pd.DataFrame({"group": groups.to_numpy(), "stratum": strata.to_numpy()})
    whole = images.groupby("group", sort=False)["stratum"].agg(["first", "size"])
    order = [hashlib.sha256(f"{seed}/{group}".encode()).hexdigest() for group in whole.index]
    whole = whole.iloc[np.argsort(order)]
    sizes = whole.groupby("first")["size"]
    before = sizes.cumsum() - whole["size"]
    chosen = whole.index[before < (fraction * sizes.transform("sum")).round()]
    return images["group"].isin(chosen).to_numpy()


class Level(NamedTuple):
    """A class of an attribute in one population, or the population itself."""

    title: str
    rows: np.ndarray  # bool (n_background + n_target,)


def levels_of(parts: Mapping[str, Labelled], attributes: Sequence[Attribute]) -> Iterator[Level]:
    """Every level that both sides of the split should have."""
    populations = np.repeat(list(parts), [part.size for part in parts.values()])
    for population in parts:
        yield Level(population, populations == population)
        for attribute in attributes:
            is_scale = attribute.space == "common" and len(attribute.classes) > MANY_CLASSES
            if attribute.kind != "class" or is_scale or attribute.name not in parts[population].values:
                continue
            codes = np.full(len(populations), -1)
            codes[populations == population] = parts[population].values[attribute.name]
            for code in np.unique(codes[codes >= 0]):
                label = attribute.classes[code]
                yield Level(f"{label!r} of {attribute.name!r} ({population})", codes == code)


def _wanted(side: bool, holders: int) -> int:
    """How many of the groups that have a level should be on a side; True is the test split."""
    return min(FEWEST_GROUPS if side and holders >= ENOUGH_GROUPS else 1, holders - 1)


class _Sides:
    """Which groups are for testing, changed until every level has enough groups on both sides, where it can be.

    Attributes:
        tested: bool (groups,).
    """

    def __init__(self, tested: np.ndarray, levels: Sequence[np.ndarray], order: Sequence[int]) -> None:
        self.tested = tested
        self._levels = levels  # of each level, the groups that have it
        self._order = order  # groups, those first that are rather moved
        self._levels_of: dict[int, list[int]] = {}
        for level, holders in enumerate(levels):
            for group in holders.tolist():
                self._levels_of.setdefault(group, []).append(level)

    def complete(self) -> None:
        """Give each side groups of what it lacks, and other groups back, so that the test fraction stays."""
        for level, holders in enumerate(self._levels):
            for side in (False, True):
                while self._count(level, side) < _wanted(side, len(holders)) and self._swap(level, side):
                    pass

    def _swap(self, level: int, side: bool) -> bool:
        """Move one group with a level to a side, and one without it back. Returns whether there was one to move."""
        holders = set(self._levels[level].tolist())
        moved = next((group for group in self._order if group in holders and self._may_leave(group, not side)), None)
        if moved is None:
            return False
        self.tested[moved] = side
        alike = set(self._levels[self._levels_of[moved][0]].tolist()) - holders  # of the same population
        back = (group for group in reversed(self._order) if group in alike and self._may_leave(group, side))
        if (returned := next(back, None)) is not None:
            self.tested[returned] = not side
        return True

    def _may_leave(self, group: int, side: bool) -> bool:
        """Whether a group stands on a side, and that side keeps enough groups of all that the group has."""
        return bool(self.tested[group] == side) and all(
            self._count(level, side) > max(1, _wanted(side, len(self._levels[level])))
            for level in self._levels_of[group]
        )

    def _count(self, level: int, side: bool) -> int:
        return int((self.tested[self._levels[level]] == side).sum())


def _strata(population: str, part: Labelled, attributes: Sequence[Attribute], fraction: float) -> np.ndarray:
    """The kinds of examples that are split in proportion: the population and its salient classes, as text.

    Kinds with too few examples to hold out a fraction in whole examples are merged.
    """
    salient = [a.name for a in attributes if a.space == "salient" and a.kind == "class" and a.name in part.values]
    strata = np.full(part.size, population, dtype=object)
    for name in salient:
        strata += np.char.add("/", np.asarray(part.values[name]).astype(str)).astype(object)
    counts = pd.Series(strata).map(pd.Series(strata).value_counts()).to_numpy()
    return np.where(counts < FEWEST_TESTED / fraction, population, strata)
