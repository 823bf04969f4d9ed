"""What any method with a decoder can show: reconstructions, and images with the salient part removed or exchanged."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from cabench.data.drawing import labelled_rows
from cabench.method import Generative, Representation

ROWS = (
    "target",
    "reconstructed",
    "salient removed",
    "background",
    "reconstructed,\nsalient zero",
    "with the salient part\nof the target above",
)
"""What the rows of `picture_grid` show, from above."""


def reconstruct(method: Generative, images: Tensor) -> Tensor:
    """Images decoded from their own common and salient vectors.

    Args:
        method: a fitted method.
        images: float32 (n, channels, height, width) in [0, 1].

    Returns:
        Images of the same form, on the CPU.
    """
    return method.decode(method.encode(images)).cpu()


def swap(method: Generative, common_of: Tensor, salient_of: Tensor) -> Tensor:
    """Images decoded from the common vectors of some images and the salient vectors of others.

    Args:
        method: a fitted method.
        common_of: float32 (n, channels, height, width) in [0, 1].
        salient_of: as many images.

    Returns:
        Images of the same form, on the CPU: row i with the common part of row i of the first, the salient part of row i
        of the second.

    Raises:
        ValueError: when there are not as many images of both.
    """
    if len(common_of) != len(salient_of):
        raise ValueError(f"A swap needs as many images of both, but got {len(common_of)} and {len(salient_of)}.")
    common, salient = method.encode(common_of).common, method.encode(salient_of).salient
    return method.decode(Representation(common, salient)).cpu()


def remove_salient(method: Generative, images: Tensor) -> Tensor:
    """Images decoded from their own common vectors, with zeros as salient vectors: made into background images.

    Args:
        method: a fitted method.
        images: float32 (n, channels, height, width) in [0, 1].

    Returns:
        Images of the same form, on the CPU.
    """
    common, salient = method.encode(images)
    return method.decode(Representation(common, torch.zeros_like(salient))).cpu()


def picture_grid(method: Generative, background: Tensor, target: Tensor) -> Image.Image:
    """A grid that shows what a method makes of some images: one row a kind of picture, one column a pair of images.

    There are as many columns as images of the population that has fewer.

    Args:
        method: a fitted method.
        background: float32 (n, channels, height, width) in [0, 1], 1 or 3 channels.
        target: target images of the same form.
    """
    pairs = min(len(background), len(target))
    background, target = background[:pairs], target[:pairs]
    rows = [
        target,
        reconstruct(method, target),
        remove_salient(method, target),
        background,
        remove_salient(method, background),
        swap(method, background, target),
    ]
    return labelled_rows(list(zip(ROWS, rows, strict=True)))
