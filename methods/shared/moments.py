"""Means, covariances and principal directions of images, for linear methods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cabench.data.dataset import DatasetInfo, as_float, float_batches
from cabench.errors import UserError

LARGEST = 16_384
"""The largest number of values of an image: beyond it a covariance takes over 2 GB, its eigenvectors hours."""


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
            rows = (batch.flatten(1) - origin).to(precision)  # (n, size)
            total += rows.sum(0, dtype=torch.float64)
            products += rows.T @ rows
    count = sum(len(images) for images in populations)
    mean = total / count
    return Moments(count, origin[0] + mean, products / count - torch.outer(mean, mean))


def leading_directions(symmetric: Tensor, count: int) -> Tensor:
    """The eigenvectors (size, count) of a symmetric float64 matrix with the largest eigenvalues, largest first.

    The sign of an eigenvector is arbitrary: here its entry of largest magnitude is positive.
    """
    from scipy.linalg import eigh  # Late: importing it takes a quarter of a second.

    size = len(symmetric)
    # Only these are computed: 32 of 1,000 take a third of the time of all.
    wanted = [max(0, size - count), size - 1]
    _, eigenvectors = eigh(symmetric.numpy(), subset_by_index=wanted)  # columns, smallest eigenvalue first
    leading = torch.from_numpy(eigenvectors).flip(1)
    signed: Tensor = leading * leading.gather(0, leading.abs().argmax(0, keepdim=True)).sign()
    return signed


def check_values(info: DatasetInfo, components: int, method: str) -> None:
    """Refuse more components than an image has values, and images too large for a covariance; likewise rows of a table.

    Raises:
        UserError: naming the setting or the size.
    """
    values = math.prod(info.image_shape)
    one = "a row" if info.is_table else "an image"
    if components > values:
        raise UserError(
            f"{method}.components = {components} is more than the {values} values of {one} of {info.name}; "
            "set it to that or less."
        )
    if values > LARGEST:
        smaller = "fewer features" if info.is_table else "a size"
        example = "" if info.is_table else ", such as 64 x 64 in colour"
        raise UserError(
            f"{method} needs a covariance of all pairs of values, but {one} of {info.name} has {values}; "
            f"use {smaller} with at most {LARGEST}{example}."
        )
