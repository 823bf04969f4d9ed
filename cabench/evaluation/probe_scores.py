"""The probe grid: every attribute read from both spaces, each score beside its chance and its ideal.

For each space and attribute one linear and one nearest-neighbour probe is fitted on the training representations and
scored on the test representations: on target images where the attribute is salient; on background and target images,
fitted together and scored apart, where it is common. Besides, target is told from background in both spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from cabench.data.dataset import FEWEST_ROWS, IS_TARGET, SPACES, Attribute, Space
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.metrics.probing import accuracy, auc, balanced_accuracy, r2
from cabench.evaluation.probes import Probe, ProbeConfig, class_neighbours, class_probe, real_neighbours, real_probe
from cabench.evaluation.score import Measurement, NotMeasurableError, Place, PopulationName, Score, Scoring

MAIN_METRICS = ("balanced_accuracy", "r2", "auc")  # one a linear probe: what the separation gap averages

_CLASS_METRICS: Mapping[str, Callable[..., Measurement]] = {
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
}
_REAL_METRICS: Mapping[str, Callable[..., Measurement]] = {"r2": r2}


def score_grid(
    scoring: Scoring, train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute], config: ProbeConfig
) -> None:
    """Add the scores of all probes, ordered by attribute, space and population."""
    for attribute in attributes:
        for space in SPACES:
            _score_attribute(scoring, train, test, attribute, space, config)
    for space in SPACES:
        _tell_target(scoring, train, test, space, config)


def separation_gap(scores: Sequence[Score]) -> float | None:
    """Mean of |value - ideal| over the linear probes' balanced accuracies, R² and AUC; 0 is perfect separation.

    None where only one of the two spaces was probed.

    Raises:
        ValueError: where there is no such score.
    """
    main = [score for score in scores if score.metric in MAIN_METRICS]
    if not main:
        raise ValueError("No attribute could be probed: there are too few images of each value.")
    if len({score.space for score in main}) < len(SPACES):
        return None
    return float(np.mean([abs(score.value - score.ideal) for score in main]))


def _score_attribute(
    scoring: Scoring, train: EncodedSplit, test: EncodedSplit, attribute: Attribute, space: Space, config: ProbeConfig
) -> None:
    populations: tuple[PopulationName, ...] = ("target",) if attribute.space == "salient" else ("target", "background")
    is_class = attribute.kind == "class"
    metrics = _CLASS_METRICS if is_class else _REAL_METRICS
    neighbours_metric = "knn_balanced_accuracy" if is_class else "knn_r2"
    places = {name: Place(space, attribute.name, attribute.space, name) for name in populations}
    with scoring.skipping(places.values(), (*metrics, neighbours_metric)):
        features, values = train.rows(attribute, space, populations)
        _check_values(values)
        linear = (class_probe if is_class else real_probe)(features, values, config)
        nearest = (class_neighbours if is_class else real_neighbours)(features, values)
        for population, place in places.items():
            tested, truth = test.rows(attribute, space, (population,))
            for name, metric in metrics.items():
                measure = partial(_predicted, metric, linear, tested, truth)
                scoring.measure(place, name, measure, len(truth), len(values), linear.converged)
            measure = partial(_predicted, next(iter(metrics.values())), nearest, tested, truth)
            scoring.measure(place, neighbours_metric, measure, len(truth), len(values))


def _check_values(values: np.ndarray) -> None:
    """Raise NotMeasurableError where no probe can be fitted to these values."""
    if len(values) < FEWEST_ROWS:
        raise NotMeasurableError(f"only {len(values)} training images define it; {FEWEST_ROWS} are needed")
    if len(np.unique(values)) < 2:
        raise NotMeasurableError("all training values are equal")


def _predicted(
    metric: Callable[..., Measurement], probe: Probe, features: np.ndarray, truth: np.ndarray
) -> Measurement:
    return metric(truth, probe.predict(features) if len(truth) else truth)


def _tell_target(scoring: Scoring, train: EncodedSplit, test: EncodedSplit, space: Space, config: ProbeConfig) -> None:
    place = Place(space, IS_TARGET, "salient", "all")
    is_target, truth = train.is_target(), test.is_target()
    with scoring.skipping([place], ("auc", "knn_auc")):
        features, tested = train.features(space), test.features(space)
        _check_values(is_target)
        for metric, fit in (("auc", partial(class_probe, config=config)), ("knn_auc", class_neighbours)):
            probe = fit(features, is_target)
            measure = partial(_ranked, probe, tested, truth)
            scoring.measure(place, metric, measure, len(truth), len(is_target), probe.converged)


def _ranked(probe: Probe, features: np.ndarray, is_target: np.ndarray) -> Measurement:
    assert probe.decide is not None
    return auc(is_target, probe.decide(features) if len(is_target) else features[:, 0])
