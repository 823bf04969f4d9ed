"""The encoders that contrastive methods and controls choose from by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import nn

from cabench.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.methods.networks.conv import small_conv
from cabench.methods.networks.resnet import small_image_resnet18, standard_resnet18
from cabench.methods.networks.sepvae_conv import sepvae_features

EncoderName = Literal["small_image_resnet18", "standard_resnet18", "small_conv", "sepvae_32"]

_ENCODERS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "small_image_resnet18": small_image_resnet18,
    "standard_resnet18": standard_resnet18,
    "small_conv": small_conv,
    "sepvae_32": sepvae_features,
}


def make_encoder(name: EncoderName, channels: int, size: int) -> nn.Module:
    """An encoder from (n, channels, height, width) images in [0, 1] to (n, size) vectors."""
    return _ENCODERS[name](channels, size)


def check_encoder(name: EncoderName, info: DatasetInfo, method: str) -> None:
    """Refuse an encoder for images of another size.

    Raises:
        UserError: naming the setting.
    """
    height, width = info.image_shape[1:]
    if name == "sepvae_32" and (height, width) != (32, 32):
        raise UserError(
            f"{method}.encoder = sepvae_32 takes images of 32 x 32, but those of {info.name} are {height} x {width}; "
            "choose another encoder."
        )
