"""Which examples are trained on, which are kept for choosing settings, and which are tested on.

A split is given, or drawn in whole groups and in proportion to populations and salient classes. A drawn split is then
changed, where groups allow it, until each population has every class that it holds on both sides, and for testing in
two groups: a class that is not trained on cannot be learned, one that a single group has cannot be measured.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cabench.data.dataset import FEWEST_TESTED as FEWEST_GROUPS
from cabench.data.dataset import Attribute
from cabench.data.importing.examples import Examples, called
from cabench.data.importing.values import same_identifier
from cabench.data.layout import SPLITS, VALIDATION, Split, counted, is_storable
from cabench.data.split import held_out
from cabench.errors import UserError

LARGEST_SEED = 2**32
FEWEST_TESTED = 3  # test examples of a class that is split on its own: with fewer, rounding counts too much
MISSED = 0.05  # of a population: a note says if the test split is off by more
MOST_NAMED = 8  # levels in one sentence
ENOUGH_GROUPS = 2 * FEWEST_GROUPS  # of a level that is to be tested in more than one
MANY_CLASSES = 20  # of an attribute: they are not named and, of a common one such as age, not kept on both sides
_CALLED = {"train": "training split", "test": "test split", VALIDATION: "validation split"}
_MORE = "give more examples or groups, or another test fraction"
_ADVICE = {"train": _MORE, "test": _MORE, VALIDATION: "a split has both populations: add some, or leave its rows out"}
_CONTENT, _GROUP = "content ", "group "

Rows = Mapping[Split, Mapping[str, np.ndarray]]
"""By split and population, the rows (m,) of its examples, in order."""


class Drawn(NamedTuple):
    """How a split is drawn if it is not given.

    Attributes:
        test_fraction: of each population's examples, in (0, 1).
        seed: from 0.
    """

    test_fraction: float = 0.2
    seed: int = 0

    def check(self) -> None:
        """Refuse a fraction or seed that no split can be drawn with.

        Raises:
            UserError: saying what is allowed.
        """
        if not 0 < self.test_fraction < 1:
            raise UserError(
                f"A test fraction of {self.test_fraction} is not allowed; it lies between 0 and 1, such as 0.2."
            )
        if not 0 <= self.seed < LARGEST_SEED:
            raise UserError(f"The seed {self.seed} of the split is not allowed; it is a whole number from 0.")


def divided(parts: Mapping[str, Examples], attributes: Sequence[Attribute], drawn: Drawn) -> tuple[Rows, list[str]]:
    """Divide both populations.

    Args:
        parts: background and target by name.
        attributes: what is known of the examples.
        drawn: how the split is drawn, unless the examples give it.

    Returns:
        The rows of each split, and what users of the split must know, in sentences.

    Raises:
        UserError: for a given split that parts a group or equal images, a split that would lack a population, an image
            in both populations, and groups that are no short texts or whole numbers.
    """
    groups, said = _groups(parts)
    given = [part.is_test for part in parts.values()]
    if any(choice is not None for choice in given):
        sides = _given(parts, groups)
    else:
        is_test = _drawn(parts, groups, attributes, drawn)
        sides = np.where(is_test, "test", "train")
        said = [*said, *_said_of_levels(parts, groups, is_test, attributes), *_said_of_sizes(parts, is_test, drawn)]
    rows: dict[Split, dict[str, np.ndarray]] = {}
    for split in (*SPLITS, VALIDATION):
        bounds = np.cumsum([len(part) for part in parts.values()])[:-1]
        rows[split] = {
            population: np.flatnonzero(side == split)
            for population, side in zip(parts, np.split(sides, bounds), strict=True)
        }
    if not any(len(chosen) for chosen in rows[VALIDATION].values()):
        del rows[VALIDATION]
    for split, populations in rows.items():
        for population, chosen in populations.items():
            if not len(chosen):
                raise UserError(f"No {population} example is left for the {_CALLED[split]}; {_ADVICE[split]}.")
    return rows, said


def _groups(parts: Mapping[str, Examples]) -> tuple[np.ndarray, list[str]]:
    """Text (n_background + n_target,): equal where examples must stay on one side, because of their group or content.

    It is the group, or else the content, of the first example that it joins, so that a split depends neither on other
    examples nor on the names of files. Rows of a table are not joined by their content: with few or discrete features,
    rows of different subjects may well be equal.
    """
    digests = [[hashlib.sha256(row.tobytes()).digest() for row in part.images] for part in parts.values()]
    said = _said_of_equal(parts, digests)
    given = [
        _named_groups(population, part, contents)
        for (population, part), contents in zip(parts.items(), digests, strict=True)
    ]
    named = np.concatenate(given)
    _refuse_groups_alike(named)
    if next(iter(parts.values())).is_table:
        return named, said
    content = pd.factorize(np.array([*digests[0], *digests[1]], object))[0]
    groups = pd.factorize(named)[0]
    rows = np.arange(len(content))
    # A graph of examples, groups and contents: connected examples stay together.
    nodes = len(rows) + groups.max() + 1 + content.max() + 1
    ends = np.concatenate([len(rows) + groups, len(rows) + groups.max() + 1 + content])
    links = coo_array((np.ones(2 * len(rows)), (np.tile(rows, 2), ends)), shape=(nodes, nodes))
    joined = connected_components(links, directed=False)[1][: len(rows)]
    _, first_rows, inverse = np.unique(joined, return_index=True, return_inverse=True)
    return named[first_rows][inverse], said


def _said_of_equal(parts: Mapping[str, Examples], digests: Sequence[Sequence[bytes]]) -> list[str]:
    """Examples that are in both populations: rows of a table may be, by chance; images may not.

    Raises:
        UserError: for an image that is in both.
    """
    background, target = parts.values()
    first = dict(zip(reversed(digests[0]), reversed(range(len(digests[0]))), strict=True))
    both = [row for row, digest in enumerate(digests[1]) if digest in first]
    if not both:
        return []
    pair = (
        f"{called(background, 'background', first[digests[1][both[0]]])} and {called(target, 'target', both[0])} are "
        "equal"
    )
    if not target.is_table:
        raise UserError(
            f"{pair}; an example is background or target, not both. Labels disagree on {counted(len(both), 'image')}: "
            "remove one of each pair."
        )
    return [f"{len(both):,} of {len(target):,} target rows have the same features as a background row: {pair}."]


def _named_groups(population: str, part: Examples, digests: Sequence[bytes]) -> np.ndarray:
    """Each example's group as text; its content if no groups are given."""
    if part.groups is None:
        names = [f"{_CONTENT}{digest.hex()}" for digest in digests]
        return np.array(_told_apart(names) if part.is_table else names, object)
    for row, group in enumerate(part.groups):
        # pandas makes floats of whole numbers if one is missing: 1.0 would be another group than 1.
        kept = isinstance(group, str | int | np.integer) and not isinstance(group, bool | np.bool_) and str(group)
        if not (kept and is_storable(kept)):
            raise UserError(
                f"The group of {called(part, population, row)} is {group!r:.60}; groups are whole numbers or short, "
                "printable texts, and each example has one."
            )
    return np.array([f"{_GROUP}{group}" for group in part.groups], object)


