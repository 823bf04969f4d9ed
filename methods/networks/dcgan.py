"""DCGAN's networks, as deep as the image size requires, with the heads of Double InfoGAN.

Sources: Radford, Metz, Chintala. "Unsupervised representation learning with deep convolutional generative adversarial
networks", ICLR 2016, arXiv 1511.06434; Double InfoGAN, AISTATS 2024, arXiv 2401.17776, with the noise, heads and
initial weights of its released code (card A8). Convolutions of stride 2 halve an image by the plan of `sizes` while its
channels double, starting from `width`; at 64 x 64 and width 64 that is the published 64-128-256-512, down to 4 x 4.
Images have any shape from 8 x 8 on, square or not.

Other methods use the trunk and the generator as encoder and decoder, so that all can be compared on one network.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cabench.methods.networks.sizes import Plan, doubling, halving, plan
from cabench.methods.networks.variational import Decoder, GaussianEncoder

WIDTH = 64
HEADS = ("validity", "target", "common", "salient")


def doubled_widths(way: Plan, width: int) -> list[int]:
    """The channels after each convolution of the trunk, e.g. [64, 128, 256, 512] for 64 x 64 and width 64."""
    return [width << level for level in range(way.halvings)]


class Trunk(nn.Module):
    """Convolutions with batch normalisation (except the first) and LeakyReLU(0.2), for images of a shape.

    Attributes:
        features: channels of the output.
        remaining: its height and width.
    """

    def __init__(self, shape: tuple[int, ...], width: int = WIDTH) -> None:
        super().__init__()
        way = plan(shape)
        widths = doubled_widths(way, width)
        self.features, self.remaining = widths[-1], way.remaining
        self.blocks = nn.ModuleList()
        for before, after in pairwise((shape[0], *widths)):
            normalisation = [] if len(self.blocks) == 0 else [nn.BatchNorm2d(after)]
            self.blocks.append(nn.Sequential(halving(before, after, bias=False), *normalisation, nn.LeakyReLU(0.2)))

    def forward(self, images: Tensor, noise: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(n, features, *remaining) of (n, channels, height, width) images.

        Args:
            images: floats; DCGAN has them in [-1, 1].
            noise: standard deviation of the noise added to the input of every convolution.
            generator: where the noise is drawn from; None for no noise.
        """
        for block in self.blocks:
            images = block(with_noise(images, noise, generator))
        return images


def with_noise(x: Tensor, deviation: float, generator: torch.Generator | None) -> Tensor:
    """`x` plus Gaussian noise of the given standard deviation; unchanged without a generator."""
    if generator is None or deviation == 0:
        return x
    return x + deviation * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


class Verdict(NamedTuple):
    """The discriminator's outputs for n images.

    Attributes:
        validity: (n,) logits of being a real image.
        target: (n,) logits of being a target image.
        common: (n, d_common).
        salient: (n, d_salient).
    """

    validity: Tensor
    target: Tensor
    common: Tensor
    salient: Tensor


class Discriminator(nn.Module):
    """Double InfoGAN's discriminator and encoder: one trunk, four heads, Gaussian noise before every convolution.

    At 64 x 64: 3,822,336 parameters for 3 channels and 64 + 64 dimensions.
    """

    def __init__(self, shape: tuple[int, ...], d_common: int, d_salient: int, width: int, noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.trunk = Trunk(shape, width)
        outputs = dict(zip(HEADS, (1, 1, d_common, d_salient), strict=True))
        self.heads = nn.ModuleDict(
            {
                name: nn.Conv2d(self.trunk.features, count, self.trunk.remaining, bias=False)
                for name, count in outputs.items()
            }
        )

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Verdict:
        """The outputs for (n, channels, height, width) images in [-1, 1]; noise only with a generator."""
        features = self.trunk(images, self.noise, generator)
        said = (self.heads[name](with_noise(features, self.noise, generator)).flatten(1) for name in HEADS)
        validity, target, common, salient = (part.float() for part in said)
        return Verdict(validity[:, 0], target[:, 0], common, salient)


class Generator(Decoder):
    """Transposed convolutions from latent vectors to images. 3,806,080 parameters for 128 dimensions, 3 x 64 x 64."""

    def __init__(self, latents: int, shape: tuple[int, ...], width: int, output: nn.Module) -> None:
        way = plan(shape)
        widths = doubled_widths(way, width)[::-1]
        first = nn.ConvTranspose2d(latents, widths[0], way.remaining, bias=False)
        layers = [nn.Unflatten(1, (latents, 1, 1)), first, nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for (before, after), doubled in zip(pairwise(widths), way.way_back, strict=False):
            layers += [doubling(before, after, doubled, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, doubling(width, shape[0], way.way_back[-1], bias=False), output)


class SharedDimensionReader(nn.Module):
    """Double InfoGAN's CR network: predicts from two images which salient dimension they share."""

    NOISE = 0.1

    def __init__(self, shape: tuple[int, ...], d_salient: int, width: int) -> None:
        super().__init__()
        channels, *size = shape
        self.trunk = Trunk((2 * channels, *size), width)
        self.head = nn.Conv2d(self.trunk.features, d_salient, self.trunk.remaining, bias=False)

    def forward(self, first: Tensor, second: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(n, d_salient) logits for pairs of (n, channels, height, width) images; noise only with a generator."""
        features = self.trunk(torch.cat([first, second], dim=1), self.NOISE, generator)
        logits: Tensor = self.head(features).flatten(1)
        return logits.float()


def initialise(network: nn.Module) -> None:
    """Draw the weights of all convolutions from a normal distribution of standard deviation 0.02."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)


def dcgan_encoder(image_shape: tuple[int, ...], size: int, width: int = WIDTH) -> nn.Module:
    """The trunk as a deterministic encoder of images in [0, 1]. Output: (n, size)."""
    trunk = Trunk(image_shape, width)
    return nn.Sequential(trunk, nn.Flatten(), nn.Linear(trunk.features * math.prod(trunk.remaining), size))


def dcgan_vae_encoder(image_shape: tuple[int, ...], size: int, width: int = WIDTH) -> nn.Module:
    """The trunk as a variational encoder of images in [0, 1]: a posterior (n, size)."""
    trunk = Trunk(image_shape, width)
    return GaussianEncoder(trunk, trunk.features * math.prod(trunk.remaining), size)


def dcgan_decoder(size: int, image_shape: tuple[int, ...], width: int = WIDTH) -> nn.Module:
    """The generator as a decoder of (n, size) latent vectors to images of a shape, in [0, 1]."""
    return Generator(size, image_shape, width, nn.Sigmoid())
