"""Convolutional networks of contrastive VAEs, each for one image size: SepVAE's (card A7) and MM-cVAE's (card A6).

SepVAE's have no normalisation. Those for 32 x 32 also serve MM-cVAE on images of that size, for which its authors
released no network (card table D16); those for 64 x 64 are for CelebA and chest X-rays. MM-cVAE's, for 64 x 64, have
batch normalisation after each leaky ReLU: with 3 channels, 16 common and 6 salient dimensions, two encoders and the
decoder have 2,345,792 parameters. Each convolution of stride 2 halves an image, each transposed one doubles it.

Encoders take the shape of an image, (channels, height, width), and the size of the latent vector. Decoders take
these in reverse order and give images in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from cabench.methods.networks.variational import Decoder, GaussianEncoder

HIDDEN = 256
WIDTHS_32 = (32, 32, 32)
WIDTHS_64 = (32, 32, 64, 128)
MMCVAE_WIDTHS = (32, 64, 128, 256)
MMCVAE_FEATURES = 256 * 4 * 4


def sepvae_features_32(shape: tuple[int, ...], size: int) -> nn.Module:
    """SepVAE's trunk as a deterministic encoder of images of 32 x 32. Output: (n, size)."""
    return nn.Sequential(*_narrowing(shape[0], WIDTHS_32, stride=2), nn.Linear(HIDDEN, size))


def sepvae_encoder_32(shape: tuple[int, ...], size: int) -> nn.Module:
    """264,416 parameters for 3 channels and size 64."""
    trunk = nn.Sequential(*_narrowing(shape[0], WIDTHS_32, stride=2), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
    return GaussianEncoder(trunk, HIDDEN, size)


def sepvae_decoder_32(size: int, shape: tuple[int, ...]) -> nn.Module:
    """264,291 parameters for size 128 and 3 channels."""
    hidden = (nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Unflatten(1, (HIDDEN, 1, 1)))
    return Decoder(*hidden, *_widening(WIDTHS_32, shape[0], stride=2))


def sepvae_encoder_64(shape: tuple[int, ...], size: int) -> nn.Module:
    """715,840 parameters for 3 channels and size 16."""
    trunk = nn.Sequential(*_narrowing(shape[0], WIDTHS_64, stride=1), nn.Linear(HIDDEN, 2 * size), nn.ReLU())
    return GaussianEncoder(trunk, 2 * size, size)


def sepvae_decoder_64(size: int, shape: tuple[int, ...]) -> nn.Module:
    """714,755 parameters for size 32 and 3 channels."""
    hidden = (nn.Linear(size, HIDDEN), nn.Unflatten(1, (HIDDEN, 1, 1)), nn.ReLU())
    return Decoder(*hidden, *_widening(WIDTHS_64, shape[0], stride=1))


def mmcvae_encoder(shape: tuple[int, ...], size: int) -> nn.Module:
    """MM-cVAE's encoder of images of 64 x 64."""
    blocks: list[nn.Module] = []
    for before, after in pairwise((shape[0], *MMCVAE_WIDTHS)):
        blocks += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.LeakyReLU(0.2), nn.BatchNorm2d(after)]
    return GaussianEncoder(nn.Sequential(*blocks, nn.Flatten()), MMCVAE_FEATURES, size, bias=False)


def mmcvae_decoder(size: int, shape: tuple[int, ...]) -> nn.Module:
    """MM-cVAE's decoder to images of 64 x 64."""
    blocks: list[nn.Module] = []  # made first, so that their weights are drawn first
    for before, after in pairwise(MMCVAE_WIDTHS[::-1]):
        blocks += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.LeakyReLU(0.2), nn.BatchNorm2d(after)]
    hidden = (nn.Linear(size, MMCVAE_FEATURES), nn.LeakyReLU(0.2), nn.Unflatten(1, (MMCVAE_WIDTHS[-1], 4, 4)))
    output = nn.ConvTranspose2d(MMCVAE_WIDTHS[0], shape[0], 4, 2, 1, bias=False)
    return Decoder(*hidden, *blocks, output, nn.Sigmoid())


def _narrowing(channels: int, widths: Sequence[int], stride: int) -> list[nn.Module]:
    """SepVAE's convolutions from images to 256 features; the last one, of that stride, takes 4 x 4 to 1 x 1."""
    layers: list[nn.Module] = []
    for before, after in pairwise((channels, *widths)):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
    return [*layers, nn.Conv2d(widths[-1], HIDDEN, 4, stride, 0), nn.ReLU(), nn.Flatten()]


def _widening(widths: Sequence[int], channels: int, stride: int) -> list[nn.Module]:
    """The way back: transposed convolutions of (n, 256, 1, 1) features, through the widths in reverse order."""
    narrowing = widths[::-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(HIDDEN, narrowing[0], 4, stride, 0)]
    for before, after in pairwise((*narrowing, channels)):
        layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
    return [*layers, nn.Sigmoid()]
