"""DCGAN's networks, as deep as the image size requires, with the heads of Double InfoGAN.

Sources: Radford, Metz, Chintala. "Unsupervised representation learning with deep convolutional generative adversarial
networks", ICLR 2016, arXiv 1511.06434; Double InfoGAN, AISTATS 2024, arXiv 2401.17776, with the noise, heads and
initial weights of its released code (card A8). Convolutions of stride 2 halve an image until it is 4 x 4 while its
channels double, starting from `width`; at 64 x 64 and width 64 that is the published 64-128-256-512.

Other methods use the trunk and the generator as encoder and decoder, so that all can be compared on one network.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cabench.methods.networks.variational import Decoder, GaussianEncoder

WIDTH = 64
SMALLEST = 4  # height and width at which the trunk ends and the generator begins
HEADS = ("validity", "target", "common", "salient")


def fits(size: int) -> bool:
    """Whether the networks take images of `size` x `size`: a power of two, at least 16."""
    return size >= 4 * SMALLEST and size.bit_count() == 1


def widths(size: int, width: int) -> list[int]:
    """The channels after each convolution of the trunk for images of `size` x `size`, e.g. [64, 128, 256, 512]."""
    depth = (size // SMALLEST).bit_length() - 1
    return [width << level for level in range(depth)]


class Trunk(nn.Module):
    """Convolutions with batch normalisation (except the first) and LeakyReLU(0.2), down to 4 x 4.

    Attributes:
        features: channels of the 4 x 4 output.
    """

    def __init__(self, channels: int, size: int, width: int = WIDTH) -> None:
        super().__init__()
        channels_after = widths(size, width)
        self.features = channels_after[-1]
        self.blocks = nn.ModuleList()
        for before, after in pairwise((channels, *channels_after)):
            normalisation = [] if len(self.blocks) == 0 else [nn.BatchNorm2d(after)]
            convolution = nn.Conv2d(before, after, 4, 2, 1, bias=False)
            self.blocks.append(nn.Sequential(convolution, *normalisation, nn.LeakyReLU(0.2)))

    def forward(self, images: Tensor, noise: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(n, features, 4, 4) of (n, channels, size, size) images.

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

    def __init__(self, channels: int, size: int, d_common: int, d_salient: int, width: int, noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.trunk = Trunk(channels, size, width)
        outputs = dict(zip(HEADS, (1, 1, d_common, d_salient), strict=True))
        self.heads = nn.ModuleDict(
            {name: nn.Conv2d(self.trunk.features, count, SMALLEST, bias=False) for name, count in outputs.items()}
        )

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Verdict:
        """The outputs for (n, channels, size, size) images in [-1, 1]; noise only with a generator."""
        features = self.trunk(images, self.noise, generator)
        said = (self.heads[name](with_noise(features, self.noise, generator)).flatten(1) for name in HEADS)
        validity, target, common, salient = (part.float() for part in said)
        return Verdict(validity[:, 0], target[:, 0], common, salient)


class Generator(Decoder):
    """Transposed convolutions from latent vectors to images. 3,806,080 parameters for 128 dimensions, 3 x 64 x 64."""

    def __init__(self, latents: int, channels: int, size: int, width: int, output: nn.Module) -> None:
        narrowing = widths(size, width)[::-1]
        layers: list[nn.Module] = [nn.Unflatten(1, (latents, 1, 1))]
        for before, after in pairwise((latents, *narrowing)):
            stride, padding = (1, 0) if len(layers) == 1 else (2, 1)
            convolution = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), output)


class SharedDimensionReader(nn.Module):
    """Double InfoGAN's CR network: predicts from two images which salient dimension they share."""

    NOISE = 0.1

    def __init__(self, channels: int, size: int, d_salient: int, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(2 * channels, size, width)
        self.head = nn.Conv2d(self.trunk.features, d_salient, SMALLEST, bias=False)

    def forward(self, first: Tensor, second: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(n, d_salient) logits for pairs of (n, channels, size, size) images; noise only with a generator."""
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
    channels, height, _ = image_shape
    trunk = Trunk(channels, height, width)
    return nn.Sequential(trunk, nn.Flatten(), nn.Linear(trunk.features * SMALLEST**2, size))


def dcgan_vae_encoder(image_shape: tuple[int, ...], size: int, width: int = WIDTH) -> nn.Module:
    """The trunk as a variational encoder of images in [0, 1]: a posterior (n, size)."""
    channels, height, _ = image_shape
    trunk = Trunk(channels, height, width)
    return GaussianEncoder(trunk, trunk.features * SMALLEST**2, size)


def dcgan_decoder(size: int, image_shape: tuple[int, ...], width: int = WIDTH) -> nn.Module:
    """The generator as a decoder of (n, size) latent vectors to images in [0, 1]."""
    channels, height, _ = image_shape
    return Generator(size, channels, height, width, nn.Sigmoid())
