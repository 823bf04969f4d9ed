"""Probes: how well an attribute can be read off a representation, by a linear model or from the nearest images.

Features are standardised by their mean and standard deviation over the probe's training rows. A linear probe's penalty
is chosen by cross-validation on the training rows alone: the held-out log-likelihood of five stratified folds for
classes, the leave-one-out squared error, in closed form, for real values.

A nearest-neighbour probe asks for no linear form, so that it tells whether what a linear probe does not find is absent
or only bent. It takes the 20 nearest training images; distances are Euclidean, neighbours count alike, and which of
equally near rows are taken does not depend on their order in the data set. (Cover and Hart, IEEE Transactions on
Information Theory 1967; k = 20 as is usual for representations, Wu et al., CVPR 2018.)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from cabench.config import Settings, setting
from cabench.evaluation.logistic import Softmax, softmax_path

NEIGHBOURS = 20


@dataclass(frozen=True)
class ProbeConfig(Settings):
    """How probes are fitted; part of every cell's key."""

    penalties: tuple[float, ...] = setting(
        (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5),
        above=0,
        help="L2 penalties to choose from, strong to weak, of the mean loss: C = 1 / (n penalty), alpha = n penalty",
    )
    folds: int = setting(5, at_least=2, help="of the cross-validation of class probes")
    iterations: int = setting(2000, at_least=1, help="most steps of the logistic solver for one penalty")


class Probe(NamedTuple):
    """A fitted probe.

    Attributes:
        predict: from float features (n, d) to int64 classes or float64 values (n,).
        decide: from float features (n, d) to float64 (n,), the log-odds of the last class against the first; None for
            real values.
        penalty: the one chosen.
        converged: whether the solver reached its tolerance in the final fit and in every fold.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    decide: Callable[[np.ndarray], np.ndarray] | None
    penalty: float
    converged: bool


class Scaling(NamedTuple):
    """Standardisation by training rows; a feature that is constant there becomes 0.

    Attributes:
        mean: float64 (d,).
        deviation: float64 (d,), 1 where a feature is constant.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Scaling:
        """The mean and standard deviation of float64 features (n, d)."""
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        # A deviation at the level of rounding is none: dividing by it would make noise of a constant.
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, deviation))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Standardised features, (n, d)."""
        scaled: np.ndarray = (features - self.mean) / self.deviation
        return scaled


def class_probe(features: np.ndarray, labels: np.ndarray, config: ProbeConfig) -> Probe:
    """Multinomial logistic regression of int64 `labels` (n,), at least two classes, on float64 `features` (n, d)."""
    scaling = Scaling.of(features)
    scaled = scaling(features)
    path = softmax_path(scaled, labels, config.penalties, config.iterations)
    losses, folds_converged = _held_out_losses(scaled, labels, config, path)
    best = int(np.argmin(losses))  # the strongest of equals
    model = path[best]

    def decide(rows: np.ndarray) -> np.ndarray:
        log_probabilities = model.log_probabilities(scaling(rows))
        difference: np.ndarray = log_probabilities[:, -1] - log_probabilities[:, 0]
        return difference

    def predict(rows: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = model.classes[model.log_probabilities(scaling(rows)).argmax(axis=1)]
        return chosen

    return Probe(predict, decide, config.penalties[best], model.converged and folds_converged)


def real_probe(features: np.ndarray, values: np.ndarray, config: ProbeConfig) -> Probe:
    """Ridge regression of float64 `values` (n,) on float64 `features` (n, d), in closed form."""
    scaling = Scaling.of(features)
    model = RidgeCV(alphas=[len(values) * penalty for penalty in config.penalties])
    model.fit(scaling(features), values)
    return Probe(lambda rows: model.predict(scaling(rows)), None, float(model.alpha_ / len(values)), True)


def class_neighbours(features: np.ndarray, labels: np.ndarray) -> Probe:
    """The most frequent class among the nearest rows; the first of equally frequent ones.

    Args:
        features: float64 (n, d).
        labels: int64 or bool (n,). `decide` of the probe gives the share of the last class among the neighbours.
    """
    scaling = Scaling.of(features)
    order = _shuffled(len(labels))
    model = KNeighborsClassifier(min(NEIGHBOURS, len(labels)), algorithm="brute")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # rare classes are classes all the same
        model.fit(scaling(features)[order], labels[order])
    return Probe(
        predict=lambda rows: model.predict(scaling(rows)),
        decide=lambda rows: model.predict_proba(scaling(rows))[:, -1],
        penalty=0.0,
        converged=True,
    )


def real_neighbours(features: np.ndarray, values: np.ndarray) -> Probe:
    """The mean of float64 `values` (n,) over the nearest of float64 `features` (n, d)."""
    scaling = Scaling.of(features)
    order = _shuffled(len(values))
    model = KNeighborsRegressor(min(NEIGHBOURS, len(values)), algorithm="brute")
    model.fit(scaling(features)[order], values[order])
    return Probe(lambda rows: model.predict(scaling(rows)), None, 0.0, True)


def _held_out_losses(
    features: np.ndarray, labels: np.ndarray, config: ProbeConfig, path: list[Softmax]
) -> tuple[np.ndarray, bool]:
    """Sum over folds of the negative log-likelihood of held-out rows, by penalty, and whether all fits converged.

    Every fold's fit starts from the fit to all rows: the optimum is unique, so that only time depends on the start.
    """
    losses, converged = np.zeros(len(config.penalties)), True
    folds = _stratified_folds(labels, config.folds)
    for fold in range(config.folds):
        fitted, held_out = folds != fold, folds == fold
        # A class that no fitted row has can be neither learned nor scored.
        known = held_out & np.isin(labels, labels[fitted])
        if not known.any() or len(np.unique(labels[fitted])) < 2:
            continue
        whole = len(np.unique(labels[fitted])) == len(path[0].classes)
        models = softmax_path(
            features[fitted], labels[fitted], config.penalties, config.iterations, path if whole else ()
        )
        for index, model in enumerate(models):
            codes = np.searchsorted(model.classes, labels[known])
            losses[index] -= model.log_probabilities(features[known])[np.arange(len(codes)), codes].sum()
            converged = converged and model.converged
    return losses, converged


def _stratified_folds(labels: np.ndarray, folds: int) -> np.ndarray:
    """Int64 (n,): the fold of each row. Shuffled by a fixed seed, each class spread evenly."""
    shuffled = np.random.default_rng(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    assigned = np.empty(len(labels), dtype=np.int64)
    assigned[by_class] = np.arange(len(labels)) % folds
    return assigned


def _shuffled(n: int) -> np.ndarray:
    """Int64 (n,): the order in which rows are kept. The first of equally near ones are neighbours."""
    return np.random.default_rng(0).permutation(n)
