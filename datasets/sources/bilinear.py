"""Scaling stacks of images to a square by bilinear interpolation, as torchvision scales images of Pillow."""

from __future__ import annotations

import numpy as np
from PIL import Image


def bilinear_resized(images: np.ndarray, size: int) -> np.ndarray:
    """Scale square images; those of the size that is wanted are given back as they are.

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
