"""Deterministic convolutional encoders, and the projector that contrastive methods put on top of one.

Encoders take the shape of an image, (channels, height, width), and the size of their output, (n, size). Images have at
least 8 x 8 pixels, and need not be square.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from cabench.methods.networks.sizes import fitted, halving, plan

SMALL_WIDTHS = (32, 64, 128)
SMALL_PLACES = 2  # features are averaged over each quarter of an image, which roughly keeps positions
SEPCLR_WIDTHS = (512, 256, 128, 64, 32)
SEPCLR_SMALLEST = 2  # the side of the map that remains of 64 x 64
PROJECTOR_WIDTH = 128


def small_image_resnet18(shape: tuple[int, ...], size: int) -> nn.Module:
    """ResNet-18 (He et al., CVPR 2016) for images of about 32 x 32: a 3 x 3 stem of stride 1 without max-pooling.

    Card A1: 11,185,248 parameters for 3 channels and size 32.
    """
    network = _resnet18(size)
    network.conv1 = nn.Conv2d(shape[0], 64, kernel_size=3, stride=1, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def standard_resnet18(shape: tuple[int, ...], size: int) -> nn.Module:
    """ResNet-18 with its 7 x 7 stem of stride 2 and max-pooling, which was made for 224 x 224.

    Small images have little left after that: of one below 64 x 64, the last blocks see a single pixel or two.
    """
    network = _resnet18(size)
    if shape[0] != 3:
        network.conv1 = nn.Conv2d(shape[0], 64, kernel_size=7, stride=2, padding=3, bias=False)
    return network


def small_conv(shape: tuple[int, ...], size: int) -> nn.Module:
    """For quick runs on a CPU: three 3 x 3 convolutions of stride 2 with batch normalisation, quarter-wise means.

    On two CPU cores it is some twenty times as fast as ResNet-18.
    """
    blocks: list[nn.Module] = []
    for before, after in pairwise((shape[0], *SMALL_WIDTHS)):
        blocks += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    features = SMALL_WIDTHS[-1] * SMALL_PLACES * SMALL_PLACES
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(SMALL_PLACES), nn.Flatten(), nn.Linear(features, size))


def sepclr_conv(shape: tuple[int, ...], size: int) -> nn.Module:
    """The encoder of SepCLR's script for dSprites on digits (card A2): convolutions without normalisation.

    It was published for 64 x 64: two of them, with 32 and 5 outputs for grey images, have 5,626,725 parameters there.
    For other images it is built by the plan of `sizes`.
    """
    way = plan(shape, SEPCLR_SMALLEST)
    widths = fitted(SEPCLR_WIDTHS, way.halvings)
    blocks: list[nn.Module] = []
    for before, after in pairwise((shape[0], *widths)):
        blocks += [halving(before, after), nn.ReLU()]
    features = widths[-1] * math.prod(way.remaining)
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(features, features), nn.ReLU(), nn.Linear(features, size))


class ProjectedEncoder(nn.Module):
    """An encoder, whose output is the representation, and a projector, whose output the loss sees (card A1)."""

    def __init__(self, encoder: nn.Module, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        hidden = nn.Linear(size, PROJECTOR_WIDTH)
        normalisation = nn.BatchNorm1d(PROJECTOR_WIDTH)
        self.projector = nn.Sequential(hidden, normalisation, nn.ReLU(), nn.Linear(PROJECTOR_WIDTH, size))

    def forward(self, images: Tensor) -> Tensor:
        """Projected (n, size) vectors of (n, channels, height, width) images."""
        projected: Tensor = self.projector(self.encode(images))
        return projected

    def encode(self, images: Tensor) -> Tensor:
        """The (n, size) vectors that are projected: the representation."""
        encoded: Tensor = self.encoder(images)
        return encoded


def _resnet18(size: int) -> nn.Module:
    from torchvision.models import resnet18  # Late: importing torchvision takes a second and a half.

    network: nn.Module = resnet18(num_classes=size)
    return network
