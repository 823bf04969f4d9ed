"""Attributes read with what nuisance attributes tell taken out: adjusted probes, and levels that were never seen.

Where a nuisance, such as the site of a scan, goes with an attribute, a probe may read the nuisance and call it the
attribute. Three further scores tell (statistics card, section 4, where they are simulated):

- from the nuisances alone: the attribute read from them and from no image. What is not above it shows nothing.
- adjusted: the linear fit of the vectors on the nuisances, made on training rows, is subtracted from all rows; the
  probe is fitted to what is left, and scored within each level of the nuisances. Taking out the fit alone would lose
  true signal, and scoring over all levels would let the levels' own frequencies count.
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
from cabench.evaluation.probes import ProbeConfig, class_probe, real_probe
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
MOST_LEVELS = 20  # beyond which they are left out in as many lots
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


def without(nuisances: Nuisances, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float64 features of training (n, d) and test rows (m, d) less their linear fit on the nuisances of training."""
    coefficients = np.linalg.lstsq(nuisances.train, train, rcond=None)[0]
    return train - nuisances.train @ coefficients, test - nuisances.test @ coefficients


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
            fitted = _fit(question, self.train, self.nuisances.train, self._all_rows, self.config)
            for place in places:
                with self.scoring.skipping([place], [metric]):
                    rows = _tested(question, self.test, place, fitted)
                    evidence = fitted.evidence(self.nuisances.test[rows.indices])
                    measure = hand_till if fitted.learned else correlation
                    self._add(place, metric, measure(rows.values, evidence), rows, fitted)

    def _read_adjusted(self, question: Question, space: Space, metric: str) -> None:
        places = _places(question, space)
        with self.scoring.skipping(places, [metric]):
            train, test = without(self.nuisances, self.train.features(space), self.test.features(space))
            fitted = _fit(question, self.train, train, self._all_rows, self.config)
            for place in places:
                with self.scoring.skipping([place], [metric]):
                    rows = _tested(question, self.test, place, fitted)
                    levels = self.nuisances.test_levels[rows.indices]
                    measured = within_levels(rows.values, fitted.evidence(test[rows.indices]), levels)
                    self._add(place, metric, measured, rows, fitted)

    def _read_unseen(self, question: Question, space: Space, metric: str) -> None:
        places = _places(question, space)
        with self.scoring.skipping(places, [metric]):
            train, test = self.train.features(space), self.test.features(space)
            whole = _fit(question, self.train, train, self._all_rows, self.config)
            lots = lots_of(self.nuisances.train_levels, self.nuisances.test_levels)
            fits = {lot: self._fit_without(question, train, lots[0] != lot, whole) for lot in np.unique(lots[1])}
            for place in places:
                with self.scoring.skipping([place], [metric]):
                    rows = _tested(question, self.test, place, whole)
                    there = lots[1][rows.indices]
                    kept = np.isin(there, [lot for lot, fit in fits.items() if fit])
                    rows = Rows(rows.indices[kept], rows.values[kept])
                    evidence = np.zeros((len(rows.values), len(whole.learned)) if whole.learned else len(rows.values))
                    for lot, fit in fits.items():
                        if fit and (unseen := there[kept] == lot).any():
                            evidence[unseen] = fit.evidence(test[rows.indices[unseen]])
                    levels = self.nuisances.test_levels[rows.indices]
                    self._add(place, metric, within_levels(rows.values, evidence, levels, FEWEST_LEVELS), rows, whole)

    def _fit_without(
        self, question: Question, features: np.ndarray, among: np.ndarray, whole: _Fitted
    ) -> _Fitted | None:
        """A probe of the rows of other levels; None where they do not have all classes."""
        try:
            found = _fit(question, self.train, features, among, self.config)
        except NotMeasurableError:
            return None
        return found if found.learned == whole.learned else None

    @property
    def _all_rows(self) -> np.ndarray:
        return np.ones(len(self.nuisances.train), dtype=np.bool_)

    def _add(self, place: Place, metric: str, measured: Measurement, rows: Rows, fitted: _Fitted) -> None:
        tested = self.test.tested(rows.indices, rows.values if fitted.learned else None)
        self.scoring.add(place, metric, measured, tested, fitted.n_train, fitted.converged)


class _Fitted(NamedTuple):
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


def _fit(
    question: Question, train: EncodedSplit, features: np.ndarray, among: np.ndarray, config: ProbeConfig
) -> _Fitted:
    """A linear probe of some training rows (bool, n) on features (n, d) of all of them."""
    defined = defined_rows(train, question.attribute, question.fitted)
    rows = Rows(defined.indices[among[defined.indices]], defined.values[among[defined.indices]])
    if question.attribute.kind == "real":
        check_numbers(rows)
        real = real_probe(features[rows.indices], rows.values, train.groups[rows.indices], config)
        return _Fitted(real.predict, [], len(rows.values), True)
    learned = learned_classes(rows.values)
    rows = rows.among(learned)
    probe = class_probe(features[rows.indices], rows.values, train.groups[rows.indices], config)
    return _Fitted(probe.evidence, learned, len(rows.values), probe.converged)


def _tested(question: Question, test: EncodedSplit, place: Place, fitted: _Fitted) -> Rows:
    """The test rows of a place; of classes those that can be scored, as columns of the probe's evidence."""
    rows = defined_rows(test, question.attribute, question.scored[place.population])
    groups = test.groups[rows.indices]
    if not fitted.learned:
        check_read(groups)
        return rows
    rows = rows.among(scored_classes(rows.values, groups, fitted.learned))
    return Rows(rows.indices, np.searchsorted(fitted.learned, rows.values))


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
    scaled = np.where(np.isnan(values), 0.0, (values - mean) / (deviation or 1.0))
    edges = np.quantile(scaled[:n_train], np.arange(1, PARTS) / PARTS)
    return np.stack([scaled, scaled**2], axis=1), np.searchsorted(edges, scaled, side="right")
