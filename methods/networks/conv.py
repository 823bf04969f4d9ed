"""A small convolutional encoder for quick runs on a processor."""

from __future__ import annotations

from torch import nn


def small_conv(channels: int, size: int) -> nn.Module:
    """Four convolutions with batch normalisation, strides 1, 2, 2, 2, mean pooling and a linear output. Output: (n, size).

    Channels go 32, 64, 128, 128. Takes any image of at least 8 x 8.
    """
    widths = (32, 64, 128, 128)
    strides = (1, 2, 2, 2)
    blocks: list[nn.Module] = []
    for before, width, stride in zip((channels, *widths), widths, strides, strict=False):
        blocks += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], size))
