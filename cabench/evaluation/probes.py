"""Probes: how well an attribute can be read off a representation, by a linear model or from the nearest images.

Features are standardised by their mean and standard deviation over the probe's training rows. Every class counts alike,
however rare: else a probe says "the frequent one" of every image, and what it can read stays unseen (statistics card,
section 2). A linear probe's penalty is chosen by cross-validation on the training rows alone, with the images of one
group, such as a subject, in one fold: by the weighted held-out log-likelihood of five stratified folds for classes, by
the squared error for real values, where rows without groups are left out one at a time, in closed form.

A nearest-neighbour probe asks for no linear form, so that it tells whether what a linear probe does not find is absent
or only bent. It takes the 20 nearest training images; distances are Euclidean, and which of equally near rows are taken
does not depend on their order in the data set. (Cover and Hart, IEEE Transactions on Information Theory 1967; k = 20 as
is usual for representations, Wu et al., CVPR 2018.)
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
from cabench.evaluation.logistic import Softmax, balanced_weights, softmax_path

NEIGHBOURS = 20
ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""A feature varies where its deviation is more than this part of its mean, and of the largest deviation of any.
Vectors are float32: what varies less is rounding, which standardising would blow up. The second bound finds directions
that the training images do not have, as where a linear method makes more features than there are images."""


@dataclass(frozen=True)
class ProbeConfig(Settings):
    """How probes are fitted; part of every cell's key."""

    penalties: tuple[float, ...] = setting(
        (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5),
        above=0,
        help="L2 penalties to choose from, strong to weak, of the mean loss: C = 1 / (n penalty), alpha = n penalty",
    )
    folds: int = setting(5, at_least=2, help="of the cross-validation of penalties")
    iterations: int = setting(2000, at_least=1, help="most steps of the logistic solver for one penalty")


class ClassProbe(NamedTuple):
    """A fitted probe of classes.

    Attributes:
        classes: int64 (k,), sorted.
        evidence: from float64 features (n, d) to float64 (n, k): what speaks for each class, where all are equally
            frequent. Log-probabilities of a linear probe, votes of neighbours.
        log_prior: float64 (k,), the logarithm of each class's share of the training rows.
        converged: whether the solver reached its tolerance in the final fit and in every fold.
    """

    classes: np.ndarray
    evidence: Callable[[np.ndarray], np.ndarray]
    log_prior: np.ndarray
    converged: bool = True


class RealProbe(NamedTuple):
    """A fitted probe of numbers.

    Attributes:
        predict: from float64 features (n, d) to float64 values (n,).
    """

    predict: Callable[[np.ndarray], np.ndarray]


class Scaling(NamedTuple):
    """Standardisation by training rows; a feature that is constant there becomes 0.

    Attributes:
        mean: float64 (d,).
        deviation: float64 (d,), infinite where a feature is constant.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Scaling:
        """The mean and standard deviation of float64 features (n, d)."""
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        smallest = ROUNDING * np.maximum(np.abs(mean), deviation.max(initial=0.0))
        return cls(mean, np.where(deviation <= smallest, np.inf, deviation))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Standardised features, (n, d)."""
        scaled: np.ndarray = (features - self.mean) / self.deviation
        return scaled


def class_probe(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, config: ProbeConfig) -> ClassProbe:
    """Multinomial logistic regression in which every class weighs alike.

    Args:
        features: float64 (n, d).
        labels: int64 or bool (n,), of at least two classes.
        groups: int64 (n,), rows of one group stay in one fold.
        config: penalties, folds and steps.
    """
    scaling = Scaling.of(features)
    scaled = scaling(features)
    path = softmax_path(scaled, labels, config.penalties, config.iterations)
    losses, folds_converged = _held_out_losses(scaled, labels, groups, config, path)
    model = path[int(np.argmin(losses))]  # the strongest penalty of equals
    return ClassProbe(
        classes=model.classes,
        evidence=lambda rows: model.log_probabilities(scaling(rows)),
        log_prior=_log_prior(labels),
        converged=model.converged and folds_converged,
    )


