"""ResNet-18 encoders (He et al., CVPR 2016) with a linear output of the representation's size."""

from __future__ import annotations

from torch import nn


def small_image_resnet18(channels: int, size: int) -> nn.Module:
    """ResNet-18 for images of about 32 x 32: a 3 x 3 stem of stride 1 without max-pooling. Output: (n, size).

    Card A1: 11,185,248 parameters for 3 channels and size 32.
    """
    network = _resnet18(size)
    network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def standard_resnet18(channels: int, size: int) -> nn.Module:
    """ResNet-18 with its 7 x 7 stem of stride 2 and max-pooling, for images from 64 x 64 up. Output: (n, size)."""
    network = _resnet18(size)
    if channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return network


def _resnet18(size: int) -> nn.Module:
    from torchvision.models import resnet18  # Late: importing torchvision takes a second and a half.

    network: nn.Module = resnet18(num_classes=size)
    return network
