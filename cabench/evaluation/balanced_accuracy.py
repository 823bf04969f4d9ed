"""Balanced accuracy: the mean, over the classes among the test labels, of the fraction of each that is predicted.

Range [0, 1]; chance is 1 / number of classes, which any prediction that ignores the image reaches exactly.
"""

import numpy as np

from cabench.evaluation.measurement import Measurement, NotMeasurableError


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> Measurement:
    """Balanced accuracy of `predicted` for `labels`, both int64 (n,). Each class's recall is a binomial fraction.

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
