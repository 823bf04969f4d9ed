"""Losses for predicted labels, some of which may be undefined."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cabench.methods.losses.precision import exact

UNDEFINED = -1


def class_error(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy, a mean over the rows whose class is defined.

    Args:
        logits: (n, k) floats.
        classes: (n,) int64 class indices, -1 where undefined.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; 0 with a gradient of zero where no row is
        defined.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if logits.ndim != 2 or classes.shape != logits.shape[:1]:
        raise ValueError(
            f"class_error needs shapes (n, k) and (n,), but got {tuple(logits.shape)} and {tuple(classes.shape)}."
        )
    logits = exact(logits)
    defined = (classes != UNDEFINED).sum()
    return cross_entropy(logits, classes, ignore_index=UNDEFINED, reduction="sum") / defined.clamp(min=1)


def real_error(predictions: Tensor, values: Tensor) -> Tensor:
    """Squared error relative to the variance of the values, a mean over the rows whose value is defined.

    real_error(p, y) = sum_i (p_i - y_i)^2 / sum_i (y_i - mean y)^2

    Predicting the batch's mean gives 1, whatever the unit of the values.

    Args:
        predictions: (n,) floats.
        values: (n,) floats, NaN where undefined.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; 0 with a gradient of zero where fewer than
        two rows are defined or all defined values are equal.

    Raises:
        ValueError: if the shapes differ or are not (n,).
    """
    if predictions.ndim != 1 or values.shape != predictions.shape:
        raise ValueError(
            f"real_error needs two equal shapes (n,), but got {tuple(predictions.shape)} and {tuple(values.shape)}."
        )
    defined = ~values.isnan()
    y = torch.where(defined, values, 0)
    p = exact(predictions)
    mean = y.sum() / defined.sum().clamp(min=1)
    variation = torch.where(defined, y - mean, 0).square().sum()
    error = torch.where(defined, p - y, 0).square().sum()
    return torch.where(variation > 0, error / torch.where(variation > 0, variation, 1), 0 * error)
