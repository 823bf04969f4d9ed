"""Clusters: whether the classes of an attribute are what k-means finds, without being told, in a representation.

Two scores compare the clusters with the classes: the adjusted Rand index (Hubert and Arabie, Journal of Classification
1985; range [-0.5, 1], 0 for random clusters) and normalised mutual information (arithmetic mean of the entropies; range
[0, 1]; random clusters reach a little above 0, which is its chance). Each is the mean over k-means runs from different
seeds, whose spread gives the standard error.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from cabench.evaluation.measurement import Measurement, NotMeasurableError
from cabench.evaluation.probes import Scaling

SEEDS = range(5)


def cluster_scores(features: np.ndarray, labels: np.ndarray) -> tuple[Measurement, Measurement]:
    """Adjusted Rand index and normalised mutual information of k-means clusters, one for each class.

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
    runs = [KMeans(classes, n_init=1, random_state=seed).fit_predict(scaled) for seed in SEEDS]
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
