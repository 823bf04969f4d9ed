"""Dependence between the two spaces of the same images.

`hsic`: the Hilbert-Schmidt independence criterion with Gaussian kernels, whose width is the median distance, divided by
the root of either space's criterion with itself. Range [0, 1]; 0 only for independent spaces (Gretton et al., ALT 2005;
normalised as in Cortes, Mohri and Rostamizadeh, JMLR 2012). Its chance is the mean, its standard error the standard
deviation, over permutations that pair vectors of different images, and the p-value is the share of permutations that
reach the value (Phipson and Smyth 2010: the value itself is counted as one).

`space_r2`: how well ridge regression predicts one space from the other: R² on test images, every dimension counted by
its variance. At most 1; chance is 0.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist, squareform
from sklearn.linear_model import RidgeCV

from cabench.data.dataset import spaced
from cabench.evaluation.measurement import Measurement, NotMeasurableError
from cabench.evaluation.probes import ProbeConfig, Scaling

MOST_IMAGES = 500
PERMUTATIONS = 199


def hsic(common: np.ndarray, salient: np.ndarray) -> Measurement:
    """Normalised HSIC of float64 vectors (n, d) and (n, e) of the same images.

    Raises:
        NotMeasurableError: where there are fewer than three images, or all vectors of a space are equal.
    """
    if len(common) < 3:
        raise NotMeasurableError("there are fewer than three images")
    first, second = (_centred_kernel(name, spaced(rows, MOST_IMAGES)) for name, rows in _named(common, salient))
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    value = float(np.sum(first * second) / norm)
    generator = np.random.default_rng(0)
    permuted = np.empty(PERMUTATIONS)
    for index in range(PERMUTATIONS):
        order = generator.permutation(len(second))
        permuted[index] = np.sum(first * second[np.ix_(order, order)]) / norm
    reached = permuted >= value - 1e-12  # equal but for rounding: permutations of discrete vectors often are
    p_value = float((1 + np.sum(reached)) / (1 + PERMUTATIONS))
    return Measurement(value, float(permuted.mean()), float(permuted.std()), p_value)


def space_r2(
    train_from: np.ndarray, train_to: np.ndarray, test_from: np.ndarray, test_to: np.ndarray, config: ProbeConfig
) -> Measurement:
    """R² of one space predicted from the other, by a ridge fitted on training images.

    Args:
        train_from: float64 (n, d).
        train_to: float64 (n, e).
        test_from: float64 (m, d).
        test_to: float64 (m, e).
        config: the penalties to choose from, by leave-one-out error.

    Raises:
        NotMeasurableError: where there are fewer than three training or test images, or the space to predict is
            constant on the test images.
    """
    if min(len(train_to), len(test_to)) < 3:
        raise NotMeasurableError("there are fewer than three images")
    deviations = ((test_to - test_to.mean(axis=0)) ** 2).sum(axis=1)
    if np.ptp(test_to, axis=0).max() == 0:
        raise NotMeasurableError("the space to predict is constant")
    scaling = Scaling.of(train_from)
    model = RidgeCV(alphas=[len(train_from) * penalty for penalty in config.penalties])
    predicted = model.fit(scaling(train_from), train_to).predict(scaling(test_from))
    errors = ((test_to - predicted.reshape(test_to.shape)) ** 2).sum(axis=1)
    ratio = errors.mean() / deviations.mean()
    influence = (errors - ratio * deviations) / deviations.mean()
    return Measurement(float(1 - ratio), 0.0, float(influence.std() / np.sqrt(len(errors))))


def _named(common: np.ndarray, salient: np.ndarray) -> tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]:
    return ("common", common), ("salient", salient)


def _centred_kernel(name: str, rows: np.ndarray) -> np.ndarray:
    """Float64 (n, n): Gaussian kernel of standardised rows, rows and columns centred."""
    distances = pdist(Scaling.of(rows)(rows), "sqeuclidean")
    if not distances.any():
        raise NotMeasurableError(f"the {name} vectors of all images are equal")
    kernel = np.exp(-squareform(distances) / (2 * np.median(distances[distances > 0])))
    centred = kernel - kernel.mean(axis=0)
    result: np.ndarray = centred - centred.mean(axis=1, keepdims=True)
    return result
