"""dSprites drawn from their factors, with no download.

dSprites (Matthey et al. 2017) holds 737,280 binary images of one sprite each, one for every point of a grid of five
factors. The same images follow from the factors alone: a pixel is white when its index point, shifted to the sprite's
centre, turned back by its orientation and divided by its scale, lies inside one of three fixed outlines. The
geometry was measured on published frames: drawn over 320 of them, the outlines below differ in 8 pixels altogether.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SHAPES = ("square", "ellipse", "heart")
SCALES: NDArray[np.float64] = np.linspace(0.5, 1.0, 6)
ORIENTATIONS: NDArray[np.float64] = np.linspace(0.0, 2.0 * np.pi, 40)
POSITIONS: NDArray[np.float64] = np.linspace(0.0, 1.0, 32)

SIDE = 64  # pixels along each edge of the canvas
_ORIGIN, _TRAVEL = 15.5, 32.0  # pixels: the centre at position 0, and how far it moves to position 1
_REACH = 14  # pixels: no outline leaves this distance from its centre (the square's corners stand at 13.57)
_CHUNK = 256  # images drawn at a time: their coordinates, 28 x 28 float64, then stay within a few megabytes

Points = NDArray[np.float64]
Inside = NDArray[np.bool_]


def _in_square(u: Points, v: Points) -> Inside:
    # Every half side from 9.5966 to 9.5998 pixels draws the published frames exactly.
    return np.maximum(np.abs(u), np.abs(v)) <= 9.598


def _in_ellipse(u: Points, v: Points) -> Inside:
    # The published frames allow semi-axes from 12.765 to 12.766 and from 7.212 to 7.214 pixels.
    return (u / 12.7658) ** 2 + (v / 7.2132) ** 2 <= 1.0


def _in_heart(u: Points, v: Points) -> Inside:
    # x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t. An x fixes c = |cos t|, and as a polynomial in
    # cos t, y is an even part plus or minus an odd one: the column at x is inside between those two heights.
    x, y = u / 0.59961, (v + 1.43632) / -0.66222
    sine = np.cbrt(np.abs(x) / 16.0)
    square = np.maximum(1.0 - sine * sine, 0.0)  # c^2; 0 beside the heart, where `sine` exceeds 1
    middle = 4.0 - square * (2.0 + 8.0 * square)
    half_height = np.sqrt(square) * (19.0 - 8.0 * square)
    return (sine <= 1.0) & (np.abs(y - middle) <= half_height)


_OUTLINES: tuple[Callable[[Points, Points], Inside], ...] = (_in_square, _in_ellipse, _in_heart)


def render(
    shape: NDArray[np.int64], scale: Points, orientation: Points, position_x: Points, position_y: Points
) -> NDArray[np.uint8]:
    """Draw one dSprites image for each row of factors.

    The factors are free: the published grid is `SHAPES` x `SCALES` x `ORIENTATIONS` x `POSITIONS` x `POSITIONS`, and
    values between its points are drawn just the same.

    Source: dSprites, Matthey et al. 2017; geometry measured on published frames.

    Args:
        shape: Index into `SHAPES`, int64 of shape (n,): 0 square, 1 ellipse, 2 heart.
        scale: Size as a share of the largest, float of shape (n,), in [0.5, 1].
        orientation: Turn in radians, anticlockwise as seen on screen (the direction of the published frames in their
            order), finite float of shape (n,).
        position_x: Horizontal position, float of shape (n,), in [0, 1]: the centre moves from pixel index 15.5 to 47.5.
        position_y: Vertical position, likewise, downwards.

    Returns:
        Images as uint8 of shape (n, 64, 64), rows downwards, each pixel 0 or 255.

    Raises:
        ValueError: If the factors are not 1-D and equally long, or one holds a value outside its range.
    """
    shapes = np.asarray(shape)
    poses: dict[str, Points] = {
        "scale": np.asarray(scale, dtype=np.float64),
        "orientation": np.asarray(orientation, dtype=np.float64),
        "position_x": np.asarray(position_x, dtype=np.float64),
        "position_y": np.asarray(position_y, dtype=np.float64),
    }
    _check(shapes, poses)
    images = np.zeros((len(shapes), SIDE, SIDE), dtype=np.uint8)
    for index, inside in enumerate(_OUTLINES):
        rows = np.flatnonzero(shapes == index)
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            _draw(images, chunk, inside, *(pose[chunk, None, None] for pose in poses.values()))
    return images


def _draw(
    images: NDArray[np.uint8],
    rows: NDArray[np.intp],
    inside: Callable[[Points, Points], Inside],
    scale: Points,
    orientation: Points,
    position_x: Points,
    position_y: Points,
) -> None:
    """Draw sprites of one outline into `images[rows]`, in the window that the outline cannot leave."""
    columns, dx = _window(position_x)
    lines, dy = (axis.transpose(0, 2, 1) for axis in _window(position_y))
    cosine, sine = np.cos(orientation) / scale, np.sin(orientation) / scale
    drawn = inside(cosine * dx - sine * dy, sine * dx + cosine * dy)
    images[rows[:, None, None], lines, columns] = np.where(drawn, np.uint8(255), np.uint8(0))


def _window(position: Points) -> tuple[NDArray[np.int64], Points]:
    """Pixel indices near the centre along one axis, and their offsets from it: each (n, 1, 28)."""
    centre = _ORIGIN + _TRAVEL * position
    pixels = np.floor(centre).astype(np.int64) + np.arange(1 - _REACH, 1 + _REACH)
    return pixels, pixels - centre


def _check(shapes: NDArray[np.int64], poses: dict[str, Points]) -> None:
    lengths = [values.shape for values in (shapes, *poses.values())]
    if shapes.ndim != 1 or len(set(lengths)) != 1:
        raise ValueError(f"The factors must be 1-D arrays of one length, but their shapes are {lengths}.")
    _require("shape", shapes, np.isin(shapes, range(len(SHAPES))), "one of 0, 1, 2")
    _require("orientation", poses["orientation"], np.isfinite(poses["orientation"]), "finite")
    for name, low, high in (("scale", 0.5, 1.0), ("position_x", 0.0, 1.0), ("position_y", 0.0, 1.0)):
        within = (poses[name] >= low) & (poses[name] <= high)
        _require(name, poses[name], within, f"in [{low:g}, {high:g}]")


def _require(name: str, values: NDArray[np.int64] | Points, within: Inside, allowed: str) -> None:
    if not within.all():
        row = np.argmin(within)
        raise ValueError(f"{name} must be {allowed}, but row {row} holds {values[row]}.")
