"""Scaling images down by averaging, each new pixel over exactly the area that it covers (OpenCV's INTER_AREA)."""

from __future__ import annotations

from functools import cache

import numpy as np


def area_resized(image: np.ndarray, size: int) -> np.ndarray:
    """Scale a grey image, both sides on their own, to a square.

    Args:
        image: uint8 (height, width), not empty.
        size: height and width wanted.

    Returns:
        uint8 (size, size), means rounded to the nearest. Sums are exact in float64, so that the pixels are the same on
        every machine.
    """
    height, width = image.shape
    sums = _overlaps(height, size) @ image.astype(np.float64) @ _overlaps(width, size).T
    return np.asarray(np.rint(sums / (height * width)), dtype=np.uint8)


@cache
def _overlaps(given: int, wanted: int) -> np.ndarray:
    """float64 (wanted, given): how far new pixels and old ones overlap, in whole units of 1 / (given * wanted)."""
    new, old = np.arange(wanted)[:, None] * given, np.arange(given) * wanted
    overlaps = np.minimum(new + given, old + wanted) - np.maximum(new, old)
    return np.asarray(overlaps.clip(min=0), dtype=np.float64)
