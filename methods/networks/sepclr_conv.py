"""The encoder of SepCLR's script for dSprites on digits: five convolutions without normalisation (card A2)."""

from __future__ import annotations

from torch import nn

WIDTHS = (512, 256, 128, 64, 32)
FEATURES = 32 * 2 * 2


def sepclr_conv(channels: int, size: int) -> nn.Module:
    """An encoder of (n, channels, 64, 64) images. Output: (n, size).

    Two of them, with 32 and 5 outputs for grey images, have 5,626,725 parameters.
    """
    blocks: list[nn.Module] = []
    for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False):
        blocks += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, size))
