"""Attributes read with what nuisance attributes tell taken out: adjusted probes, and levels that were never seen.

Where a nuisance, such as the site of a scan, goes with an attribute, a probe may read the nuisance and call it the
attribute. Three further scores tell (statistics card, section 4, where they are simulated):

- from the nuisances alone: the attribute read from them and from no image. What is not above it shows nothing.
- adjusted: the linear fit of the vectors on the nuisances, made on the rows that the probe is fitted on, is subtracted
  from all rows; the probe is fitted to what is left, and scored within each level of the nuisances. Taking out the fit
  alone would lose true signal, and scoring over all levels would let the levels' own frequencies count.
- on unseen levels: the probe is fitted on the rows of all other levels, and scored within the one that it has not seen;
  where at least three levels can be left out.

Levels are the combinations of the nuisances' classes, and of fifths of nuisance numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cabench.data.dataset import SPACES, Attribute, Space
from cabench.evaluation.encoded import EVERYONE, EncodedSplit
from cabench.evaluation.metrics.levels import within_levels
from cabench.evaluation.metrics.probing import correlation, hand_till
from cabench.evaluation.probes import ROUNDING, ProbeConfig, class_probe, real_probe
from cabench.evaluation.questions import (
    Question,
    Rows,
    check_numbers,
    check_read,
    defined_rows,
    learned_classes,
    scored_classes,
)
from cabench.evaluation.score import Measurement, NotMeasurableError, Place, Probed, Scoring

FEWEST_LEVELS = 3  # that can be left out one at a time
MOST_LEVELS = 10  # beyond which they are left out in as many lots
PARTS = 5  # of the range of a nuisance number


class Nuisances(NamedTuple):
    """What is known of the nuisance attributes of every row, background first.

    Attributes:
        train: float64 (n, p), what vectors are fitted on: a column for each class, and each number with its square. No
            columns where there are no nuisances.
        test: float64 (m, p), 0 in all columns of a class that no training row has.
        train_levels: int64 (n,); all equal where there are no nuisances.
        test_levels: int64 (m,).
    """

    train: np.ndarray
    test: np.ndarray
    train_levels: np.ndarray
    test_levels: np.ndarray

    @property
    def are_there(self) -> bool:
        """Whether the data have nuisance attributes."""
        return bool(self.train.size)


def nuisances_of(train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]) -> Nuisances:
    """The nuisances of some attributes. An undefined class is a class too, an undefined number counts as the mean."""
    sizes = [len(split.is_target()) for split in (train, test)]
    designs: list[np.ndarray] = [np.empty((sum(sizes), 0))]
    levels: list[np.ndarray] = [np.zeros(sum(sizes), dtype=np.int64)]
    found = [attribute for attribute in attributes if attribute.space == "nuisance"]
    for attribute in found:
        values = np.concatenate([split.values(attribute, EVERYONE) for split in (train, test)])
        design, level = (_of_classes if attribute.kind == "class" else _of_numbers)(values, sizes[0])
        designs.append(design)
        levels.append(level)
    if found and all(attribute.kind == "real" for attribute in found):  # the columns of classes sum to 1 by themselves
        designs.append(np.ones((sum(sizes), 1)))
    joint = np.unique(np.stack(levels, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    return Nuisances(*np.split(np.concatenate(designs, axis=1), [sizes[0]]), *np.split(joint, [sizes[0]]))


def without(
    nuisances: Nuisances, fitted: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Float64 features of training (n, d) and test rows (m, d) less their linear fit on the nuisances.

    Args:
        nuisances: of all rows.
        fitted: int64 (k,), the training rows that the fit is made on: the effect of a site on background images need
            not be its effect on target images.
        train: float64 (n, d).
        test: float64 (m, d).
    """
    coefficients = np.linalg.lstsq(nuisances.train[fitted], train[fitted], rcond=None)[0]
    left = train - nuisances.train @ coefficients, test - nuisances.test @ coefficients
    # Where nuisances tell all of a feature, rounding is left, which standardising would blow up.
    told = left[0][fitted].std(axis=0) <= ROUNDING * np.abs(train[fitted]).mean(axis=0)
    return np.where(told, 0.0, left[0]), np.where(told, 0.0, left[1])


