"""Images brought to one size: by cutting off what is too much, by black bars, or by scaling both sides apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from cabench.data.decoding import in_threads
from cabench.errors import UserError

SMALLEST_SIZE, LARGEST_SIZE = 8, 1024
Fit = Literal["crop", "pad", "squash"]


class Size(NamedTuple):
    """Height and width, in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


def parse_size(text: str) -> Size:
    """The size that "64" or "48x64" (height x width) says.

    Raises:
        UserError: for anything else, and for sides that are not allowed.
    """
    found = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip(), re.ASCII)
    if not found:
        raise UserError(f"--size {text!r} is not understood; write a number, such as 64, or height x width: 48x64.")
    size = Size(int(found[1]), int(found[2] or found[1]))
    if not SMALLEST_SIZE <= min(size) <= max(size) <= LARGEST_SIZE:
        raise UserError(f"--size {text} is not allowed; a side has {SMALLEST_SIZE} to {LARGEST_SIZE} pixels.")
    return size


def fit_image(image: Image.Image, size: Size, fit: Fit) -> Image.Image:
    """An image of this size; one that has it already is unchanged. Scaling is bilinear, with averaging.

    Args:
        image: of a mode that Pillow can scale, such as L, RGB and F.
        size: of the result.
        fit: "crop" scales the largest part in the middle that has the shape of `size`, "pad" the whole image, with
            black bars around it, and "squash" both sides, each by its own factor.
    """
    if image.size == (size.width, size.height):
        return image
    return _FITS[fit](image, size)


def fit_arrays(images: np.ndarray, size: Size, fit: Fit) -> np.ndarray:
    """Many images of one size, each fitted as by `fit_image`. Beside the result, little memory is used.

    Args:
        images: uint8 (n, 1 or 3, height, width), or what gives such arrays when it is sliced, such as an HDF5 data set.
        size: of the results.
        fit: as for `fit_image`.

    Returns:
        uint8 (n, 1 or 3, size.height, size.width); `images` itself where it has that size.
    """
    count, channels = images.shape[:2]
    if tuple(images.shape[2:]) == size:
        return images
    fitted = np.empty((count, channels, *size), np.uint8)

    def put(row: int) -> None:
        fitted[row] = _fitted_planes(images[row], size, fit)

    for _ in in_threads(put, range(count)):
        pass
    return fitted


def share_cut_off(width: int, height: int, size: Size) -> float:
    """The share of an image's area that "crop" removes, in [0, 1)."""
    kept_width, kept_height = _largest_part(width, height, size)
    return 1 - kept_width * kept_height / (width * height)


def _fitted_planes(planes: np.ndarray, size: Size, fit: Fit) -> np.ndarray:
    image = Image.fromarray(planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))
    pixels = np.asarray(fit_image(image, size, fit))
    return pixels[None] if len(planes) == 1 else pixels.transpose(2, 0, 1)


def _largest_part(width: int, height: int, size: Size) -> tuple[int, int]:
    """Width and height of the largest part that has the shape of `size`."""
    if width * size.height > height * size.width:
        return max(1, round(height * size.width / size.height)), height
    return width, max(1, round(width * size.height / size.width))


def _crop(image: Image.Image, size: Size) -> Image.Image:
    width, height = _largest_part(*image.size, size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    # Cropped first: scaling a part of an image mixes in the pixels next to it.
    return _squash(image.crop((left, top, left + width, top + height)), size)


def _pad(image: Image.Image, size: Size) -> Image.Image:
    scale = min(size.width / image.width, size.height / image.height)
    width, height = (max(1, round(side * scale)) for side in image.size)
    whole = Image.new(image.mode, (size.width, size.height))
    whole.paste(_squash(image, Size(height, width)), ((size.width - width) // 2, (size.height - height) // 2))
    return whole


def _squash(image: Image.Image, size: Size) -> Image.Image:
    return image.resize((size.width, size.height), Image.Resampling.BILINEAR)


_FITS: Mapping[str, Callable[[Image.Image, Size], Image.Image]] = {"crop": _crop, "pad": _pad, "squash": _squash}
