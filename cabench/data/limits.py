"""What limits an evaluation on a data set, whatever the method: too few rows or groups, and forced leaks.

A file with limits keeps its contract and can be used. Said is

- which attributes and classes an evaluation will leave out, because too few training rows or test groups have them;
  of a class that is rather a scale, such as 30 ages, that it is one, and no more;
- where so few test groups are there that only large differences can be seen;
- whether groups lie in both splits, so that an attribute of a known subject may be read from its identity;
- which nuisances tell background from target, so that part of what a salient space holds of them is forced, and which
  common attributes do, so that a common space that holds them must tell targets.

Probes of common attributes and of nuisances are fitted on both populations together and scored on each apart, those of
salient ones on targets. Each row is a group of its own where no groups are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from scipy.stats import t

from cabench.data.dataset import FEWEST_READ, FEWEST_ROWS, FEWEST_TESTED, FEWEST_TRAINED, Attribute
from cabench.data.dependence import dependence_on_population
from cabench.data.groups import group_codes
from cabench.data.layout import SPLITS, Findings, StoredSplit, check_layout, examine, listed, texts

FORCED = 0.3  # dependence of a nuisance on the population, from which on it is said
WHOLE = 0.95  # from which on it tells one from the other, but for exceptions
FEW_GROUPS = 10  # of a population's test rows, below which it is said
FEWEST_DEGREES = 2  # of freedom, for a test
LEVEL, POWER = 0.05, 0.8
POPULATIONS = ("background", "target")
MOST_CODES = 20  # classes that are numbers: with more, they are rather a scale


def limits_of(path: Path) -> list[str]:
    """The limits of a data set file, each in a sentence; nothing where its layout is not sound.

    Raises:
        UserError: when there is no such file.
    """

    def look(file: h5py.File, findings: Findings) -> None:
        splits = check_layout(file, findings)
        if not findings.errors:
            warn_of_limits(splits, findings)

    return examine(path, look)[1].warnings


def warn_of_limits(splits: Sequence[StoredSplit], findings: Findings) -> None:
    """Add a warning for each limit.

    Args:
        splits: of one file, its layout sound; the training and the test split are looked at.
        findings: gets the warnings.
    """
    train, test = (next(split for split in splits if split.name == name) for name in SPLITS)
    _warn_of_shared_groups(train, test, findings)
    tested = [_Tested.of(test, population) for population in POPULATIONS]
    for part in tested:
        _warn_of_few_groups(part, findings)
    for attribute in train.attributes.values():
        if attribute.space == "nuisance":
            _warn_of_dependence(train, attribute, FORCED, findings)
        elif attribute.space == "common" and len(train.is_target) >= FEWEST_TRAINED * len(attribute.classes):
            # With fewer rows a class, most classes are in one population by chance.
            _warn_of_dependence(train, attribute, WHOLE, findings)
        read_in = [part for part in tested if attribute.space != "salient" or part.population == "target"]
        warn = _warn_of_class if attribute.kind == "class" else _warn_of_real
        warn(attribute, train.values(attribute.name), read_in, findings)


class _Tested(NamedTuple):
    """The test rows of one population.

    Attributes:
        population: "background" or "target".
        values: by attribute, (n,) as in `cabench.data.dataset.Population`.
        groups: int64 (n,), the group of each row.
        called: what messages call groups: "target examples", or "groups of target examples".
    """

    population: str
    values: Mapping[str, np.ndarray]
    groups: np.ndarray
    called: str

    @classmethod
    def of(cls, test: StoredSplit, population: str) -> _Tested:
        rows = test.is_target == (population == "target")
        groups = texts(test.group, "groups", len(rows))[rows]
        called = f"{population} examples"
        return cls(
            population,
            {name: test.values(name)[rows] for name in test.attributes},
            group_codes(groups),
            f"groups of {called}" if groups.any() else called,
        )

    def groups_of(self, rows: np.ndarray) -> int:
        """How many groups some of the rows (bool, n) have."""
        return len(np.unique(self.groups[rows]))


def _warn_of_shared_groups(train: StoredSplit, test: StoredSplit, findings: Findings) -> None:
    names = [set(texts(split.group, "groups", len(split.is_target))) - {""} for split in (train, test)]
    if shared := names[0] & names[1]:
        findings.warn(
            f"{len(shared)} of {len(names[1])} groups of the test split have rows in the training split too: what is "
            "read of them may be read from who they are"
        )


def _warn_of_few_groups(part: _Tested, findings: Findings) -> None:
    count = len(np.unique(part.groups))
    if count < FEW_GROUPS:
        findings.warn(f"the test split has few {part.called} ({count}): {_seen_of(count)}")


def _seen_of(groups: int) -> str:
    """Which differences are seen on so few groups: those that a t-test of groups finds four times of five."""
    degrees = groups - 1
    if degrees < FEWEST_DEGREES:
        return "no difference can be tested on them"
    smallest = t.ppf(1 - LEVEL / 2, degrees) + t.ppf(POWER, degrees)
    return f"differences below about {smallest:.0f} standard errors cannot be seen"


def _warn_of_dependence(train: StoredSplit, attribute: Attribute, told: float, findings: Findings) -> None:
    dependence = dependence_on_population(attribute, train.values(attribute.name), train.is_target)
    if dependence >= told:
        measure = "Cramér's V" if attribute.kind == "class" else "correlation"
        how, forced = ("", "is forced") if dependence >= WHOLE else ("partly ", "is partly forced")
        follows = {
            "nuisance": f"what a salient space holds of it {forced}",
            "common": "a common space that holds it must tell targets",
        }
        findings.warn(
            f"{attribute.name} is {how}confounded with the population ({measure} {dependence:.1f}): "
            f"{follows[attribute.space]}"
        )


def _warn_of_class(attribute: Attribute, trained: np.ndarray, tested: Sequence[_Tested], findings: Findings) -> None:
    """Which classes an evaluation leaves out, from the training values (n,) and the test rows."""
    rows = {code: int((trained == code).sum()) for code in range(len(attribute.classes))}
    if _is_scale(attribute):
        rare = sum(count < FEWEST_TRAINED for count in rows.values())
        findings.warn(
            f"{attribute.name} has {len(rows)} classes, all of them numbers, {rare} of them with fewer than "
            f"{FEWEST_TRAINED} training rows: a scale is declared as {attribute.name}:real"
        )
        return
    kept = _warn_of_rare(attribute, rows, FEWEST_TRAINED, "training rows", "measured", findings)
    for part in tested if kept else ():
        groups = {code: part.groups_of(part.values[attribute.name] == code) for code in kept}
        what = f"{part.called} in the test split"
        _warn_of_rare(attribute, groups, FEWEST_TESTED, what, "measured there", findings)


def _is_scale(attribute: Attribute) -> bool:
    """Whether classes are so many numbers that they are rather values of a scale."""
    numbers = (re.fullmatch(r"[+-]?\d+(\.\d+)?", label, re.ASCII) for label in attribute.classes)
    return len(attribute.classes) > MOST_CODES and all(numbers)


def _warn_of_rare(
    attribute: Attribute, counts: Mapping[int, int], fewest: int, what: str, measured: str, findings: Findings
) -> list[int]:
    """Say which classes have fewer than `fewest` of something. Returns those that have enough; none if it is one."""
    enough = [code for code, count in counts.items() if count >= fewest]
    if len(enough) < 2:
        findings.warn(
            f"{attribute.name} has fewer than two classes with {fewest} or more {what}, so that it is not {measured}"
        )
        return []
    rare = [f"{attribute.classes[code]} ({count})" for code, count in counts.items() if count < fewest]
    if rare:
        findings.warn(
            f"the classes of {attribute.name} with fewer than {fewest} {what} are not {measured}: {listed(rare)}"
        )
    return enough


def _warn_of_real(attribute: Attribute, trained: np.ndarray, tested: Sequence[_Tested], findings: Findings) -> None:
    """Likewise for numbers: too few or equal ones."""
    name, known = attribute.name, trained[attribute.is_defined(trained)]
    if len(known) < FEWEST_ROWS:
        findings.warn(f"{name} is known of {len(known)} training rows; a probe needs {FEWEST_ROWS}: it is not measured")
        return
    if len(np.unique(known)) < 2:
        findings.warn(f"{name} has the same value in all training rows, so that it is not measured")
        return
    for part in tested:
        defined = attribute.is_defined(part.values[name])
        if part.groups_of(defined) < FEWEST_READ:
            findings.warn(
                f"{name} is known of fewer than {FEWEST_READ} {part.called} in the test split, so that it is not "
                "measured there"
            )
        elif len(np.unique(part.values[name][defined])) < 2:
            findings.warn(
                f"{name} has the same value in all {part.population} examples of the test split, so that it is not "
                "measured there"
            )