def real_probe(features: np.ndarray, values: np.ndarray, groups: np.ndarray, config: ProbeConfig) -> RealProbe:
    """Ridge regression of float64 `values` (n,) or (n, k) on float64 `features` (n, d); groups as in `class_probe`."""
    scaling = Scaling.of(features)
    splits = _splits(groups, config.folds)
    model = RidgeCV(
        alphas=[len(values) * penalty for penalty in config.penalties],
        cv=splits,
        scoring=splits and "neg_mean_squared_error",
    )
    model.fit(scaling(features), values)
    return RealProbe(lambda rows: model.predict(scaling(rows)))


def class_neighbours(features: np.ndarray, labels: np.ndarray) -> ClassProbe:
    """The votes of the nearest rows, each over the number of training rows of its class; they sum to 1.

    Args:
        features: float64 (n, d).
        labels: int64 or bool (n,).
    """
    scaling = Scaling.of(features)
    order = _shuffled(len(labels))
    model = KNeighborsClassifier(min(NEIGHBOURS, len(labels)), algorithm="brute")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # rare classes are classes all the same
        model.fit(scaling(features)[order], labels[order])
    log_prior = _log_prior(labels)

    def evidence(rows: np.ndarray) -> np.ndarray:
        votes = model.predict_proba(scaling(rows)) / np.exp(log_prior)
        weighed: np.ndarray = votes / votes.sum(axis=1, keepdims=True)
        return weighed

    return ClassProbe(model.classes_, evidence, log_prior)


def real_neighbours(features: np.ndarray, values: np.ndarray) -> RealProbe:
    """The mean of float64 `values` (n,) over the nearest of float64 `features` (n, d)."""
    scaling = Scaling.of(features)
    order = _shuffled(len(values))
    model = KNeighborsRegressor(min(NEIGHBOURS, len(values)), algorithm="brute")
    model.fit(scaling(features)[order], values[order])
    return RealProbe(lambda rows: model.predict(scaling(rows)))


def folds_of(kinds: np.ndarray, groups: np.ndarray, folds: int) -> np.ndarray:
    """Int64 (n,): the fold of each row, of at most so many; groups stay together, kinds are spread evenly.

    Groups are shuffled by a fixed seed, ordered by their most frequent kind and then by their size, and dealt out.

    Args:
        kinds: int64 or bool (n,), such as classes.
        groups: int64 (n,).
        folds: the number of folds.
    """
    _, codes = np.unique(groups, return_inverse=True)
    _, kinds = np.unique(kinds, return_inverse=True)
    counts = np.zeros((codes.max() + 1, kinds.max() + 1), dtype=np.int64)
    np.add.at(counts, (codes, kinds), 1)
    shuffled = _shuffled(len(counts))
    order = shuffled[np.lexsort((-counts.sum(axis=1)[shuffled], counts.argmax(axis=1)[shuffled]))]
    assigned = np.empty(len(counts), dtype=np.int64)
    assigned[order] = np.arange(len(counts)) % folds
    return assigned[codes]


def _splits(groups: np.ndarray, folds: int) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Training and held-out rows by fold; None where rows can only be left out one at a time: no groups, or one."""
    count = len(np.unique(groups))
    if count in (1, len(groups)):
        return None
    assigned = folds_of(np.zeros(len(groups), dtype=np.int64), groups, min(folds, count))
    return [(np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)) for fold in np.unique(assigned)]


def _held_out_losses(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, config: ProbeConfig, path: list[Softmax]
) -> tuple[np.ndarray, bool]:
    """Sum over folds of the weighted negative log-likelihood of held-out rows, by penalty; whether all fits converged.

    Every fold's fit starts from the fit to all rows: the optimum is unique, so that only time depends on the start.
    """
    losses, converged = np.zeros(len(config.penalties)), True
    weights = balanced_weights(np.unique(labels, return_inverse=True)[1])
    folds = folds_of(labels, groups, config.folds)
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
            likelihoods = model.log_probabilities(features[known])[np.arange(len(codes)), codes]
            losses[index] -= np.sum(weights[known] * likelihoods)
            converged = converged and model.converged
    return losses, converged


def _log_prior(labels: np.ndarray) -> np.ndarray:
    counts = np.unique(labels, return_counts=True)[1]
    logarithms: np.ndarray = np.log(counts / len(labels))
    return logarithms


def _shuffled(n: int) -> np.ndarray:
    """Int64 (n,): the order in which rows are kept. The first of equally near ones are neighbours."""
    return np.random.default_rng(0).permutation(n)
