"""Disentanglement: whether single dimensions of a representation hold single attributes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import mutual_info_score

from cabench.evaluation.probes import Scaling
from cabench.evaluation.score import Measurement, NotMeasurableError

BINS = 20
VOTES = 500
GROUP = 100
# Every split may use every dimension: trees that are shown some of them alone split by what is of no use.
_FOREST = {"n_estimators": 20, "min_samples_leaf": 5, "max_features": None, "random_state": 0}


def mig(features: np.ndarray, values: np.ndarray, is_class: bool) -> Measurement:
    """Mutual information gap: whether an attribute is held by one dimension of a representation and by no other.

    The mutual information of the dimension that has most of it minus that of the next, divided by the attribute's
    entropy (Chen et al., NeurIPS 2018). Dimensions and real attributes are cut into 20 bins of equal width, as in
    Locatello et al. (ICML 2019). Range [0, 1]; chance is 0. Where there is a single dimension, 0 is taken off.

    Args:
        features: float64 (n, d).
        values: int64 classes or float64 values (n,).
        is_class: whether values are classes, which are not binned.

    Raises:
        NotMeasurableError: where all values are equal.
    """
    codes = values if is_class else _binned(values)
    if len(np.unique(codes)) < 2:
        raise NotMeasurableError("all values are equal")
    information = sorted(mutual_info_score(codes, _binned(column)) for column in features.T)
    gap = information[-1] - (information[-2] if len(information) > 1 else 0.0)
    return Measurement(float(gap / mutual_info_score(codes, codes)), 0.0, None)


def _binned(values: np.ndarray) -> np.ndarray:
    """Int64 (n,): the bin of each value."""
    edges = np.linspace(values.min(), values.max(), BINS + 1)[1:-1]
    return np.searchsorted(edges, values, side="right")


def dci(features: np.ndarray, attributes: Sequence[tuple[np.ndarray, bool]]) -> tuple[Measurement, Measurement]:
    """Disentanglement and completeness of a representation (Eastwood and Williams, ICLR 2018).

    A random forest predicts each attribute from all dimensions. Its importances, dimensions by attributes, tell how the
    two are tied: *disentanglement* is 1 where every dimension serves one attribute only, *completeness* is 1 where
    every attribute is served by one dimension only. Both are one minus an entropy, weighted by importance; range
    [0, 1]; chance, where all importances are equal, is 0. Codes that spread a class over several dimensions, such as
    one-hot ones, are incomplete by this measure. (The third of their scores, informativeness, is what probes measure.)

    Args:
        features: float64 (n, d); standardised here, as trees take differences below 1e-7 for none.
        attributes: two or more, each its int64 or float64 values (n,) and whether they are classes.

    Raises:
        NotMeasurableError: where no dimension helps to predict any attribute, or there is one dimension.
    """
    if features.shape[1] < 2:
        raise NotMeasurableError("the representation has one dimension")
    scaled = Scaling.of(features)(features)
    importances = np.stack([_importances(scaled, values, is_class) for values, is_class in attributes], axis=1)
    total = importances.sum()
    if not total > 0:
        raise NotMeasurableError("no dimension helps to predict an attribute")
    disentanglement = np.sum(importances.sum(axis=1) / total * _concentration(importances))
    completeness = np.sum(importances.sum(axis=0) / total * _concentration(importances.T))
    return Measurement(float(disentanglement), 0.0, None), Measurement(float(completeness), 0.0, None)


def _importances(features: np.ndarray, values: np.ndarray, is_class: bool) -> np.ndarray:
    """Float64 (d,): summing to 1, or all 0 where the forest found nothing to split by."""
    forest = (RandomForestClassifier if is_class else RandomForestRegressor)(**_FOREST)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # rare classes are classes all the same
        importances: np.ndarray = forest.fit(features, values).feature_importances_
    return importances


def _concentration(importances: np.ndarray) -> np.ndarray:
    """Float64 (rows,): 1 - entropy of each row, in units of its greatest possible one; 0 for a row of zeros."""
    totals = importances.sum(axis=1, keepdims=True)
    shares = np.divide(importances, totals, out=np.full_like(importances, 1 / importances.shape[1]), where=totals > 0)
    logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    result: np.ndarray = 1 + (shares * logarithms).sum(axis=1) / np.log(importances.shape[1])
    return result


def dimension_r2(features: np.ndarray, values: np.ndarray, is_class: bool) -> list[float]:
    """What each dimension and an attribute share, in [0, 1]; 0 where the dimension or the attribute is constant.

    For a real attribute the squared correlation; for classes the correlation ratio, the part of the dimension's
    variance that lies between the classes (which is R² of the dimension on the classes).

    Args:
        features: float64 (n, d).
        values: int64 classes or float64 values (n,).
        is_class: whether values are classes.
    """
    centred = features - features.mean(axis=0)
    within = (centred**2).sum(axis=0)
    if is_class:
        indicators = values[:, None] == np.unique(values)
        shared = ((centred.T @ indicators) ** 2 / indicators.sum(axis=0)).sum(axis=1)
    else:
        deviations = values - values.mean()
        shared = (centred.T @ deviations) ** 2 / max(float(deviations @ deviations), np.finfo(float).tiny)
    # A sum of squares at the level of rounding is that of a constant.
    varies = within > len(features) * (10 * np.finfo(float).eps * np.abs(features).max(axis=0)) ** 2
    return np.divide(shared, within, out=np.zeros_like(within), where=varies).clip(0, 1).tolist()  # type: ignore[no-any-return]


def factor_vae(features: np.ndarray, factors: np.ndarray) -> Measurement:
    """FactorVAE metric: whether the dimension that varies least while a factor is fixed tells which factor it is.

    (Kim and Mnih, ICML 2018, as Double InfoGAN's script computes it: method card C4.) Groups of 100 images, drawn with
    replacement under a fixed seed, share the value of one factor; every dimension is divided by its standard deviation
    over all images; the dimension of least variance in the group is the group's vote. The score is how many of 500
    votes are right when each dimension stands for the factor that it most often belongs to, counted on the same votes.
    Range [0, 1]; chance is what one dimension for all would reach, the share of the most frequent factor among the
    groups.

    Args:
        features: float64 (n, d).
        factors: float64 (n, number of factors).

    Raises:
        NotMeasurableError: where there are no images, or every dimension is constant.
    """
    spread = features.std(axis=0) if len(features) else np.zeros(1)
    varying = spread > 0
    if not varying.any():
        raise NotMeasurableError("no dimension varies")
    scaled = features[:, varying] / spread[varying]
    generator = np.random.default_rng(0)
    votes = np.zeros((scaled.shape[1], factors.shape[1]), dtype=int)
    for _ in range(VOTES):
        factor = generator.integers(factors.shape[1])
        shared = np.flatnonzero(factors[:, factor] == generator.choice(factors[:, factor]))
        group = scaled[generator.choice(shared, GROUP)]
        votes[group.var(axis=0).argmin(), factor] += 1
    right = votes.max(axis=1).sum() / VOTES
    error = np.sqrt(right * (1 - right) / VOTES)
    return Measurement(float(right), float(votes.sum(axis=0).max() / VOTES), float(error))
