"""The shape of the two spaces: lengths, clouds and clusters of vectors, and what either space tells of the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, pairwise_distances
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from cabench.data.dataset import spaced
from cabench.evaluation.probes import ProbeConfig, Scaling, real_probe
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
    ratio says less than the AUC does. The influence is the delta method's, of background images first.

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
    of_background = (above - above.mean()) / (len(above) * below.mean())
    of_target = -ratio * (below - below.mean()) / (len(below) * below.mean())
    return Measurement(float(ratio), 1.0, perfect=0.0, influence=np.concatenate([of_background, of_target]))


def silhouette(background: np.ndarray, target: np.ndarray) -> Measurement:
    """Silhouette of target against background: whether the two populations form two separate clouds.

    For each image (b - a) / max(a, b), with a the mean distance to its own population and b that to the other
    (Rousseeuw, Journal of Computational and Applied Mathematics 1987); the mean over images. Range [-1, 1]; 0 where the
    populations overlap wholly, which is chance. 1 asks for two points: a salient space that also tells target images
    apart stays below. The influence of an image, background images first, goes through its own silhouette, through the
    distances of others to it, and through the standardisation; it is 0 where the image is left out.

    Args:
        background: float64 (n, d); standardised here, together with the other.
        target: float64 (m, d).

    Raises:
        NotMeasurableError: where a population has fewer than two images, or all vectors are equal.
    """
    if min(len(background), len(target)) < 2:
        raise NotMeasurableError("a population has fewer than two images")
    kept = [spaced(np.arange(len(part)), MOST_BY_SILHOUETTE) for part in (background, target)]
    features = np.concatenate([background[kept[0]], target[kept[1]]])
    if not np.ptp(features, axis=0).any():
        raise NotMeasurableError("all vectors are equal")
    value, influence = _silhouette(Scaling.of(features)(features), len(kept[0]))
    of_all = np.zeros(len(background) + len(target))
    of_all[np.concatenate([kept[0], len(background) + kept[1]])] = influence
    return Measurement(value, 0.0, influence=of_all)


def _silhouette(scaled: np.ndarray, n_background: int) -> tuple[float, np.ndarray]:
    """The mean silhouette and the influence (n,) of standardised vectors (n, d), background images first."""
    n = len(scaled)
    own = np.repeat([0, 1], [n_background, n - n_background])
    members = np.eye(2)[own]
    distances = pairwise_distances(scaled)
    others = members.sum(axis=0) - members  # of each population, without the image itself
    means = (distances @ members) / others
    inner, outer = means[np.arange(n), own], means[np.arange(n), 1 - own]
    widest = np.maximum(inner, outer)
    widest[widest == 0] = 1
    silhouettes = (outer - inner) / widest
    slopes = np.where(members, -outer[:, None], inner[:, None]) / widest[:, None] ** 2 / others / n

    influence = (silhouettes - silhouettes.mean()) / n
    influence += (distances @ slopes - np.sum(slopes * means, axis=0))[np.arange(n), own]
    influence += slopes[np.arange(n), own] * inner  # no image is at a distance from itself
    # Each feature's deviation, which it is divided by, changes by (x² - 1) / 2n of itself.
    pulls = slopes[:, own] + slopes[:, own].T
    np.divide(pulls, distances, out=pulls, where=distances > 0)
    of_deviations = np.sum(scaled * (pulls @ scaled), axis=0) - pulls.sum(axis=1) @ scaled**2
    influence += (scaled**2 - 1) @ of_deviations / (2 * n)
    return float(silhouettes.mean()), influence


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
    scaled = Scaling.of(features)(features)
    if len(np.unique(scaled, axis=0)) < classes:
        raise NotMeasurableError(f"there are fewer distinct vectors than the {classes} classes")
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


def hsic(common: np.ndarray, salient: np.ndarray, groups: np.ndarray | None = None) -> Measurement:
    """The Hilbert-Schmidt independence criterion of the two spaces of the same images, with Gaussian kernels.

    A kernel's width is the median distance, and the criterion is divided by the root of either space's criterion with
    itself. Range [0, 1]; 0 only for independent spaces (Gretton et al., ALT 2005; normalised as in Cortes, Mohri and
    Rostamizadeh, JMLR 2012). Its chance is the mean over permutations that pair vectors of different images, and the
    p-value is the share of permutations that reach the value (Phipson and Smyth 2010: the value itself is counted as
    one). Permutations move groups as a whole; images of a larger group are left out in the place of a smaller one, and
    those of a smaller one repeat in the place of a larger one. Where groups are of very unequal sizes, chance and
    p-value come out somewhat too large. The influence is the delta method's for fixed kernels; 0 where an image is
    left out.

    Args:
        common: float64 (n, d).
        salient: float64 (n, e).
        groups: int64 (n,), the group of each image, such as its subject; each is one where None.

    Raises:
        NotMeasurableError: where there are fewer than three images, or all vectors of a space are equal.
    """
    if len(common) < 3:
        raise NotMeasurableError("there are fewer than three images")
    kept = spaced(np.arange(len(common)), MOST_BY_HSIC)
    first, second = (_centred_kernel(name, rows[kept]) for name, rows in (("common", common), ("salient", salient)))
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    value = float(np.sum(first * second) / norm)
    members = _Members.of(kept if groups is None else groups[kept])
    generator = np.random.default_rng(0)
    permuted = np.empty(PERMUTATIONS)
    for index in range(PERMUTATIONS):
        order = members.exchanged(generator.permutation(len(members.sizes)))
        permuted[index] = np.sum(first * second[np.ix_(order, order)]) / norm
    reached = permuted >= value - 1e-12  # equal but for rounding: permutations of discrete vectors often are
    p_value = float((1 + np.sum(reached)) / (1 + PERMUTATIONS))
    influence = np.zeros(len(common))
    influence[kept] = 2 * np.sum(first * second, axis=1) / norm
    for kernel in (first, second):
        influence[kept] -= value * np.sum(kernel**2, axis=1) / np.sum(kernel**2)
    return Measurement(value, float(permuted.mean()), p_value=p_value, influence=influence)


class _Members(NamedTuple):
    """The images of each group.

    Attributes:
        order: int64 (n,), the images by group.
        groups: int64 (n,), the group of each image, from 0 on.
        sizes: int64 (groups,), images of each.
        places: int64 (n,), of each image within its group, from 0 on.
    """

    order: np.ndarray
    groups: np.ndarray
    sizes: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray) -> _Members:
        """From int64 (n,)."""
        _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        order = np.argsort(codes, kind="stable")
        places = np.empty(len(codes), dtype=np.int64)
        places[order] = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return cls(order, codes, sizes, places)

    def exchanged(self, permutation: np.ndarray) -> np.ndarray:
        """Int64 (n,): the image in the place of each where group `permutation[g]` takes the place of group g."""
        taken = permutation[self.groups]
        starts = np.cumsum(self.sizes) - self.sizes
        exchanged: np.ndarray = self.order[starts[taken] + self.places % self.sizes[taken]]
        return exchanged


def space_r2(
    train_from: np.ndarray,
    train_to: np.ndarray,
    train_groups: np.ndarray,
    test_from: np.ndarray,
    test_to: np.ndarray,
    config: ProbeConfig,
) -> Measurement:
    """How well a ridge, fitted on training images, predicts one space from the other: R² on test images.

    Every dimension counts by its variance. At most 1; chance is 0. The influence is the delta method's; the ridge stays
    as it was fitted.

    Args:
        train_from: float64 (n, d).
        train_to: float64 (n, e).
        train_groups: int64 (n,), the group of each training image; folds keep groups together.
        test_from: float64 (m, d).
        test_to: float64 (m, e).
        config: the penalties to choose from.

    Raises:
        NotMeasurableError: where there are fewer than three training or test images, or the space to predict is
            constant on the test images.
    """
    if min(len(train_to), len(test_to)) < 3:
        raise NotMeasurableError("there are fewer than three images")
    deviations = ((test_to - test_to.mean(axis=0)) ** 2).sum(axis=1)
    if np.ptp(test_to, axis=0).max() == 0:
        raise NotMeasurableError("the space to predict is constant")
    predicted = real_probe(train_from, train_to, train_groups, config).predict(test_from)
    errors = ((test_to - predicted.reshape(test_to.shape)) ** 2).sum(axis=1)
    ratio = errors.mean() / deviations.mean()
    influence = (ratio * deviations - errors) / deviations.sum()
    return Measurement(float(1 - ratio), 0.0, influence=influence)


def _centred_kernel(name: str, rows: np.ndarray) -> np.ndarray:
    """Float64 (n, n): Gaussian kernel of standardised rows, rows and columns centred."""
    distances = pdist(Scaling.of(rows)(rows), "sqeuclidean")
    if not distances.any():
        raise NotMeasurableError(f"the {name} vectors of all images are equal")
    kernel = np.exp(-squareform(distances) / (2 * np.median(distances[distances > 0])))
    centred = kernel - kernel.mean(axis=0)
    result: np.ndarray = centred - centred.mean(axis=1, keepdims=True)
    return result
