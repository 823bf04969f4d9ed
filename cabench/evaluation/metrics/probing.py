"""What a probe's predictions are worth on test images, and what each image adds to that.

The standard error of each follows from the images' influence, summed by group; see `cabench.evaluation.grouped`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from cabench.evaluation.score import Measurement, NotMeasurableError

_NO_SPREAD = 1e-6  # of the others, relative to all: where one image alone differs from them


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> Measurement:
    """The fraction of test images whose class is predicted, in [0, 1]; chance is the majority class's rate.

    Args:
        labels: int64 (n,).
        predicted: int64 (n,).

    Raises:
        NotMeasurableError: where there are no labels.
    """
    if not len(labels):
        raise NotMeasurableError("there are no test images")
    hits = (labels == predicted).astype(np.float64)
    majority = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    return Measurement(float(hits.mean()), majority, influence=(hits - hits.mean()) / len(hits))


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> Measurement:
    """The mean, over the classes among the labels, of the fraction of each that is predicted, in [0, 1].

    Chance is 1 / number of classes, which any prediction that ignores the image reaches exactly.

    Args:
        labels: int64 (n,).
        predicted: int64 (n,).

    Raises:
        NotMeasurableError: where the labels hold fewer than two classes.
    """
    classes, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise NotMeasurableError("there are fewer than two classes among the test images")
    hits = (labels == predicted).astype(np.float64)
    recalls = np.bincount(codes, hits) / sizes
    influence = (hits - recalls[codes]) / (len(classes) * sizes[codes])
    return Measurement(float(recalls.mean()), 1 / len(classes), influence=influence)


def r2(values: np.ndarray, predicted: np.ndarray) -> Measurement:
    """The coefficient of determination, 1 - squared error / variance of the test values. At most 1; chance is 0.

    It is negative where predictions are worse than the test mean, without bound where test values hardly vary; that is
    why `correlation` stands in tables.

    Args:
        values: float64 (n,).
        predicted: float64 (n,).

    Raises:
        NotMeasurableError: where there are no values, or all are equal.
    """
    if not len(values):
        raise NotMeasurableError("there are no test images")
    if np.ptp(values) == 0 or values.var() == 0:
        raise NotMeasurableError("all test values are equal")
    errors = (values - predicted) ** 2
    deviations = (values - values.mean()) ** 2
    ratio = errors.mean() / deviations.mean()
    influence = -(errors - ratio * deviations) / deviations.mean() / len(values)
    return Measurement(float(1 - ratio), 0.0, influence=influence)


def correlation(values: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None = None) -> Measurement:
    """Pearson's correlation of predictions with values, 0 where it is negative: in [0, 1]; chance is 0.

    It does not ask for the right offset and scale, which new subjects may shift, and so tells what can be read
    (statistics card 3.1). Constant predictions have 0. With few images chance reaches more than 0, as the clip keeps
    what is positive alone.

    Args:
        values: float64 (n,).
        predicted: float64 (n,).
        groups: int64 (n,), the group of each image; None where each is one of its own.

    Raises:
        NotMeasurableError: where there are no values, or all are equal.
    """
    measured = signed_correlation(values, predicted, groups)
    # What images add stays that of the value itself, so that the error of a value that is cut is not 0.
    return measured._replace(value=max(0.0, measured.value))


def signed_correlation(values: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None = None) -> Measurement:
    """Pearson's correlation in [-1, 1], as `correlation` takes it before it cuts what is negative.

    The influence of a group, which its images share equally, is not its first order: on a dozen groups that is too
    small where the correlation is strong by chance, and of two predictions without information one was called better in
    8 to 17 of 100 tables (simulated, 3 to 10 groups). It is the very change when the group is left out, less its share
    of the mean change: 1 to 7 of 100.
    """
    if not len(values):
        raise NotMeasurableError("there are no test images")
    truth, read = _standardised(values), _standardised(predicted)
    if not truth.any():
        raise NotMeasurableError("all test values are equal")
    found = float(np.clip(np.mean(truth * read), -1, 1))
    _, codes = np.unique(np.arange(len(values)) if groups is None else groups, return_inverse=True)
    sizes = np.bincount(codes)
    lost = (found - _without_each_group(truth, read, codes)) / sizes
    return Measurement(found, 0.0, influence=lost[codes] - np.sum(lost * sizes) / len(values))


def _without_each_group(truth: np.ndarray, read: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Float64 (groups,): the correlation of standardised columns (n,) without the rows of one group; 0 where it has
    none.
    """
    left = len(codes) - np.bincount(codes)
    sums = [-np.bincount(codes, column) for column in (truth, read)]
    products = [len(codes) * np.mean(a * b) - np.bincount(codes, a * b) for a, b in _pairs(truth, read)]
    spreads = [product - a * b / np.maximum(left, 1) for product, (a, b) in zip(products, _pairs(*sums), strict=True)]
    scale = np.sqrt(np.clip(spreads[1], 0, None) * np.clip(spreads[2], 0, None))
    found: np.ndarray = np.zeros(len(left))
    np.divide(spreads[0], scale, out=found, where=scale > _NO_SPREAD * len(codes))
    return found.clip(-1, 1)


