"""What methods for non-negative rows share: rows in float64 batch by batch, and the refusal of negative ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cabench.data.dataset import float_batches
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


def check_non_negative(method: str, populations: Sequence[Tensor]) -> None:
    """Refuse rows that hold negative or missing values.

    Args:
        method: its name, for the message.
        populations: images or rows of a table, as of `row_batches`.

    Raises:
        UserError: saying what was found, and what to do.
    """
    smallest = min(float(images.min()) for images in populations)  # NaN where a value is
    if not smallest >= 0:
        found = "a missing one" if smallest != smallest else f"{smallest:.4g}"
        raise UserError(
            f"{method} takes values from 0 up, but there is {found}; give it images, counts or features that are never "
            "negative, neither standardised nor centred, and fill what is missing."
        )
