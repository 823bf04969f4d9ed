"""The separation gap from a hundred labelled rows, probes included: what somebody who labels a hundred rows could know.

Fifty background and fifty target rows of the validation part are drawn at random, without a look at their labels; they
are the same for all methods and settings. Each is scored by probes that are fitted on the labelled rows of the other
four of five folds, which keep groups together, and the scores are taken over all folds at once. The terms are those of
`cabench.evaluation.gap`. Target against background needs no label, so that its two terms are those of the whole part.

A class with fewer than two labelled groups is not read. All that can be read of so few rows is noisy, and lower than
what probes read that are fitted on more: the gaps order trials, and say little by themselves. (That few labels suffice
to choose by is of Locatello et al., Disentangling Factors of Variation Using Few Labels, ICLR 2020.)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from cabench.data.dataset import IS_TARGET, Attribute, Space
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.gap import separation
from cabench.evaluation.metrics.probing import balanced_accuracy, correlation, hand_till
from cabench.evaluation.probes import ProbeConfig, class_probe, folds_of, real_probe
from cabench.evaluation.questions import (
    Question,
    Rows,
    check_numbers,
    check_read,
    defined_rows,
    questions,
    scored_classes,
)
from cabench.evaluation.score import Measurement, NotMeasurableError, Place, Score, Scoring

LABELLED = 100
FOLDS, SEED = 5, 0
PROBES = ProbeConfig(penalties=(1.0, 0.1, 0.01))
"""Weaker penalties are never chosen for so few rows, and take four fifths of the time."""
LEAST = -100.0
"""The log-probability of a class that the labelled rows of the other folds do not have."""


def few_labels_gap(
    validation: EncodedSplit, attributes: Sequence[Attribute], measured: Sequence[Score]
) -> float | None:
    """The gap, in [0, 1]; less is better.

    Args:
        validation: vectors and labels of the part that settings are judged by, of which `LABELLED` rows are used.
        attributes: of the data set.
        measured: scores of the whole part, of which those of target against background are taken.

    Returns:
        None where no attribute can be read of so few rows, or target was not told from background.
    """
    labelled = EncodedSplit(*map(_taken, validation, labelled_rows(validation)))
    scoring = Scoring(labelled.blocks.count)
    for question in questions(attributes):
        if question.attribute.name != IS_TARGET:
            for space in labelled.spaces:
                with suppress(NotMeasurableError):
                    _read(scoring, labelled, question, space)
    known = [score for score in measured if score.attribute == IS_TARGET and score.metric == "auc"]
    if not (scoring.scores and known):
        return None
    found = separation([*scoring.scores, *known])
    return found and found.gap.value


def labelled_rows(validation: EncodedSplit) -> list[np.ndarray]:
    """Int64 (n,), ascending, for background and target: the rows whose labels are used; all where there are few."""
    generators = (np.random.default_rng([SEED, number]) for number in range(2))
    each = LABELLED // 2
    return [np.sort(g.permutation(len(part))[:each]) for g, part in zip(generators, validation, strict=True)]


def _taken(part: EncodedPopulation, rows: np.ndarray) -> EncodedPopulation:
    """Some rows (n,) of one population."""
    return EncodedPopulation(
        {space: vectors[rows] for space, vectors in part.spaces.items()},
        {name: values[rows] for name, values in part.attributes.items()},
        None if part.groups is None else part.groups[rows],
    )


def _read(scoring: Scoring, labelled: EncodedSplit, question: Question, space: Space) -> None:
    """Add the scores of one attribute in one space; raises NotMeasurableError where no probe can be fitted."""
    attribute = question.attribute
    rows, read_held_out = defined_rows(labelled, attribute, question.fitted), _read_numbers
    if attribute.kind == "class":
        rows, read_held_out = rows.among(_classes(rows.values, labelled.groups[rows.indices])), _read_classes
    groups = labelled.groups[rows.indices]
    read = read_held_out(rows, labelled.features(space)[rows.indices], groups)
    for population, among in question.scored.items():
        there = np.isin(rows.indices, labelled.indices(attribute, among))
        with suppress(NotMeasurableError):
            for metric, found in _scores(rows.values[there], read[there], groups[there]).items():
                place = Place(space, attribute.name, attribute.space, population)
                scoring.add(place, metric, found._replace(influence=None), labelled.tested(rows.indices[there]))


def _read_classes(rows: Rows, features: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Float64 (n, largest class + 1): what speaks for each class, from probes that have not seen the row."""
    labels = rows.values
    evidence = np.full((len(labels), labels.max() + 1), LEAST)
    for fitted, held_out in _folds(labels, groups):
        if len(np.unique(labels[fitted])) > 1:
            probe = class_probe(features[fitted], labels[fitted], groups[fitted], PROBES)
            evidence[held_out[:, None], probe.classes] = probe.evidence(features[held_out])
    return evidence


def _read_numbers(rows: Rows, features: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Float64 (n,): predictions of probes that have not seen the row."""
    check_numbers(rows)
    check_read(groups)
    predicted = np.zeros(len(rows.values))
    for fitted, held_out in _folds(np.zeros(len(groups), np.int64), groups):
        predicted[held_out] = real_probe(features[fitted], rows.values[fitted], groups[fitted], PROBES).predict(
            features[held_out]
        )
    return predicted


def _folds(kinds: np.ndarray, groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fitted and held-out rows by fold."""
    folds = folds_of(kinds, groups, min(FOLDS, len(np.unique(groups))))
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]


def _scores(truth: np.ndarray, read: np.ndarray, groups: np.ndarray) -> dict[str, Measurement]:
    """What the gap takes, by metric; raises NotMeasurableError for too few groups."""
    if read.ndim == 1:
        check_read(groups)
        return {"correlation": correlation(truth, read, groups)}
    classes = _classes(truth, groups)
    scored = np.isin(truth, classes)
    codes, evidence = np.searchsorted(classes, truth[scored]), read[scored][:, classes]
    return {"balanced_accuracy": balanced_accuracy(codes, evidence.argmax(axis=1)), "auc": hand_till(codes, evidence)}


def _classes(labels: np.ndarray, groups: np.ndarray) -> list[int]:
    """The classes that there are groups enough of; raises NotMeasurableError where these are fewer than two."""
    return scored_classes(labels, groups, np.unique(labels).tolist())
