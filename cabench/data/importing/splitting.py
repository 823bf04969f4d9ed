"""Which examples are trained on, which are kept for choosing settings, and which are tested on.

A split is given, or drawn in whole groups and in proportion to populations and salient classes. A drawn split is then
changed, where groups allow it, until both sides have every level of a salient class and of a nuisance that a population
has: a level that one side lacks cannot be learned, or not be measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cabench.data.dataset import Attribute
from cabench.data.importing.examples import Examples, called
from cabench.data.layout import SPLITS, VALIDATION, Split, counted, is_storable
from cabench.data.split import held_out
from cabench.errors import UserError

LARGEST_SEED = 2**32
FEWEST_TESTED = 3  # test examples of a class that is split on its own: with fewer, rounding counts too much
MISSED = 0.05  # of a population: a note says if the test split is off by more
MOST_NAMED = 8  # levels in one sentence

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
        said = [*said, *_said_of_levels(parts, is_test, attributes), *_said_of_sizes(parts, is_test, drawn)]
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
                called = {"train": "training"}.get(split, split)
                raise UserError(
                    f"No {population} example is left for the {called} split; give more examples or groups, or "
                    "another test fraction."
                )
    return rows, said


def _groups(parts: Mapping[str, Examples]) -> tuple[np.ndarray, list[str]]:
    """Text (n_background + n_target,): equal where examples must stay on one side, because of their group or content.

    It is the group, or else the content, of the first example that it joins, so that a split depends neither on other
    examples nor on the names of files. Rows of a table that have groups are not joined by their content: with few or
    discrete features, rows of different subjects may well be equal.
    """
    digests = [[hashlib.sha256(row.tobytes()).hexdigest() for row in part.images] for part in parts.values()]
    said = _said_of_equal(parts, digests)
    given = [
        _named_groups(population, part, contents)
        for (population, part), contents in zip(parts.items(), digests, strict=True)
    ]
    named = np.concatenate(given)
    if next(iter(parts.values())).is_table:
        return named, said
    content = pd.factorize(np.concatenate(digests))[0]
    groups = pd.factorize(named)[0]
    rows = np.arange(len(content))
    # A graph of examples, groups and contents: connected examples stay together.
    nodes = len(rows) + groups.max() + 1 + content.max() + 1
    ends = np.concatenate([len(rows) + groups, len(rows) + groups.max() + 1 + content])
    links = coo_array((np.ones(2 * len(rows)), (np.tile(rows, 2), ends)), shape=(nodes, nodes))
    joined = connected_components(links, directed=False)[1][: len(rows)]
    _, first_rows, inverse = np.unique(joined, return_index=True, return_inverse=True)
    return named[first_rows][inverse], said


def _said_of_equal(parts: Mapping[str, Examples], digests: Sequence[Sequence[str]]) -> list[str]:
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


def _named_groups(population: str, part: Examples, digests: Sequence[str]) -> np.ndarray:
    """Each example's group as text; its content if no groups are given."""
    if part.groups is None:
        return np.array([f"content {digest}" for digest in digests])
    for row, group in enumerate(part.groups):
        # pandas makes floats of whole numbers if one is missing: 1.0 would be another group than 1.
        kept = isinstance(group, str | int | np.integer) and not isinstance(group, bool | np.bool_) and str(group)
        if not (kept and is_storable(kept)):
            raise UserError(
                f"The group of {called(part, population, row)} is {group!r:.60}; groups are whole numbers or short, "
                "printable texts, and each example has one."
            )
    return np.array([f"group {group}" for group in part.groups])


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
    is_test = held_out(pd.Series(groups), pd.Series(strata), drawn.test_fraction, drawn.seed).copy()
    populations = np.repeat(list(parts), [len(part) for part in parts.values()])
    levels = list(_levels(parts, attributes))
    kept = [*(level.rows for level in levels), *(populations == population for population in parts)]
    order = _order(groups, drawn.seed)
    for level in levels:
        for side in (True, False):
            if (level.rows & (is_test == side)).any():
                continue
            moved = _movable(level.rows, not side, is_test, groups, order, kept)
            is_test[moved] = side
            if moved.any():  # and back goes another group, where one can, so that the fraction stays
                alike = (populations == populations[moved.argmax()]) & ~level.rows
                is_test[_movable(alike, side, is_test, groups, order[::-1], kept)] = not side
    return is_test


class _Level(NamedTuple):
    """A class of a salient attribute, or a level of a nuisance, in one population."""

    title: str
    rows: np.ndarray  # bool (n_background + n_target,)


def _levels(parts: Mapping[str, Examples], attributes: Sequence[Attribute]) -> Iterator[_Level]:
    """Every level that both sides of the split should have."""
    for attribute in attributes:
        if attribute.space == "common" or attribute.kind != "class":
            continue
        for population in parts:
            codes = np.concatenate(
                [
                    np.asarray(part.values[attribute.name])
                    if name == population and attribute.name in part.values
                    else np.full(len(part), -1)
                    for name, part in parts.items()
                ]
            )
            for code in np.unique(codes[codes >= 0]):
                label = attribute.classes[code]
                yield _Level(f"{label!r} of {attribute.name!r} ({population})", codes == code)


def _order(groups: np.ndarray, seed: int) -> list[str]:
    """The groups in the order in which `held_out` chooses them."""
    return sorted(set(groups.tolist()), key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).hexdigest())


def _movable(
    rows: np.ndarray,
    side: bool,
    is_test: np.ndarray,
    groups: np.ndarray,
    order: Sequence[str],
    kept: Sequence[np.ndarray],
) -> np.ndarray:
    """Bool (n,): the first group with some of the rows that can leave its side without the side losing a level.

    Args:
        rows: bool (n,), examples of which the group must hold one.
        side: where the group stands; True is the test split.
        is_test: bool (n,).
        groups: (n,) of the examples.
        order: the groups, those first that are moved rather.
        kept: each bool (n,), the examples of one level or population; of what the group holds some must stay.

    Returns:
        False everywhere where there is no such group.
    """
    holding = set(groups[rows & (is_test == side)].tolist())
    for group in order:
        if group in holding:
            moved = groups == group
            left = (is_test == side) & ~moved
            if all((part & left).any() for part in kept if (part & moved).any()):
                chosen: np.ndarray = moved
                return chosen
    return np.zeros(len(groups), np.bool_)


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


def _said_of_levels(parts: Mapping[str, Examples], is_test: np.ndarray, attributes: Sequence[Attribute]) -> list[str]:
    """Which levels the drawn split could not keep on both sides."""
    lacking: dict[str, list[str]] = {"training": [], "test": []}
    for level in _levels(parts, attributes):
        for name, side in (("training", ~is_test), ("test", is_test)):
            if not (level.rows & side).any():
                lacking[name].append(level.title)
    said = []
    for name, titles in lacking.items():
        if titles:
            more = f" and {len(titles) - MOST_NAMED} more" if len(titles) > MOST_NAMED else ""
            said.append(
                f"The {name} split has no example of {', '.join(titles[:MOST_NAMED])}{more}: too few groups have it."
            )
    return said


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
