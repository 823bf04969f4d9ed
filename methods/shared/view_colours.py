"""Random changes of colour: brightness, contrast, saturation, hue and grey, by arithmetic alone.

The definitions are those of torchvision's `ColorJitter`, which kornia 0.9's takes over; the tests hold them against it.
All steps but hue and grey end by clamping to [0, 1]. The images are changed in place and returned: with memory of its
own for each step, 64 images of 32 x 32 took twice as long on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Colours(NamedTuple):
    """How the colours of n images change: float32 tensors of one shape each.

    Attributes:
        brightness: factor of `adjust_brightness`.
        contrast: factor of `adjust_contrast`.
        saturation: factor of `adjust_saturation`.
        hue: turns of `shift_hue`.
        grey: amount of `turn_grey`.
    """

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor


def luma(images: Tensor) -> Tensor:
    """How bright pixels are, (n, 1, height, width): ITU-R BT.601's weights for three channels, else the mean."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = images.chunk(3, dim=1)
    return (0.299 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Images (n, channels, height, width) in [0, 1] times factors (n, 1, 1, 1), at least 0."""
    return images.mul_(factor).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Images (n, channels, height, width) in [0, 1] whose distance to their mean luma is times factors (n, 1, 1, 1)."""
    mean = luma(images.mean((2, 3), keepdim=True))
    return images.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Images (n, 3, height, width) in [0, 1] whose distance to their pixels' luma is times factors (n, 1, 1, 1)."""
    return images.lerp_(luma(images), 1 - factor).clamp_(0, 1)


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Colour images in [0, 1] with the hue of HSV turned; what HSV calls saturation and value stay.

    With m = min(r, g, b), r' = r - m and so on, and d = max(r', g', b'), the hue is (d - r' + g' + b') / d sixths of a
    turn away from red, towards green where g >= b and else towards blue. A channel is m + d on the two sixths of the
    circle around its own hue, m on the two opposite ones, and linear between.

    Args:
        images: floats (n, 3, height, width).
        turns: (n, 1, 1, 1) in parts of a whole turn from red by green to blue.
    """
    least = images.amin(1, keepdim=True)
    red, green, blue = images.sub_(least).chunk(3, dim=1)
    spread = images.amax(1, keepdim=True)
    # The divisor is held above 0 for grey pixels: their dividend is 0 exactly, and their hue does not matter.
    from_red = (spread - red).add_(green).add_(blue).div_(6 * spread.clamp(min=1e-12))
    hue = from_red.copysign_(green - blue).add_(turns)
    hue.sub_(hue.floor())
    own = torch.arange(3, device=images.device).view(3, 1, 1) / 3
    to_opposite = torch.sub(hue, own, out=images).abs_().sub_(0.5).abs_()
    return to_opposite.mul_(6).sub_(1).clamp_(0, 1).mul_(spread).add_(least)


def turn_grey(images: Tensor, amount: Tensor) -> Tensor:
    """Images (n, channels, height, width) with luma in all channels where `amount` (n, 1, 1, 1) is 1, the same at 0."""
    return images.lerp_(luma(images), amount)


JITTER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": shift_hue,
}
"""The steps of colour jitter, called as the settings of their strength and as their fields of `Colours`."""