def _told_apart(names: Sequence[str]) -> list[str]:
    """The names, with a number after each but the first of equal ones."""
    seen: Counter[str] = Counter()
    apart = []
    for name in names:
        apart.append(f"{name} {seen[name]}" if seen[name] else name)
        seen[name] += 1
    return apart


def _refuse_groups_alike(named: np.ndarray) -> None:
    """Refuse groups that may well be one, in one population or in both."""
    names = [name.removeprefix(_GROUP) for name in pd.unique(named) if name.startswith(_GROUP)]
    if alike := same_identifier(names):
        raise UserError(
            f"The groups {alike[0]!r} and {alike[1]!r} may be one; write them alike if they are, or so that nobody "
            "takes them for it."
        )


def _given(parts: Mapping[str, Examples], groups: np.ndarray) -> np.ndarray:
    """(n,) the name of each example's split, as the examples give it."""
    tested, validated = ([getattr(part, field) for part in parts.values()] for field in ("is_test", "is_validation"))
    if any(choice is None or np.asarray(choice).dtype != np.bool_ for choice in tested):
        raise UserError("Where a split is given, is_test is a bool array for background and for target.")
    validated = [
        np.zeros(len(t), np.bool_) if v is None else np.asarray(v) for t, v in zip(tested, validated, strict=True)
    ]
    is_test, is_validation = np.concatenate(tested), np.concatenate(validated)
    if is_validation.dtype != np.bool_ or (is_test & is_validation).any():
        raise UserError("is_validation is a bool array, and no example is both for testing and for choosing settings.")
    sides = np.where(is_test, "test", np.where(is_validation, VALIDATION, "train"))
    order = np.lexsort((sides, groups))
    torn = np.flatnonzero((groups[order][1:] == groups[order][:-1]) & (sides[order][1:] != sides[order][:-1]))
    if len(torn):
        names = [called(part, name, row) for name, part in parts.items() for row in range(len(part))]
        one, other = order[torn[0]], order[torn[0] + 1]
        words = {"train": "training", "test": "testing", VALIDATION: "choosing settings"}
        raise UserError(
            f"{names[one]} is for {words[sides[one]]} and {names[other]} for {words[sides[other]]}, but they are equal "
            "or of one group."
        )
    return sides


