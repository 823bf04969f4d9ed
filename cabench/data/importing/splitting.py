"""Which examples are trained on, which are kept for choosing settings, and which are tested on.

A split is given, or drawn: see `cabench.data.split`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
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
from cabench.data.split import MANY_CLASSES, Labelled, draw, levels_of
from cabench.errors import UserError

LARGEST_SEED = 2**32
MISSED = 0.05  # of a population: a note says if the test split is off by more
MOST_NAMED = 8  # levels in one sentence
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
        labelled = {name: Labelled(len(part), part.values) for name, part in parts.items()}
        is_test = draw(labelled, groups, attributes, drawn.test_fraction, drawn.seed)
        sides = np.where(is_test, "test", "train")
        said = [*said, *_said_of_levels(labelled, groups, is_test, attributes), *_said_of_sizes(parts, is_test, drawn)]
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


def _said_of_levels(
    parts: Mapping[str, Labelled], groups: np.ndarray, is_test: np.ndarray, attributes: Sequence[Attribute]
) -> list[str]:
    """Which levels the drawn split has too few groups of on one side."""
    few = [attribute for attribute in attributes if len(attribute.classes) <= MANY_CLASSES]
    levels = [(level.title, groups[level.rows], is_test[level.rows]) for level in levels_of(parts, few)]
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
