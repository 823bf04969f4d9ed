"""The shape of the two spaces: lengths, clouds and clusters of vectors, and what either space tells of the other."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.linear_model import RidgeCV
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from cabench.data.dataset import spaced
from cabench.evaluation.probes import ProbeConfig, Scaling
from cabench.evaluation.score import Measurement, NotMeasurableError

MOST_BY_SILHOUETTE = 1000  # images of either population, evenly spaced: distances between all of them are needed
MOST_BY_HSIC = 500  # images, likewise
PERMUTATIONS = 199
CLUSTER_SEEDS = range(5)


def norm_ratio(background: np.ndarray, target: np.ndarray) -> Measurement:
    """The mean length of background images' salient vectors over that of target images', from 0 on.

    0 where background images have nothing salient, as contrastive analysis wants it; 1 where both populations are of
    equal length, which is chance: what vectors that know nothing of the population give. Lengths are taken from the
    origin, as the method left it: for a method that has no origin by construction (a linear one centred elsewhere) the
    ratio says less than the AUC does. The standard error is the delta method's.

    Args:
        background: float64 (n, d).
        target: float64 (m, d).

    Raises:
        NotMeasurableError: where a population has no images, or all target vectors are zero.
    """
    if not min(len(background), len(target)):
        raise NotMeasurableError("a population has no images")
    above, below = np.linalg.norm(background, axis=1), np.linalg.norm(target, axis=1)
    if not below.any():
        raise NotMeasurableError("the salient vectors of all target images are zero")
    ratio = above.mean() / below.mean()
    variance = above.var() / len(above) + ratio**2 * below.var() / len(below)
    return Measurement(float(ratio), 1.0, float(np.sqrt(variance) / below.mean()), perfect=0.0)


def silhouette(background: np.ndarray, target: np.ndarray) -> Measurement:
    """Silhouette of target against background: whether the two populations form two separate clouds.

    For each image (b - a) / max(a, b), with a the mean distance to its own population and b that to the other
    (Rousseeuw, Journal of Computational and Applied Mathematics 1987); the mean over images. Range [-1, 1]; 0 where the
    populations overlap wholly, which is chance. 1 asks for two points: a salient space that also tells target images
    apart stays below. The standard error takes images for independent; as all are measured against the same others, it
    is about half of the true one where the populations lie apart.

    Args:
        background: float64 (n, d); standardised here, together with the other.
        target: float64 (m, d).

    Raises:
        NotMeasurableError: where a population has fewer than two images, or all vectors are equal.
    """
    if min(len(background), len(target)) < 2:
        raise NotMeasurableError("a population has fewer than two images")
    parts = [spaced(part, MOST_BY_SILHOUETTE) for part in (background, target)]
    features = np.concatenate(parts)
    if not np.ptp(features, axis=0).any():
        raise NotMeasurableError("all vectors are equal")
    samples = silhouette_samples(Scaling.of(features)(features), np.repeat([0, 1], [len(part) for part in parts]))
    return Measurement(float(samples.mean()), 0.0, float(samples.std() / np.sqrt(len(samples))))


def cluster_scores(features: np.ndarray, labels: np.ndarray) -> tuple[Measurement, Measurement]:
    """Whether the classes of an attribute are what k-means finds without being told, with one cluster for each class.

    Two scores compare the clusters with the classes: the adjusted Rand index (Hubert and Arabie, Journal of
    Classification 1985; range [-0.5, 1], 0 for random clusters) and normalised mutual information (arithmetic mean of
    the entropies; range [0, 1]; random clusters reach a little above 0, which is its chance). Each is the mean over
    k-means runs from different seeds, whose spread gives the standard error.

    Args:
        features: float64 (n, d); standardised here.
        labels: int64 (n,).

    Raises:
        NotMeasurableError: where there is only one class, or fewer distinct vectors than classes.
    """
    classes = len(np.unique(labels))
    if classes < 2:
        raise NotMeasurableError("there are fewer than two classes among the images")
    if len(np.unique(features, axis=0)) < classes:
        raise NotMeasurableError(f"there are fewer distinct vectors than the {classes} classes")
    scaled = Scaling.of(features)(features)
    runs = [KMeans(classes, n_init=1, random_state=seed).fit_predict(scaled) for seed in CLUSTER_SEEDS]
    rand = [adjusted_rand_score(labels, found) for found in runs]
    information = [normalized_mutual_info_score(labels, found) for found in runs]
    by_chance = float(np.mean([_expected(labels, found) for found in runs]))
    return _over_seeds(rand, 0.0), _over_seeds(information, by_chance)


def _over_seeds(values: list[float], chance: float) -> Measurement:
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Measurement(float(np.mean(values)), chance, error)


def _expected(labels: np.ndarray, found: np.ndarray) -> float:
    """Normalised mutual information that clusters and classes of these sizes have on average when unrelated."""
    table = contingency_matrix(labels, found)
    mean_entropy = (entropy(table.sum(axis=1)) + entropy(table.sum(axis=0))) / 2
    return float(expected_mutual_information(table, len(labels)) / mean_entropy)


def hsic(common: np.ndarray, salient: np.ndarray) -> Measurement:
    """The Hilbert-Schmidt independence criterion of the two spaces of the same images, with Gaussian kernels.

    A kernel's width is the median distance, and the criterion is divided by the root of either space's criterion with
    itself. Range [0, 1]; 0 only for independent spaces (Gretton et al., ALT 2005; normalised as in Cortes, Mohri and
    Rostamizadeh, JMLR 2012). Its chance is the mean, its standard error the standard deviation, over permutations that
    pair vectors of different images, and the p-value is the share of permutations that reach the value (Phipson and
    Smyth 2010: the value itself is counted as one).

    Args:
        common: float64 (n, d).
        salient: float64 (n, e).

    Raises:
        NotMeasurableError: where there are fewer than three images, or all vectors of a space are equal.
    """
    if len(common) < 3:
        raise NotMeasurableError("there are fewer than three images")
    first, second = (
        _centred_kernel(name, spaced(rows, MOST_BY_HSIC)) for name, rows in (("common", common), ("salient", salient))
    )
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
    """How well a ridge, fitted on training images, predicts one space from the other: R² on test images.

    Every dimension counts by its variance. At most 1; chance is 0.

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


def _centred_kernel(name: str, rows: np.ndarray) -> np.ndarray:
    """Float64 (n, n): Gaussian kernel of standardised rows, rows and columns centred."""
    distances = pdist(Scaling.of(rows)(rows), "sqeuclidean")
    if not distances.any():
        raise NotMeasurableError(f"the {name} vectors of all images are equal")
    kernel = np.exp(-squareform(distances) / (2 * np.median(distances[distances > 0])))
    centred = kernel - kernel.mean(axis=0)
    result: np.ndarray = centred - centred.mean(axis=1, keepdims=True)
    return result
