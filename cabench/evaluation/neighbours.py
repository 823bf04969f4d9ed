"""Nearest-neighbour probe: how well an attribute can be read off the 20 nearest training images.

It asks for no linear form, so that it tells whether what a linear probe does not find is absent or only bent. Features
are standardised as for the linear probes; distances are Euclidean, neighbours count alike, and which of equally near
rows are taken does not depend on their order in the data set. (Cover and Hart, IEEE Transactions on Information Theory
1967; k = 20 as is usual for representations, Wu et al., CVPR 2018.)
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from cabench.evaluation.probes import Probe, Scaling

NEIGHBOURS = 20


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


def _shuffled(n: int) -> np.ndarray:
    """Int64 (n,): the order in which rows are kept. The first of equally near ones are neighbours."""
    return np.random.default_rng(0).permutation(n)
