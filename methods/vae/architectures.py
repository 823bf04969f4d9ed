"""The encoders and decoders that variational methods choose from by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from cabench.data.dataset import DatasetInfo
from cabench.methods.networks.dcgan import DCGANEncoder, dcgan_decoder
from cabench.methods.networks.inputs import POWERS_OF_TWO, TABLES, Inputs, exactly
from cabench.methods.networks.mlp import MLPEncoder, mlp_decoder
from cabench.methods.networks.mmcvae_conv import MMcVAEDecoder, MMcVAEEncoder
from cabench.methods.networks.sepvae_conv import SepVAEDecoder, SepVAEEncoder
from cabench.methods.networks.sepvae_conv_64 import SepVAEDecoder64, SepVAEEncoder64

ArchitectureName = Literal["sepvae_32", "sepvae_64", "mmcvae_64", "dcgan", "small_dcgan", "mlp"]
Shape = tuple[int, ...]


class Architecture(NamedTuple):
    """An encoder and a decoder.

    Attributes:
        encoder: takes the shape of an example, (channels, height, width) or (features,), and the latent size; maps
            examples to mean and log-variance (n, size).
        decoder: takes the latent size and that shape; maps (n, size) to images in [0, 1], or to rows of a table.
        inputs: the examples that they take.
    """

    encoder: Callable[[Shape, int], nn.Module]
    decoder: Callable[[int, Shape], nn.Module]
    inputs: Inputs


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
    "mlp": Architecture(
        lambda shape, latents: MLPEncoder(shape[0], latents),
        lambda latents, shape: mlp_decoder(latents, shape[0]),
        TABLES,
    ),
}


def check_architecture(name: ArchitectureName, info: DatasetInfo, method: str) -> None:
    """Refuse other examples than the networks take.

    Raises:
        UserError: naming the setting.
    """
    ARCHITECTURES[name].inputs.check(f"{method}.architecture", name, info)