@dataclass(frozen=True)
class NuisanceReader:
    """Adds the scores of this module.

    Attributes:
        scoring: where scores are added.
        train: what probes are fitted on.
        test: what they are scored on.
        nuisances: of their rows.
        config: of the probes.
    """

    scoring: Scoring
    train: EncodedSplit
    test: EncodedSplit
    nuisances: Nuisances
    config: ProbeConfig

    def read(self, question: Question) -> None:
        """Add the scores of one attribute that is no nuisance itself."""
        metric = "auc" if question.attribute.kind == "class" else "correlation"
        self._read_alone(question, metric)
        for space in SPACES:
            self._read_adjusted(question, space, f"adjusted_{metric}")
            self._read_unseen(question, space, f"unseen_level_{metric}")

    def _read_alone(self, question: Question, metric: str) -> None:
        places = _places(question, "nuisance")
        with self.scoring.skipping(places, [metric]):
            probe = self._fit(_learnable(question, self.train), self.nuisances.train)
            for place in places:
                with self.scoring.skipping([place], [metric]):
                    rows = _tested(question, self.test, place, probe.learned)
                    evidence = probe.evidence(self.nuisances.test[rows.indices])
                    if probe.learned:
                        measured = hand_till(rows.values, evidence)
                    else:
                        measured = correlation(rows.values, evidence, self.test.groups[rows.indices])
                    self._add(place, metric, measured, rows, [probe])

    def _read_adjusted(self, question: Question, space: Space, metric: str) -> None:
        places = _places(question, space)
        with self.scoring.skipping(places, [metric]):
            learnable = _learnable(question, self.train)
            vectors = self.train.features(space), self.test.features(space)
            train, test = without(self.nuisances, learnable.rows.indices, *vectors)
            probe = self._fit(learnable, train)
            for place in places:
                with self.scoring.skipping([place], [metric]):
                    rows = _tested(question, self.test, place, probe.learned)
                    levels = self.nuisances.test_levels[rows.indices]
                    groups = self.test.groups[rows.indices]
                    measured = within_levels(rows.values, probe.evidence(test[rows.indices]), levels, groups=groups)
                    self._add(place, metric, measured, rows, [probe])

    def _read_unseen(self, question: Question, space: Space, metric: str) -> None:
        places = _places(question, space)
        with self.scoring.skipping(places, [metric]):
            learnable = _learnable(question, self.train)
            train, test = self.train.features(space), self.test.features(space)
            left_out, lots = lots_of(self.nuisances.train_levels, self.nuisances.test_levels)
            probes = {
                lot: self._fit_on(question, train, left_out != lot, learnable) for lot in np.unique(lots).tolist()
            }
            known = {lot: probe for lot, probe in probes.items() if probe}
            for place in places:
                with self.scoring.skipping([place], [metric]):
                    rows = _tested(question, self.test, place, learnable.classes)
                    rows = rows.where(np.isin(lots[rows.indices], list(known)))
                    classes = [len(learnable.classes)] if learnable.classes else []
                    evidence = np.zeros((len(rows.indices), *classes))
                    for lot, probe in known.items():
                        unseen = lots[rows.indices] == lot
                        if unseen.any():  # a site may have supplied one population alone
                            evidence[unseen] = probe.evidence(test[rows.indices[unseen]])
                    levels = self.nuisances.test_levels[rows.indices]
                    groups = self.test.groups[rows.indices]
                    measured = within_levels(rows.values, evidence, levels, FEWEST_LEVELS, groups)
                    self._add(place, metric, measured, rows, list(known.values()))

    def _fit_on(self, question: Question, features: np.ndarray, among: np.ndarray, whole: _Learnable) -> _Probe | None:
        """A probe of some of the rows; None where they do not have all classes."""
        try:
            learnable = _learnable(question, self.train, among)
        except NotMeasurableError:
            return None
        return self._fit(learnable, features) if learnable.classes == whole.classes else None

    def _fit(self, learnable: _Learnable, features: np.ndarray) -> _Probe:
        """A linear probe on features (n, d) of all training rows."""
        (indices, values), classes = learnable
        groups = self.train.groups[indices]
        if not classes:
            return _Probe(
                real_probe(features[indices], values, groups, self.config).predict, classes, len(values), True
            )
        probe = class_probe(features[indices], values, groups, self.config)
        return _Probe(probe.evidence, classes, len(values), probe.converged)

    def _add(self, place: Place, metric: str, measured: Measurement, rows: Rows, probes: Sequence[_Probe]) -> None:
        tested = self.test.tested(rows.indices, rows.values if probes[0].learned else None)
        n_train = max(probe.n_train for probe in probes)
        self.scoring.add(place, metric, measured, tested, n_train, all(probe.converged for probe in probes))


