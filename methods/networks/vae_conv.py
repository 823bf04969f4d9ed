"""Convolutional networks of contrastive VAEs: SepVAE's (card A7) and MM-cVAE's (card A6).

Each was published for one image size, which is in its name, and is exactly the published one there. For images of
another shape it is built by the plan of `sizes`: from 8 x 8 on, square or not, with as many convolutions as that takes.

SepVAE's have no normalisation. Those for 32 x 32 also serve MM-cVAE on images of that size, for which its authors
released no network (card table D16); those for 64 x 64 are for CelebA and chest X-rays. MM-cVAE's, for 64 x 64, have
batch normalisation after each leaky ReLU: with 3 channels, 16 common and 6 salient dimensions, two encoders and the
decoder have 2,345,792 parameters.

Encoders take the shape of an image, (channels, height, width), and the size of the latent vector. Decoders take
these in reverse order and give images of that shape, in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from cabench.methods.networks.sizes import doubling, fitted, halving, plan
from cabench.methods.networks.variational import Decoder, GaussianEncoder

HIDDEN = 256
WIDTHS_32 = (32, 32, 32)
WIDTHS_64 = (32, 32, 64, 128)
MMCVAE_WIDTHS = (32, 64, 128, 256)


def sepvae_features_32(shape: tuple[int, ...], size: int) -> nn.Module:
    """SepVAE's trunk as a deterministic encoder. Output: (n, size)."""
    return nn.Sequential(*_narrowing(shape, WIDTHS_32, stride=2), nn.Linear(HIDDEN, size))


def sepvae_encoder_32(shape: tuple[int, ...], size: int) -> nn.Module:
    """264,416 parameters for 3 x 32 x 32 and size 64."""
    trunk = nn.Sequential(*_narrowing(shape, WIDTHS_32, stride=2), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
    return GaussianEncoder(trunk, HIDDEN, size)


def sepvae_decoder_32(size: int, shape: tuple[int, ...]) -> nn.Module:
    """264,291 parameters for size 128 and 3 x 32 x 32."""
    hidden = (nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Unflatten(1, (HIDDEN, 1, 1)))
    return Decoder(*hidden, *_widening(WIDTHS_32, shape, stride=2))


def sepvae_encoder_64(shape: tuple[int, ...], size: int) -> nn.Module:
    """715,840 parameters for 3 x 64 x 64 and size 16."""
    trunk = nn.Sequential(*_narrowing(shape, WIDTHS_64, stride=1), nn.Linear(HIDDEN, 2 * size), nn.ReLU())
    return GaussianEncoder(trunk, 2 * size, size)


def sepvae_decoder_64(size: int, shape: tuple[int, ...]) -> nn.Module:
    """714,755 parameters for size 32 and 3 x 64 x 64."""
    hidden = (nn.Linear(size, HIDDEN), nn.Unflatten(1, (HIDDEN, 1, 1)), nn.ReLU())
    return Decoder(*hidden, *_widening(WIDTHS_64, shape, stride=1))


def mmcvae_encoder(shape: tuple[int, ...], size: int) -> nn.Module:
    """MM-cVAE's encoder."""
    way = plan(shape)
    widths = fitted(MMCVAE_WIDTHS, way.halvings)
    blocks: list[nn.Module] = []
    for before, after in pairwise((shape[0], *widths)):
        blocks += [halving(before, after, bias=False), nn.LeakyReLU(0.2), nn.BatchNorm2d(after)]
    features = widths[-1] * math.prod(way.remaining)
    return GaussianEncoder(nn.Sequential(*blocks, nn.Flatten()), features, size, bias=False)


def mmcvae_decoder(size: int, shape: tuple[int, ...]) -> nn.Module:
    """MM-cVAE's decoder."""
    way = plan(shape)
    widths = fitted(MMCVAE_WIDTHS, way.halvings)[::-1]
    blocks: list[nn.Module] = []  # made first, so that their weights are drawn first
    for (before, after), doubled in zip(pairwise(widths), way.way_back, strict=False):
        blocks += [doubling(before, after, doubled, bias=False), nn.LeakyReLU(0.2), nn.BatchNorm2d(after)]
    first = nn.Linear(size, widths[0] * math.prod(way.remaining))
    hidden = (first, nn.LeakyReLU(0.2), nn.Unflatten(1, (widths[0], *way.remaining)))
    output = doubling(widths[-1], shape[0], way.way_back[-1], bias=False)
    return Decoder(*hidden, *blocks, output, nn.Sigmoid())


def _narrowing(shape: tuple[int, ...], widths: Sequence[int], stride: int) -> list[nn.Module]:
    """SepVAE's convolutions from images to 256 features; the last one, of that stride, takes the map to 1 x 1."""
    way = plan(shape)
    widths = fitted(widths, way.halvings)
    layers: list[nn.Module] = []
    for before, after in pairwise((shape[0], *widths)):
        layers += [halving(before, after), nn.ReLU()]
    return [*layers, nn.Conv2d(widths[-1], HIDDEN, way.remaining, stride, 0), nn.ReLU(), nn.Flatten()]


def _widening(widths: Sequence[int], shape: tuple[int, ...], stride: int) -> list[nn.Module]:
    """The way back: transposed convolutions of (n, 256, 1, 1) features, through the widths in reverse order."""
    way = plan(shape)
    widths = fitted(widths, way.halvings)[::-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(HIDDEN, widths[0], way.remaining, stride, 0)]
    for (before, after), doubled in zip(pairwise((*widths, shape[0])), way.way_back, strict=True):
        layers += [nn.ReLU(), doubling(before, after, doubled)]
    return [*layers, nn.Sigmoid()]
