"""What methods for non-negative rows share: rows in float64 batch by batch, and refusals of what they cannot take."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from cabench.data.dataset import ContrastiveDataset, float_batches
from cabench.errors import UserError

CPU = torch.device("cpu")


def row_batches(images: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Batches of flattened images with their place, so that no copy of all of them in float64 is made.

    Args:
        images: uint8 (n, channels, height, width), which become floats in [0, 1], or float32 (n, features).

    Yields:
        The rows' place among all, and the rows, float64 (at most 500, values).
    """
    start = 0
    for batch in float_batches(images, CPU):
        yield slice(start, start + len(batch)), batch.flatten(1).double()
        start += len(batch)


def check_non_negative(method: str, data: ContrastiveDataset) -> None:
    """Refuse rows that hold negative values, and a population that holds nothing but zeros.

    Args:
        method: its name, for the message.
        data: the training split.

    Raises:
        UserError: saying what was found, and what to do.
    """
    for name, images in (("background", data.background.images), ("target", data.target.images)):
        smallest = float(images.min())
        if smallest < 0:
            raise UserError(
                f"{method} takes values from 0 up, but a {name} row of {data.info.called} holds {smallest:.4g}; give "
                "it images, counts or features that are never negative, neither standardised nor centred."
            )
        if images.max() == 0:
            raise UserError(
                f"{method} learns from values above 0, but all {name} rows of {data.info.called} are 0; give it others."
            )
