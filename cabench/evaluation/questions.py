"""What is asked of every cell: which attribute is read, of which images, and which classes there are enough images of.

Salient attributes are read of target images; common and nuisance ones of background and target images, fitted together
and scored apart; target against background of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cabench.data.dataset import FEWEST_READ, FEWEST_ROWS, FEWEST_TESTED, FEWEST_TRAINED, Attribute
from cabench.evaluation.encoded import EVERYONE, TARGET, EncodedSplit
from cabench.evaluation.score import NotMeasurableError, PopulationName

TESTED = "test images or groups"


class Question(NamedTuple):
    """One attribute to be read.

    Attributes:
        attribute: which.
        fitted: the populations whose training images a probe is fitted on.
        scored: by the name that a score has, the populations of test images that it is taken of.
    """

    attribute: Attribute
    fitted: tuple[PopulationName, ...]
    scored: Mapping[PopulationName, tuple[PopulationName, ...]]


class Rows(NamedTuple):
    """The rows of one split that a question is about.

    Attributes:
        indices: int64 (n,), their places among all rows of the split, background first.
        values: int64 (n,) classes, or float64 (n,) numbers.
    """

    indices: np.ndarray
    values: np.ndarray

    def among(self, classes: Sequence[int]) -> Rows:
        """The rows of some classes."""
        return self.where(np.isin(self.values, classes))

    def where(self, kept: np.ndarray) -> Rows:
        """Some of the rows: bool (n,)."""
        return Rows(self.indices[kept], self.values[kept])


def questions(attributes: Sequence[Attribute]) -> list[Question]:
    """One question an attribute, then target against background."""
    apart: dict[PopulationName, tuple[PopulationName, ...]] = {name: (name,) for name in EVERYONE[::-1]}
    asked = [
        Question(attribute, ("target",), {"target": ("target",)})
        if attribute.space == "salient"
        else Question(attribute, EVERYONE, apart)
        for attribute in attributes
    ]
    return [*asked, Question(TARGET, EVERYONE, {"all": EVERYONE})]


def defined_rows(split: EncodedSplit, attribute: Attribute, populations: Sequence[PopulationName]) -> Rows:
    """The rows of some populations for which an attribute is defined."""
    values = split.values(attribute, populations)
    return Rows(split.indices(attribute, populations), values[attribute.is_defined(values)])


def learned_classes(labels: np.ndarray) -> list[int]:
    """The classes, of training labels (n,), that there are images enough of.

    Raises:
        NotMeasurableError: where there are fewer than two.
    """
    codes, counts = np.unique(labels, return_counts=True)
    if len(codes) == 1:
        raise NotMeasurableError("all training values are equal")
    kept: list[int] = codes[counts >= FEWEST_TRAINED].tolist()
    if len(kept) < 2:
        raise NotMeasurableError(f"fewer than two classes have {FEWEST_TRAINED} training images")
    return kept


def scored_classes(labels: np.ndarray, groups: np.ndarray, learned: Sequence[int]) -> list[int]:
    """The learned classes, of test labels (n,) in groups (n,), that there are groups enough of.

    Raises:
        NotMeasurableError: where there are fewer than two.
    """
    kept = [code for code in learned if len(np.unique(groups[labels == code])) >= FEWEST_TESTED]
    if len(kept) < 2:
        raise NotMeasurableError(f"fewer than two of the classes learned have {FEWEST_TESTED} {TESTED}")
    return kept


def left_out(attribute: Attribute, train: np.ndarray, test: np.ndarray, scored: Sequence[int]) -> list[str]:
    """Clauses that say which classes of the training and test labels (n,) are not scored, and why."""
    counts = np.bincount(train, minlength=len(attribute.classes))
    reasons = []
    for code in sorted({*np.unique(train).tolist(), *np.unique(test).tolist()} - set(scored)):
        few = f"{counts[code]} training images; {FEWEST_TRAINED} are needed"
        reason = few if counts[code] < FEWEST_TRAINED else f"fewer than {FEWEST_TESTED} {TESTED}"
        reasons.append(f"the class {attribute.classes[code]!r} is left out, with {reason}")
    return reasons


def check_numbers(rows: Rows) -> None:
    """Raise NotMeasurableError where no probe can be fitted to these numbers."""
    if len(rows.values) < FEWEST_ROWS:
        raise NotMeasurableError(f"only {len(rows.values)} training images define it; {FEWEST_ROWS} are needed")
    if np.ptp(rows.values) == 0:
        raise NotMeasurableError("all training values are equal")


def check_read(groups: np.ndarray) -> None:
    """Raise NotMeasurableError where numbers are read of too few test groups (n,)."""
    if (count := len(np.unique(groups))) < FEWEST_READ:
        raise NotMeasurableError(f"it is read of {count} {TESTED}; {FEWEST_READ} are needed")