def _drawn(
    parts: Mapping[str, Examples], groups: np.ndarray, attributes: Sequence[Attribute], drawn: Drawn
) -> np.ndarray:
    """Bool (n,): which examples are for testing."""
    strata = np.concatenate(
        [_strata(population, part, attributes, drawn.test_fraction) for population, part in parts.items()]
    )
    is_test = held_out(pd.Series(groups), pd.Series(strata), drawn.test_fraction, drawn.seed)
    codes, names = pd.factorize(groups)
    tested = np.zeros(len(names), np.bool_)
    tested[codes] = is_test
    by_hash = sorted(
        range(len(names)), key=lambda code: hashlib.sha256(f"{drawn.seed}/{names[code]}".encode()).hexdigest()
    )
    sides = _Sides(tested, [np.unique(codes[level.rows]) for level in _levels(parts, attributes)], by_hash)
    sides.complete()
    return sides.tested[codes]


class _Level(NamedTuple):
    """A class of an attribute in one population, or the population itself."""

    title: str
    rows: np.ndarray  # bool (n_background + n_target,)


def _levels(parts: Mapping[str, Examples], attributes: Sequence[Attribute]) -> Iterator[_Level]:
    """Every level that both sides of the split should have."""
    populations = np.repeat(list(parts), [len(part) for part in parts.values()])
    for population in parts:
        yield _Level(population, populations == population)
        for attribute in attributes:
            is_scale = attribute.space == "common" and len(attribute.classes) > MANY_CLASSES
            if attribute.kind != "class" or is_scale or attribute.name not in parts[population].values:
                continue
            codes = np.full(len(populations), -1)
            codes[populations == population] = parts[population].values[attribute.name]
            for code in np.unique(codes[codes >= 0]):
                label = attribute.classes[code]
                yield _Level(f"{label!r} of {attribute.name!r} ({population})", codes == code)


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


def _strata(population: str, part: Examples, attributes: Sequence[Attribute], fraction: float) -> np.ndarray:
    """The kinds of examples that are split in proportion: the population and its salient classes, as text.

    Kinds with too few examples to hold out a fraction in whole examples are merged.
    """
    salient = [a.name for a in attributes if a.space == "salient" and a.kind == "class" and a.name in part.values]
    strata = np.full(len(part), population, dtype=object)
    for name in salient:
        strata += np.char.add("/", np.asarray(part.values[name]).astype(str)).astype(object)
    counts = pd.Series(strata).map(pd.Series(strata).value_counts()).to_numpy()
    return np.where(counts < FEWEST_TESTED / fraction, population, strata)


def _said_of_levels(
    parts: Mapping[str, Examples], groups: np.ndarray, is_test: np.ndarray, attributes: Sequence[Attribute]
) -> list[str]:
    """Which levels the drawn split has too few groups of on one side."""
    few = [attribute for attribute in attributes if len(attribute.classes) <= MANY_CLASSES]
    levels = [(level.title, groups[level.rows], is_test[level.rows]) for level in _levels(parts, few)]
    untrained = [title for title, held, tested in levels if tested.all()]
    untested = [title for title, held, tested in levels if len(pd.unique(held[tested])) < FEWEST_GROUPS]
    said = []
    if untrained:
        said.append(f"The training split has no group of {_listed(untrained)}: too few have it.")
    if untested:
        said.append(
            f"The test split has one group or none of {_listed(untested)}: too few have it. --test-fraction says how "
            "much is held out."
        )
    return said


def _listed(titles: Sequence[str]) -> str:
    more = f" and {len(titles) - MOST_NAMED} more" if len(titles) > MOST_NAMED else ""
    return f"{', '.join(titles[:MOST_NAMED])}{more}"


def _said_of_sizes(parts: Mapping[str, Examples], is_test: np.ndarray, drawn: Drawn) -> list[str]:
    """How far the test split is from what was asked for."""
    said = []
    bounds = np.cumsum([len(part) for part in parts.values()])[:-1]
    for (population, part), chosen in zip(parts.items(), np.split(is_test, bounds), strict=True):
        tested, count = int(chosen.sum()), len(part)
        if abs(tested - drawn.test_fraction * count) > max(1, MISSED * count):
            said.append(
                f"{tested:,} of {count:,} {population} examples are for testing, where {drawn.test_fraction:.0%} were "
                "asked for: groups are few or large."
            )
    return said