class _Learnable(NamedTuple):
    """What a probe can be fitted to.

    Attributes:
        rows: training rows of the classes that there are enough of, or with numbers.
        classes: these classes; none of numbers.
    """

    rows: Rows
    classes: list[int]


class _Probe(NamedTuple):
    """A linear probe.

    Attributes:
        evidence: from float64 features (n, d) to float64 (n, classes), or predictions (n,).
        learned: the classes; none of a probe of numbers.
        n_train: rows that it was fitted on.
        converged: whether its solver reached its tolerance.
    """

    evidence: Callable[[np.ndarray], np.ndarray]
    learned: list[int]
    n_train: int
    converged: bool


def _learnable(question: Question, train: EncodedSplit, among: np.ndarray | None = None) -> _Learnable:
    """What can be learned of all training rows, or of some (bool, n)."""
    rows = defined_rows(train, question.attribute, question.fitted)
    rows = rows if among is None else rows.where(among[rows.indices])
    if question.attribute.kind == "real":
        check_numbers(rows)
        return _Learnable(rows, [])
    classes = learned_classes(rows.values)
    return _Learnable(rows.among(classes), classes)


def _tested(question: Question, test: EncodedSplit, place: Place, learned: list[int]) -> Rows:
    """The test rows of a place; of classes those that can be scored, as columns of the probe's evidence."""
    rows = defined_rows(test, question.attribute, question.scored[place.population])
    groups = test.groups[rows.indices]
    if not learned:
        check_read(groups)
        return rows
    rows = rows.among(scored_classes(rows.values, groups, learned))
    return Rows(rows.indices, np.searchsorted(learned, rows.values))


def _places(question: Question, space: Probed) -> list[Place]:
    return [Place(space, question.attribute.name, question.attribute.space, name) for name in question.scored]


def lots_of(train_levels: np.ndarray, test_levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Int64 (n,) and (m,): the lot that the level of each training and test row is left out with, one level a lot
    where there are at most `MOST_LEVELS`.
    """
    return train_levels % MOST_LEVELS, test_levels % MOST_LEVELS


def _of_classes(values: np.ndarray, n_train: int) -> tuple[np.ndarray, np.ndarray]:
    """A column for each class of the training rows, and the class of all rows, training rows first."""
    classes = np.unique(values[:n_train])
    return (values[:, None] == classes).astype(np.float64), values


def _of_numbers(values: np.ndarray, n_train: int) -> tuple[np.ndarray, np.ndarray]:
    """The number, standardised by training rows, and its square; and the fifth of the training rows that it lies in."""
    known = values[:n_train][~np.isnan(values[:n_train])]
    mean, deviation = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
    filled = np.where(np.isnan(values), mean, values)
    edges = np.quantile(known, np.arange(1, PARTS) / PARTS) if len(known) else np.empty(0)
    scaled = (filled - mean) / (deviation or 1.0)
    return np.stack([scaled, scaled**2], axis=1), np.searchsorted(edges, filled, side="right")