def _pairs(a: np.ndarray, b: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(a, b), (a, a), (b, b)]


def auc(is_positive: np.ndarray, evidence: np.ndarray) -> Measurement:
    """The probability that a positive image has more evidence than a negative one, ties counted half.

    Range [0, 1]; chance is 0.5. The influence is made of DeLong's placements: the part of the other side that an image
    is ranked rightly against (DeLong, DeLong and Clarke-Pearson, Biometrics 1988).

    Args:
        is_positive: bool (n,).
        evidence: float64 (n,).

    Raises:
        NotMeasurableError: where a side has no images.
    """
    positive, negative = evidence[is_positive], evidence[~is_positive]
    if not min(len(positive), len(negative)):
        raise NotMeasurableError(f"there are {len(positive)} and {len(negative)} test images of the two sides")
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[: len(positive)] - rankdata(positive)) / len(negative)
    below = 1 - (ranks[len(positive) :] - rankdata(negative)) / len(positive)
    value = float(above.mean())
    influence = np.empty(len(evidence))
    influence[is_positive] = (above - value) / len(positive)
    influence[~is_positive] = (below - value) / len(negative)
    return Measurement(value, 0.5, influence=influence)


def hand_till(codes: np.ndarray, evidence: np.ndarray) -> Measurement:
    """The mean over pairs of classes of the AUC of their difference in evidence; range [0, 1], chance 0.5.

    As Hand and Till (Machine Learning 2001), but that a pair's images are ranked by the log-odds of its two classes,
    which do not depend on the other classes; for two classes it is the AUC. (scikit-learn's
    `roc_auc_score(multi_class="ovo")` ranks by the two probabilities; for two classes it gives the same.)

    Args:
        codes: int64 (n,), columns of `evidence`.
        evidence: float64 (n, classes), such as log-probabilities.

    Raises:
        NotMeasurableError: where there are fewer than two classes among the codes.
    """
    classes = np.unique(codes)
    if len(classes) < 2:
        raise NotMeasurableError("there are fewer than two classes among the test images")
    pairs = list(combinations(classes.tolist(), 2))
    total, influence = 0.0, np.zeros(len(codes))
    for one, other in pairs:
        there = (codes == one) | (codes == other)
        measured = auc(codes[there] == other, evidence[there, other] - evidence[there, one])
        total += measured.value
        influence[there] += measured.influence
    return Measurement(total / len(pairs), 0.5, influence=influence / len(pairs))


def _standardised(values: np.ndarray) -> np.ndarray:
    """With mean 0 and variance 1; all 0 where the values do not vary beyond rounding."""
    largest = np.abs(values).max(initial=0.0)
    scaled = values / largest if largest else values  # squares of the largest and smallest numbers are no numbers
    deviations = scaled - scaled.mean() if len(scaled) else scaled
    spread = np.sqrt(np.mean(deviations**2)) if len(scaled) else 0.0
    if spread <= 10 * np.finfo(np.float64).eps:
        return np.zeros(len(values))
    standardised: np.ndarray = deviations / spread
    return standardised
