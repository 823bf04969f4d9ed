"""Scaling images to a square: up by bilinear interpolation, as Pillow does it, and down by averaging over areas."""

from __future__ import annotations

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
        uint8 (..., size, size), means rounded to the nearest. Sums are whole numbers: the pixels are the same on every
        machine.
    """
    height, width = image.shape[-2:]
    sums = _sums(_sums(image, size).swapaxes(-1, -2), size).swapaxes(-1, -2)
    return np.asarray(np.rint(sums / (height * width)), dtype=np.uint8)


def _sums(values: np.ndarray, wanted: int) -> np.ndarray:
    """Of whole numbers (..., given) the sums over new pixels, int64 (..., wanted), in units of 1 / wanted."""
    given = values.shape[-1]
    whole, part = np.divmod(np.arange(wanted + 1) * given, wanted)  # where new pixels end, in old ones
    ends = [(0, 0)] * (values.ndim - 1)
    up_to = np.pad(np.cumsum(values, axis=-1, dtype=np.int64), [*ends, (1, 0)])
    torn = np.pad(values, [*ends, (0, 1)])  # the old pixels in which new ones end
    return np.diff(up_to[..., whole] * wanted + torn[..., whole] * part)
