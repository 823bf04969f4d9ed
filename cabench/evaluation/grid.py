"""The probe grid: every attribute read from both spaces, each score beside its chance and its ideal.

For each space and attribute one probe is fitted on the training representations and scored on the test
representations: on target images where the attribute is salient; on background and target images, fitted together and
scored apart, where it is common. Besides, target is told from background in both spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from cabench.dataset import SPACES, Attribute, Space
from cabench.evaluation.accuracy import accuracy
from cabench.evaluation.auc import auc
from cabench.evaluation.balanced_accuracy import balanced_accuracy
from cabench.evaluation.measurement import Measurement
from cabench.evaluation.probes import Probe, ProbeConfig, class_probe, real_probe
from cabench.evaluation.r2 import r2
from cabench.record import PopulationName, Score

VERSION = 1  # raised whenever a change may change a score
MAIN_METRICS = ("balanced_accuracy", "r2", "auc")  # one a probe: what tables show and the separation gap averages
IS_TARGET = "is_target"


class EncodedPopulation(NamedTuple):
    """Representations of one population of one split, with its attributes.

    Attributes:
        spaces: float32 (n, d) by space.
        attributes: (n,) by name, as in `cabench.dataset.Population`.
    """

    spaces: Mapping[Space, np.ndarray]
    attributes: Mapping[str, np.ndarray]


class EncodedSplit(NamedTuple):
    """Representations of one split."""

    background: EncodedPopulation
    target: EncodedPopulation


def evaluate(
    train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute], config: ProbeConfig
) -> tuple[Score, ...]:
    """All scores of one cell, ordered by attribute, space and population.

    Raises:
        ValueError: when an attribute has fewer than two distinct values among the training or test images it is
            defined for, or a representation is not finite.
    """
    _check_finite(train, test)
    # One thread: these products are too small to share (on two cores the probes of one cell, 8,000 images in 32
    # dimensions, took 15 s with two threads and 3 s with one), and sums do not depend on the number of cores.
    with threadpool_limits(limits=1):
        scores = [
            score for item in attributes for space in SPACES for score in _probe(train, test, item, space, config)
        ]
        scores += [_tell_target(train, test, space, config) for space in SPACES]
    return tuple(scores)


def separation_gap(scores: Sequence[Score]) -> float:
    """Mean of |value - ideal| over the grid's balanced accuracies, R² and AUC; 0 is perfect separation."""
    return float(np.mean([abs(score.value - score.ideal) for score in scores if score.metric in MAIN_METRICS]))


def _probe(
    train: EncodedSplit, test: EncodedSplit, attribute: Attribute, space: Space, config: ProbeConfig
) -> list[Score]:
    populations: tuple[PopulationName, ...] = ("target",) if attribute.space == "salient" else ("target", "background")
    features, values = _rows(train, attribute, space, populations)
    _check_varies(attribute, "training", values)
    probe = (class_probe if attribute.kind == "class" else real_probe)(features, values, config)
    metrics: dict[str, Callable[..., Measurement]] = (
        {"balanced_accuracy": balanced_accuracy, "accuracy": accuracy} if attribute.kind == "class" else {"r2": r2}
    )
    scores = []
    for population in populations:
        test_features, test_values = _rows(test, attribute, space, (population,))
        _check_varies(attribute, f"{population} test", test_values)
        predicted = probe.model.predict(test_features)
        score = partial(
            _score, space, attribute.name, attribute.space, population, probe, len(values), len(test_values)
        )
        scores += [score(name, metric(test_values, predicted)) for name, metric in metrics.items()]
    return scores


def _tell_target(train: EncodedSplit, test: EncodedSplit, space: Space, config: ProbeConfig) -> Score:
    features, is_target = _told(train, space)
    probe = class_probe(features, is_target, config)
    test_features, test_is_target = _told(test, space)
    measured = auc(test_is_target, probe.model.decision_function(test_features))
    return _score(space, IS_TARGET, "salient", "all", probe, len(is_target), len(test_is_target), "auc", measured)


def _score(
    space: Space,
    attribute: str,
    attribute_space: Space,
    population: PopulationName,
    probe: Probe,
    n_train: int,
    n_test: int,
    metric: str,
    measured: Measurement,
) -> Score:
    return Score(
        space=space,
        attribute=attribute,
        attribute_space=attribute_space,
        population=population,
        metric=metric,
        value=measured.value,
        chance=measured.chance,
        ideal=1.0 if space == attribute_space else measured.chance,
        standard_error=measured.standard_error,
        n_train=n_train,
        n_test=n_test,
        converged=probe.converged,
    )


def _rows(
    split: EncodedSplit, attribute: Attribute, space: Space, populations: Sequence[PopulationName]
) -> tuple[np.ndarray, np.ndarray]:
    """Float64 features (n, d) and values (n,) of the populations' images for which the attribute is defined."""
    parts: list[EncodedPopulation] = [getattr(split, population) for population in populations]
    features = np.concatenate([part.spaces[space] for part in parts]).astype(np.float64)
    values = np.concatenate([part.attributes[attribute.name] for part in parts])
    defined = attribute.is_defined(values)
    return features[defined], values[defined]


def _told(split: EncodedSplit, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Float64 features (n, d) of both populations, and bool (n,) whether each image is a target."""
    features = np.concatenate([part.spaces[space] for part in split]).astype(np.float64)
    return features, np.repeat([False, True], [len(part.spaces[space]) for part in split])


def _check_varies(attribute: Attribute, where: str, values: np.ndarray[Any, Any]) -> None:
    if len(np.unique(values)) < 2:
        raise ValueError(f"Attribute {attribute.name!r} has fewer than two distinct values among the {where} images.")


def _check_finite(*splits: EncodedSplit) -> None:
    for split in splits:
        for part in split:
            for space, features in part.spaces.items():
                if not np.isfinite(features).all():
                    raise ValueError(f"The {space} representation holds values that are not finite.")
