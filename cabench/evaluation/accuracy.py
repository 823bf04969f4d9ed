"""Accuracy: the fraction of test images whose class is predicted. Range [0, 1]; chance is the majority class's rate."""

import numpy as np

from cabench.evaluation.measurement import Measurement, NotMeasurableError


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> Measurement:
    """Accuracy of `predicted` for `labels`, both int64 (n,). The standard error is that of a binomial fraction.

    Raises:
        NotMeasurableError: where there are no labels.
    """
    if not len(labels):
        raise NotMeasurableError("there are no test images")
    value = float(np.mean(labels == predicted))
    majority = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    return Measurement(value, majority, float(np.sqrt(value * (1 - value) / len(labels))))
