"""Where in an image each pixel of a random view lies: crop, rotation and flips as one map and one interpolation.

Views are cropped, then rotated with black corners, then flipped. Crops are drawn as by torchvision's
`RandomResizedCrop`, rotations and flips as by kornia 0.9, against which the tests hold all of it. One interpolation
takes the place of kornia's two, so rotated views are slightly sharper than kornia's.

Coordinates run from -1 at the centre of the first pixel of an axis to 1 at that of its last, as with `align_corners`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

ATTEMPTS = 10
"""Sizes that are drawn for a crop. If none of them fits into the image, the crop is as large as its shape allows."""

RATIOS = (3 / 4, 4 / 3)
"""Range of a crop's width through its height."""


class Boxes(NamedTuple):
    """The parts of n images that are cropped, in whole pixels: float32 (n,) each."""

    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor


class Geometry(NamedTuple):
    """The map from a point (x, y) of a view to a point of the image, for n images: float32 tensors of one shape each.

    The point of the crop is u = x_to_u x + y_to_u y, v = x_to_v x + y_to_v y; that of the image is
    (centre_x + width u, centre_y + height v).
    """

    x_to_u: Tensor
    y_to_u: Tensor
    x_to_v: Tensor
    y_to_v: Tensor
    width: Tensor
    height: Tensor
    centre_x: Tensor
    centre_y: Tensor


def draw_boxes(n: int, size: tuple[int, int], scale: tuple[float, float], generator: torch.Generator) -> Boxes:
    """Random boxes in n images.

    Areas are uniform in `scale`, logarithms of the ratio of width to height in that of `RATIOS`, and the sides are
    rounded. The first of `ATTEMPTS` that fits into the image is taken, at a place that is uniform among all there are.

    Args:
        n: number of images.
        size: height and width of the images, in pixels.
        scale: range of a box's area, as parts of the image's.
        generator: a CPU generator.
    """
    height, width = size
    areas = torch.empty(n, ATTEMPTS).uniform_(*scale, generator=generator) * (height * width)
    low, high = RATIOS
    ratios = torch.empty(n, ATTEMPTS).uniform_(math.log(low), math.log(high), generator=generator).exp_()
    widths = _with_largest((areas * ratios).sqrt_().round_(), min(width, round(height * high)))
    heights = _with_largest((areas / ratios).sqrt_().round_(), min(height, round(width / low)))
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.int().argmax(1, keepdim=True)
    chosen_width, chosen_height = widths.gather(1, first)[:, 0], heights.gather(1, first)[:, 0]
    left = (torch.rand(n, generator=generator) * (width + 1 - chosen_width)).floor_()
    top = (torch.rand(n, generator=generator) * (height + 1 - chosen_height)).floor_()
    return Boxes(left, top, chosen_width, chosen_height)


def draw_signs(n: int, probability: float, generator: torch.Generator) -> Tensor:
    """Float32 (n,): -1, which mirrors, with a probability, else 1. `generator` is a CPU generator."""
    return 1 - 2 * (torch.rand(n, generator=generator) < probability).float()


def draw_angles(n: int, largest: float, generator: torch.Generator) -> Tensor:
    """Float32 (n,) angles in radians: 0 on half of the images, else uniform.

    Args:
        n: number of images.
        largest: largest angle to both sides, in degrees.
        generator: a CPU generator.
    """
    turned = torch.rand(n, generator=generator) < 0.5
    return torch.empty(n).uniform_(-largest, largest, generator=generator).deg2rad_() * turned


def compose(
    boxes: Boxes,
    angles: Tensor,
    across: Tensor,
    upside_down: Tensor,
    image_size: tuple[int, int],
    view_size: tuple[int, int],
) -> Geometry:
    """The map of views that are cropped to boxes, rotated, and mirrored, in this order; tensors (n,) on the CPU.

    Args:
        boxes: what is cropped.
        angles: (n,) radians; positive ones turn the picture counter-clockwise about the view's centre.
        across: (n,) -1 for views mirrored from left to right, else 1.
        upside_down: (n,) -1 for views mirrored from top to bottom, else 1.
        image_size: height and width of the images, in pixels.
        view_size: height and width of the views, in pixels.
    """
    (height, width), (view_height, view_width) = (_gaps(size) for size in (image_size, view_size))
    cos, sin = angles.cos(), angles.sin()
    return Geometry(
        x_to_u=cos * across,
        y_to_u=-sin * upside_down * (view_height / view_width),
        x_to_v=sin * across * (view_width / view_height),
        y_to_v=cos * upside_down,
        width=(boxes.width - 1) / width,
        height=(boxes.height - 1) / height,
        centre_x=(2 * boxes.left + boxes.width - 1) / width - 1,
        centre_y=(2 * boxes.top + boxes.height - 1) / height - 1,
    )


def crop(images: Tensor, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """Views of images (n, channels, height, width) that are not rotated: (n, channels, *size), by one interpolation.

    Args:
        images: floats.
        geometry: tensors (n, 1, 1, 1) on the images' device.
        size: height and width of the views.
    """
    x, y = _points(images, size)
    return _sample(images, geometry, geometry.x_to_u * x, geometry.y_to_v * y, size)


def crop_and_rotate(images: Tensor, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """As `crop`, with rotations. What is outside of the crop is black, though the image goes on there.

    A pixel that lies less than one pixel outside fades, as by an interpolation with black pixels all around.
    """
    x, y = _points(images, size)
    u = geometry.x_to_u * x + geometry.y_to_u * y
    v = geometry.x_to_v * x + geometry.y_to_v * y
    height, width = _gaps(size)
    inside = _inside(u, width) * _inside(v, height)
    return _sample(images, geometry, u.clamp_(-1, 1), v.clamp_(-1, 1), size).mul_(inside)


def _with_largest(sides: Tensor, largest: int) -> Tensor:
    """(n, attempts) sides of boxes, and as one more attempt the side of the box that fits in any case."""
    return functional.pad(sides, (0, 1), value=largest)


def _gaps(size: tuple[int, int]) -> tuple[int, int]:
    """Distance of the first pixel from the last along height and width, in pixels; 1 for a single pixel."""
    return max(size[0] - 1, 1), max(size[1] - 1, 1)


def _points(images: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The coordinates of a view's columns (width,) and of its rows (height, 1), on the images' device."""
    height, width = size
    columns, rows = (
        torch.linspace(-1, 1, length, device=images.device) if length > 1 else torch.zeros(1, device=images.device)
        for length in (width, height)
    )
    return columns, rows[:, None]


def _inside(coordinates: Tensor, gaps: int) -> Tensor:
    """1 for points in [-1, 1], falling to 0 over the first pixel outside; `gaps` is the length of [-1, 1] in pixels."""
    return (1 - (coordinates.abs() - 1) * (gaps / 2)).clamp_(0, 1)


def _sample(images: Tensor, geometry: Geometry, u: Tensor, v: Tensor, size: tuple[int, int]) -> Tensor:
    """The images at points (u, v) of their crops, each (n, 1, *size) or what expands to it: (n, channels, *size)."""
    # Products by element rather than `affine_grid`: a matrix product may run in TF32 or bf16, too coarse for places.
    places = geometry.centre_x + geometry.width * u, geometry.centre_y + geometry.height * v
    grid = torch.stack([place.expand(-1, -1, *size) for place in places], dim=-1)[:, 0]
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=True)
