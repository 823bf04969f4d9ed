"""Disentanglement and completeness of a representation (Eastwood and Williams, ICLR 2018).

A random forest predicts each attribute from all dimensions. Its importances, dimensions by attributes, tell how the two
are tied: *disentanglement* is 1 where every dimension serves one attribute only, *completeness* is 1 where every
attribute is served by one dimension only. Both are one minus an entropy, weighted by importance; range [0, 1]; chance,
where all importances are equal, is 0. Codes that spread a class over several dimensions, such as one-hot ones, are
incomplete by this measure. (The third of their scores, informativeness, is what the probes measure.)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from cabench.evaluation.measurement import Measurement, NotMeasurableError
from cabench.evaluation.probes import Scaling

# Every split may use every dimension: trees that are shown some of them alone split by what is of no use.
_FOREST = {"n_estimators": 20, "min_samples_leaf": 5, "max_features": None, "random_state": 0}


def dci(features: np.ndarray, attributes: Sequence[tuple[np.ndarray, bool]]) -> tuple[Measurement, Measurement]:
    """Disentanglement and completeness.

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
