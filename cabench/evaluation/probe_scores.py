"""The probe grid: every attribute read from both spaces, each score beside its chance and its ideal.

For each space and attribute one linear and one nearest-neighbour probe is fitted on the training representations and
scored on the test representations, as `cabench.evaluation.questions` says. Leaks are tested by permutations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from cabench.data.dataset import IS_TARGET, SPACES, Attribute, Space
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.gap import is_leak, mean_over_attributes
from cabench.evaluation.metrics.probing import accuracy, balanced_accuracy, correlation, hand_till, r2
from cabench.evaluation.permutation import Leak, permutation_tests
from cabench.evaluation.probes import (
    ClassProbe,
    ProbeConfig,
    class_neighbours,
    class_probe,
    real_neighbours,
    real_probe,
)
from cabench.evaluation.questions import (
    Question,
    Rows,
    check_numbers,
    check_read,
    defined_rows,
    learned_classes,
    left_out,
    scored_classes,
)
from cabench.evaluation.score import Measurement, Place, Scoring


class _Read(NamedTuple):
    """What two probes say of the test rows of one place.

    Attributes:
        truth: int64 (n,) codes of the classes that are scored, or float64 values.
        linear: float64 (n, classes), what speaks for each of them, or predictions (n,).
        nearest: gives the same of nearest neighbours, which takes long to find.
        log_prior: float64 (classes,), how frequent each is in training; empty for numbers.
        groups: int64 (n,), the group of each row.
    """

    truth: np.ndarray
    linear: np.ndarray
    nearest: Callable[[], np.ndarray]
    log_prior: np.ndarray
    groups: np.ndarray


_Metrics = Mapping[str, Callable[[_Read], Measurement]]
_CLASSES: _Metrics = {
    "balanced_accuracy": lambda read: balanced_accuracy(read.truth, read.linear.argmax(axis=1)),
    # What a probe without weights would say: the frequencies of the classes put back.
    "accuracy": lambda read: accuracy(read.truth, (read.linear + read.log_prior).argmax(axis=1)),
    "auc": lambda read: hand_till(read.truth, read.linear),
    "knn_balanced_accuracy": lambda read: balanced_accuracy(read.truth, read.nearest().argmax(axis=1)),
}
_TARGET: _Metrics = {
    "auc": lambda read: hand_till(read.truth, read.linear),
    "knn_auc": lambda read: hand_till(read.truth, read.nearest()),
}
_NUMBERS: _Metrics = {
    "correlation": lambda read: correlation(read.truth, read.linear, read.groups),
    "r2": lambda read: r2(read.truth, read.linear),
    "knn_correlation": lambda read: correlation(read.truth, read.nearest(), read.groups),
}


class Metrics(NamedTuple):
    """What is measured of each kind of attribute, by name."""

    classes: _Metrics
    target: _Metrics
    numbers: _Metrics

    def of(self, attribute: Attribute) -> _Metrics:
        """Those of one attribute."""
        if attribute.name == IS_TARGET:
            return self.target
        return self.classes if attribute.kind == "class" else self.numbers

    def among(self, names: Collection[str]) -> Metrics:
        """Those with some names."""
        return Metrics(*({name: kind[name] for name in kind if name in names} for kind in self))


EVERY = Metrics(_CLASSES, _TARGET, _NUMBERS)
"""All that is measured of every cell."""


@dataclass(frozen=True)
class ProbeGrid:
    """Reads attributes from spaces and adds the scores.

    Attributes:
        scoring: where scores are added.
        train: what probes are fitted on.
        test: what they are scored on.
        strata: int64 (n,), the level of the nuisance attributes of each test row, background first; permutations stay
            within a level.
        config: of the probes.
        metrics: what is measured.
        leaks: what permutation tests need, by the place of a leak among the scores.
    """

    scoring: Scoring
    train: EncodedSplit
    test: EncodedSplit
    strata: np.ndarray
    config: ProbeConfig
    metrics: Metrics = EVERY
    leaks: dict[int, Leak] = field(default_factory=dict)

    def read(self, question: Question) -> None:
        """Add the scores of one attribute, ordered by space and population."""
        attribute = question.attribute
        score = self._read_classes if attribute.kind == "class" else self._read_numbers
        for space in SPACES:
            places = [Place(space, attribute.name, attribute.space, name) for name in question.scored]
            with self.scoring.skipping(places, list(self.metrics.of(attribute))):
                score(question, space, places)

    def test_leaks(self) -> float | None:
        """Give every leak that was read its p-values.

        Returns:
            What a cell without any leak would be said to leak on average, as the mean over attributes that the
            separation gap takes: above 0 where test groups are few. None where no leak was read.
        """
        if not self.leaks:
            return None
        scores = self.scoring.scores
        found = dict(zip(self.leaks, permutation_tests(list(self.leaks.values()), self.test.groups), strict=True))
        for index, tested in found.items():
            scores[index] = replace(
                scores[index],
                p_value=tested.p_value,
                p_familywise=tested.p_familywise,
                p_smallest=tested.p_smallest,
            )
        return mean_over_attributes(scores, {index: (tested.floor, 0.0) for index, tested in found.items()}).value

    def _read_classes(self, question: Question, space: Space, places: list[Place]) -> None:
        attribute, metrics = question.attribute, list(self.metrics.of(question.attribute))
        rows = defined_rows(self.train, attribute, question.fitted)
        learned = learned_classes(rows.values)
        fitted = rows.among(learned)
        features = self.train.features(space)[fitted.indices]
        linear = class_probe(features, fitted.values, self.train.groups[fitted.indices], self.config)
        nearest = class_neighbours(features, fitted.values)
        for place in places:
            with self.scoring.skipping([place], metrics):
                there = defined_rows(self.test, attribute, question.scored[place.population])
                scored = scored_classes(there.values, self.test.groups[there.indices], learned)
                for reason in left_out(attribute, rows.values, there.values, scored):
                    self.scoring.skip([place], metrics[:1], reason)
                tested, columns = there.among(scored), np.isin(linear.classes, scored)
                features = self.test.features(space)[tested.indices]
                read = _Read(
                    truth=np.searchsorted(scored, tested.values),
                    linear=linear.evidence(features)[:, columns],
                    nearest=partial(_votes, nearest, features, columns),
                    log_prior=linear.log_prior[columns],
                    groups=self.test.groups[tested.indices],
                )
                self._add(question, place, read, tested, len(fitted.values), linear.converged)

    def _read_numbers(self, question: Question, space: Space, places: list[Place]) -> None:
        attribute = question.attribute
        rows = defined_rows(self.train, attribute, question.fitted)
        check_numbers(rows)
        features = self.train.features(space)[rows.indices]
        linear = real_probe(features, rows.values, self.train.groups[rows.indices], self.config)
        nearest = real_neighbours(features, rows.values)
        for place in places:
            with self.scoring.skipping([place], list(self.metrics.numbers)):
                tested = defined_rows(self.test, attribute, question.scored[place.population])
                check_read(self.test.groups[tested.indices])
                features = self.test.features(space)[tested.indices]
                groups = self.test.groups[tested.indices]
                found = partial(nearest.predict, features)
                read = _Read(tested.values, linear.predict(features), found, np.empty(0), groups)
                self._add(question, place, read, tested, len(rows.values), True)

    def _add(self, question: Question, place: Place, read: _Read, rows: Rows, n_train: int, converged: bool) -> None:
        by_class = self.test.tested(rows.indices, read.truth if question.attribute.kind == "class" else None)
        at_large = self.test.tested(rows.indices)  # plain accuracy depends on how frequent classes are
        for metric, measure in self.metrics.of(question.attribute).items():
            with self.scoring.skipping([place], [metric]):
                tested = at_large if metric == "accuracy" else by_class
                self.scoring.add(place, metric, measure(read), tested, n_train, converged)
                if is_leak(self.scoring.scores[-1]):
                    free = question.attribute.space == "nuisance"  # its own levels do not hold it fast
                    strata = np.zeros(len(rows.indices), np.int64) if free else self.strata[rows.indices]
                    leak = Leak(read.truth, read.linear, rows.indices, strata)
                    self.leaks[len(self.scoring.scores) - 1] = leak


def _votes(nearest: ClassProbe, features: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return nearest.evidence(features)[:, columns]
