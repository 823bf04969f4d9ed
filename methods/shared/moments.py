"""Means, covariances and principal directions of images, for linear methods.

Where each population has fewer images than an image has values, the covariance is not formed: its eigenvectors follow
from those of the products of all pairs of images, the Gram matrix, which is as exact and takes seconds where the
covariance took minutes (96 images of 64 x 64 in colour: 108 s before).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cabench.data.dataset import DatasetInfo, as_float, float_batches
from cabench.errors import UserError

LARGEST = 16_384
"""The largest number of values of an image, or of images of which all pairs are multiplied: the matrix takes 2 GB."""
NO_VARIANCE = 1e-10
"""Of a direction's variance relative to the largest; what is below is rounding."""


class Moments(NamedTuple):
    """First and second moments of flattened images.

    Attributes:
        rows: how many images.
        mean: float64 (values,).
        covariance: float64 (values, values), with divisor `rows`.
    """

    rows: int
    mean: Tensor
    covariance: Tensor


class Deviations(NamedTuple):
    """Flattened images minus their mean: all that a covariance of few images holds.

    Attributes:
        mean: float64 (values,).
        rows: float64 (images, values).
    """

    mean: Tensor
    rows: Tensor


def moments(populations: Sequence[Tensor]) -> Moments:
    """Moments of all images of some uint8 (n, channels, height, width) tensors, as floats in [0, 1], batch by batch.

    The float32 (n, features) rows of a table are taken as they are. The first image is subtracted from all, so that a
    value which is the same in all images has a variance of exactly 0.
    """
    origin = as_float(populations[0][:1]).flatten(1)  # (1, size)
    size = origin.shape[1]
    total = torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64)
    # A batch's products of values in [0, 1] are exact enough in float32; their sum over the data set is not. The
    # features of a table have no bounds: one outlier as the first row would cost all others their digits.
    precision = torch.float64 if populations[0].ndim == 2 else torch.float32
    for images in populations:
        for batch in float_batches(images, torch.device("cpu")):
            rows = batch.flatten(1).to(precision) - origin  # (n, size)
            total += rows.sum(0, dtype=torch.float64)
            products += rows.T @ rows
    count = sum(len(images) for images in populations)
    mean = total / count
    return Moments(count, origin[0] + mean, products / count - torch.outer(mean, mean))


def deviations(populations: Sequence[Tensor]) -> Deviations:
    """Deviations of the images of some populations. A value that is the same in all has exactly 0, as in `moments`."""
    rows = torch.cat([as_float(images).flatten(1).double() for images in populations])
    origin = rows[0].clone()
    rows -= origin
    mean = rows.mean(0)
    rows -= mean
    return Deviations(origin + mean, rows)


def few_rows(populations: Sequence[Tensor]) -> bool:
    """Whether each population has fewer images than an image has values, so that no covariance need be formed.

    More than `LARGEST` images that are also more than the values count as many: their products would take more memory
    than a covariance.
    """
    counts, values = [len(images) for images in populations], math.prod(populations[0].shape[1:])
    return max(counts) < values and sum(counts) <= max(values, LARGEST)


def resolved(variance: Tensor, mean: Tensor) -> Tensor:
    """Variances of values, (values,), with 0 for a value that is constant but for the rounding of float32 numbers.

    Neighbouring float32 numbers differ by at most eps times their size: a standard deviation no larger is none.

    Args:
        variance: float64 (values,).
        mean: likewise.
    """
    return torch.where(variance > (torch.finfo(torch.float32).eps * mean).square(), variance, 0)


def inverse_deviations(variance: Tensor) -> Tensor:
    """One over the standard deviation of each value, (values,); 0 where the variance is 0."""
    return torch.where(variance > 0, variance.rsqrt(), 0)


def principal_components(populations: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """The mean image (values,) and the directions (values, at most `count`) in which images vary most, in float64."""
    if few_rows(populations):
        mean, rows = deviations(populations)
        return mean, principal_directions_of_rows(rows, count)
    _, mean, covariance = moments(populations)
    return mean, principal_directions(covariance, count)


def principal_directions(covariance: Tensor, count: int) -> Tensor:
    """The `leading_directions` (size, at most `count`) of a covariance in which there is any variance; at least one."""
    variances, directions = _leading(covariance, count)
    return directions[:, _vary(variances)]


def principal_directions_of_rows(rows: Tensor, count: int) -> Tensor:
    """The `principal_directions` (size, at most `count`) of the covariance `rows.T @ rows` of float64 (n, size) rows.

    An eigenvector u of `rows @ rows.T` gives the eigenvector `rows.T @ u` of the covariance, of the same eigenvalue:
    Murakami and Kumar. "Efficient calculation of primary images from a set of images", IEEE PAMI 4(5), 1982.
    """
    variances, combinations = _leading(rows @ rows.T, count)
    kept = _vary(variances)
    directions = rows.T @ combinations[:, kept]
    return signed(directions / directions.norm(dim=0).clamp_min(torch.finfo(directions.dtype).tiny))


def leading_directions(symmetric: Tensor, count: int) -> Tensor:
    """The eigenvectors (size, count) of a symmetric float64 matrix with the largest eigenvalues, largest first.

    The sign of an eigenvector is arbitrary: here its entry of largest magnitude is positive. There are no more than
    the matrix has rows.
    """
    return _leading(symmetric, count)[1]


def signed(directions: Tensor) -> Tensor:
    """Columns (size, k) whose entry of largest magnitude is positive."""
    positive: Tensor = directions * directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
    return positive


def check_values(info: DatasetInfo, method: str) -> None:
    """Refuse images, or rows of a table, that are both many and large.

    Raises:
        UserError: naming the size.
    """
    values, rows = math.prod(info.image_shape), sum(info.counts["train"].values())
    if min(values, rows) * values <= LARGEST**2:
        return
    what, smaller, example = (
        ("a row", "fewer features", "") if info.is_table else ("an image", "a size", ", such as 64 x 64 in colour")
    )
    raise UserError(
        f"{method} needs a covariance of all pairs of values, but {what} of {info.called} has {values}, and there are "
        f"{rows} to learn from; use {smaller} with at most {LARGEST}{example}, or at most {LARGEST**2 // values} "
        "training examples."
    )


def _leading(symmetric: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues (k,) of a symmetric float64 (size, size) matrix, and `leading_directions` (size, k)."""
    from scipy.linalg import eigh  # Late: importing it takes a quarter of a second.

    size = len(symmetric)
    # Only these are computed: 32 of 1,000 take a third of the time of all.
    wanted = [max(0, size - count), size - 1]
    eigenvalues, eigenvectors = eigh(symmetric.numpy(), subset_by_index=wanted)  # columns, smallest eigenvalue first
    return torch.from_numpy(eigenvalues).flip(0), signed(torch.from_numpy(eigenvectors).flip(1))


def _vary(variances: Tensor) -> Tensor:
    """Bool (k,): which variances, the largest first, are more than rounding; the first counts as such."""
    varies = variances > NO_VARIANCE * variances[0]
    varies[0] = True
    return varies
