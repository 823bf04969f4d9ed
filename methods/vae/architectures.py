"""The encoders and decoders that variational methods choose from by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from cabench.dataset import DatasetInfo
from cabench.methods.networks.dcgan import DCGANEncoder, dcgan_decoder
from cabench.methods.networks.image_sizes import POWERS_OF_TWO, ImageSizes, exactly
from cabench.methods.networks.mmcvae_conv import MMcVAEDecoder, MMcVAEEncoder
from cabench.methods.networks.sepvae_conv import SepVAEDecoder, SepVAEEncoder
from cabench.methods.networks.sepvae_conv_64 import SepVAEDecoder64, SepVAEEncoder64

ArchitectureName = Literal["sepvae_32", "sepvae_64", "mmcvae_64", "dcgan", "small_dcgan"]
ImageShape = tuple[int, int, int]


class Architecture(NamedTuple):
    """An encoder and a decoder.

    Attributes:
        encoder: takes (channels, height, width) and the latent size; maps images to mean and log-variance (n, size).
        decoder: takes the latent size and (channels, height, width); maps (n, size) to images in [0, 1].
        sizes: the images that they take.
    """

    encoder: Callable[[ImageShape, int], nn.Module]
    decoder: Callable[[int, ImageShape], nn.Module]
    sizes: ImageSizes


def _fixed(
    encoder: Callable[[int, int], nn.Module], decoder: Callable[[int, int], nn.Module], size: int
) -> Architecture:
    """Networks for one image size, which need to know only the channels."""
    return Architecture(
        lambda shape, latents: encoder(shape[0], latents),
        lambda latents, shape: decoder(latents, shape[0]),
        exactly(size),
    )


ARCHITECTURES: Mapping[str, Architecture] = {
    "sepvae_32": _fixed(SepVAEEncoder, SepVAEDecoder, 32),
    "sepvae_64": _fixed(SepVAEEncoder64, SepVAEDecoder64, 64),
    "mmcvae_64": _fixed(MMcVAEEncoder, MMcVAEDecoder, 64),
    "dcgan": Architecture(DCGANEncoder, dcgan_decoder, POWERS_OF_TWO),
    "small_dcgan": Architecture(partial(DCGANEncoder, width=16), partial(dcgan_decoder, width=16), POWERS_OF_TWO),
}


def check_architecture(name: ArchitectureName, info: DatasetInfo, method: str) -> None:
    """Refuse images of another size than the networks take.

    Raises:
        UserError: naming the setting.
    """
    ARCHITECTURES[name].sizes.check(f"{method}.architecture = {name}", info)
