"""What a probe's predictions are worth on test images: accuracy, balanced accuracy, R² and AUC."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from cabench.evaluation.score import Measurement, NotMeasurableError


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> Measurement:
    """The fraction of test images whose class is predicted, in [0, 1]; chance is the majority class's rate.

    The standard error is that of a binomial fraction.

    Args:
        labels: int64 (n,).
        predicted: int64 (n,).

    Raises:
        NotMeasurableError: where there are no labels.
    """
    if not len(labels):
        raise NotMeasurableError("there are no test images")
    value = float(np.mean(labels == predicted))
    majority = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    return Measurement(value, majority, float(np.sqrt(value * (1 - value) / len(labels))))


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> Measurement:
    """The mean, over the classes among the labels, of the fraction of each that is predicted, in [0, 1].

    Chance is 1 / number of classes, which any prediction that ignores the image reaches exactly. Each class's recall is
    a binomial fraction.

    Args:
        labels: int64 (n,).
        predicted: int64 (n,).

    Raises:
        NotMeasurableError: where the labels hold fewer than two classes.
    """
    classes = np.unique(labels)
    if len(classes) < 2:
        raise NotMeasurableError("there are fewer than two classes among the test images")
    recalls = np.array([np.mean(predicted[labels == label] == label) for label in classes])
    sizes = np.array([np.sum(labels == label) for label in classes])
    variance = np.sum(recalls * (1 - recalls) / sizes) / len(classes) ** 2
    return Measurement(float(recalls.mean()), 1 / len(classes), float(np.sqrt(variance)))


def r2(values: np.ndarray, predicted: np.ndarray) -> Measurement:
    """The coefficient of determination, 1 - squared error / variance of the test values. At most 1; chance is 0.

    It is negative where predictions are worse than the test mean; records keep it so, tables show 0. The standard error
    is the delta method's, of a ratio of means.

    Args:
        values: float64 (n,).
        predicted: float64 (n,).

    Raises:
        NotMeasurableError: where there are no values, or all are equal.
    """
    if not len(values):
        raise NotMeasurableError("there are no test images")
    errors = (values - predicted) ** 2
    deviations = (values - values.mean()) ** 2
    spread = deviations.mean()
    if np.ptp(values) == 0 or spread == 0:
        raise NotMeasurableError("all test values are equal")
    ratio = errors.mean() / spread
    influence = (errors - ratio * deviations) / spread
    return Measurement(float(1 - ratio), 0.0, float(influence.std() / np.sqrt(len(values))))


def auc(is_target: np.ndarray, scores: np.ndarray) -> Measurement:
    """The probability that a target image gets a higher score than a background image, ties counted half.

    Range [0, 1]; chance is 0.5. The standard error is DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 1988).

    Args:
        is_target: bool (n,).
        scores: float64 (n,).

    Raises:
        NotMeasurableError: where a population has fewer than two images, too few for a standard error.
    """
    positive, negative = scores[is_target], scores[~is_target]
    if min(len(positive), len(negative)) < 2:
        raise NotMeasurableError(
            f"there are {len(positive)} target and {len(negative)} background images; two are needed"
        )
    ranks = rankdata(np.concatenate([positive, negative]))
    # For each image, the part of the other population that it is ranked rightly against (DeLong's placements).
    above = (ranks[: len(positive)] - rankdata(positive)) / len(negative)
    below = 1 - (ranks[len(positive) :] - rankdata(negative)) / len(positive)
    variance = above.var(ddof=1) / len(positive) + below.var(ddof=1) / len(negative)
    return Measurement(float(above.mean()), 0.5, float(np.sqrt(variance)))
