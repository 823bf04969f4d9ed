"""Rows of images in one picture, each with a label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

CELL = 64  # smallest height and width of an image in a grid, in pixels
LABELS_WIDTH = 130
GAP = 2


def labelled_rows(rows: Sequence[tuple[str, Tensor]]) -> Image.Image:
    """Rows of images with a label at the left of each, enlarged to at least 64 pixels by whole factors.

    Args:
        rows: labels, each with float (n, channels, height, width) images in [0, 1], 1 or 3 channels, all of one shape.
    """
    count, _, height, width = rows[0][1].shape
    factor = max(1, -(-CELL // max(height, width)))
    high, wide = height * factor, width * factor
    size = (LABELS_WIDTH + count * (wide + GAP), len(rows) * (high + GAP))
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for row, (label, images) in enumerate(rows):
        top = row * (high + GAP)
        draw.multiline_text((4, top + high // 2 - 12), label, fill="black")
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        for column, image in enumerate(pixels):
            tile = Image.fromarray(np.broadcast_to(image, (height, width, 3)).copy())
            picture.paste(
                tile.resize((wide, high), Image.Resampling.NEAREST), (LABELS_WIDTH + column * (wide + GAP), top)
            )
    return picture
