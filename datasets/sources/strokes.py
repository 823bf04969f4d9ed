"""How thick and how slanted the strokes of a handwritten digit are, from the moments of its ink."""

from __future__ import annotations

import numpy as np


def slant(images: np.ndarray) -> np.ndarray:
    """How far the ink leans to the right per unit of height: the tangent of the angle from upright.

    It is -mu11 / mu02, the shear that would make the mixed central moment zero; y runs downwards, hence the sign.

    Args:
        images: uint8 (n, height, width), ink bright; no image may be empty.

    Returns:
        float64 (n,); 0 is upright, 1 leans by 45 degrees.
    """
    moments = _central_moments(images)
    return np.asarray(-moments["xy"] / moments["yy"])


def thickness(images: np.ndarray) -> np.ndarray:
    """The amount of ink over the radius of gyration, in pixels.

    Ink grows with stroke length times thickness, and the radius of gyration with stroke length, so that among digits of
    one class the ratio is in proportion to the thickness of the stroke.

    Args:
        images: uint8 (n, height, width), ink bright; no image may be empty.

    Returns:
        float64 (n,), in pixels.
    """
    moments = _central_moments(images)
    return np.asarray(moments["ink"] / np.sqrt(moments["xx"] + moments["yy"]))


def _central_moments(images: np.ndarray) -> dict[str, np.ndarray]:
    """Ink in units of white pixels, and second central moments per unit of ink, in pixels squared."""
    ink = images / 255.0
    total = ink.sum(axis=(1, 2))
    y, x = np.indices(images.shape[1:])
    mean_y, mean_x = ((ink * axis).sum(axis=(1, 2)) / total for axis in (y, x))
    dy, dx = y - mean_y[:, None, None], x - mean_x[:, None, None]
    return {
        "ink": total,
        "xx": (ink * dx * dx).sum(axis=(1, 2)) / total,
        "yy": (ink * dy * dy).sum(axis=(1, 2)) / total,
        "xy": (ink * dx * dy).sum(axis=(1, 2)) / total,
    }
