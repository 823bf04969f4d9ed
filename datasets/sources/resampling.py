"""Scaling images to a square: up by bilinear interpolation, as Pillow does it, and down by averaging over areas."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image


def bilinear_resized(images: np.ndarray, size: int) -> np.ndarray:
    """Scale square images; those that have the size already are returned unchanged.

    Args:
        images: uint8 (..., side, side).
        size: the side wanted.

    Returns:
        uint8 (..., size, size), computed by Pillow in whole numbers, the same on every machine.
    """
    if images.shape[-2:] == (size, size):
        return images
    planes = images.reshape(-1, *images.shape[-2:])
    scaled = [np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)) for plane in planes]
    return np.array(scaled, dtype=np.uint8).reshape(*images.shape[:-2], size, size)


def area_resized(image: np.ndarray, size: int) -> np.ndarray:
    """Scale an image, each side on its own; each new pixel is the mean over the area that it covers.

    That is OpenCV's INTER_AREA, as it scales down.

    Args:
        image: uint8 (..., height, width), not empty, such as a grey image or one with its channels first.
        size: height and width wanted.

    Returns:
        uint8 (..., size, size), means rounded to the nearest. Sums are exact in float64, so that the pixels are the
        same on every machine.
    """
    height, width = image.shape[-2:]
    sums = _overlaps(height, size) @ image.astype(np.float64) @ _overlaps(width, size).T
    return np.asarray(np.rint(sums / (height * width)), dtype=np.uint8)


@cache
def _overlaps(given: int, wanted: int) -> np.ndarray:
    """float64 (wanted, given): how far new pixels and old ones overlap, in whole units of 1 / (given * wanted)."""
    new, old = np.arange(wanted)[:, None] * given, np.arange(given) * wanted
    overlaps = np.minimum(new + given, old + wanted) - np.maximum(new, old)
    return np.asarray(overlaps.clip(min=0), dtype=np.float64)
