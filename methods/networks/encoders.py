"""The encoders that contrastive methods and controls choose from by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from cabench.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.methods.networks.conv import small_conv
from cabench.methods.networks.dcgan import dcgan_encoder
from cabench.methods.networks.image_sizes import ANY, POWERS_OF_TWO, ImageSizes, exactly
from cabench.methods.networks.resnet import small_image_resnet18, standard_resnet18
from cabench.methods.networks.sepclr_conv import sepclr_conv
from cabench.methods.networks.sepvae_conv import sepvae_features

EncoderName = Literal[
    "small_image_resnet18", "standard_resnet18", "small_conv", "sepvae_32", "sepclr_conv_64", "dcgan", "small_dcgan"
]


class Encoder(NamedTuple):
    """How to make an encoder.

    Attributes:
        make: takes (channels, height, width) of the images and the size of the output.
        sizes: the images that it takes.
    """

    make: Callable[[tuple[int, int, int], int], nn.Module]
    sizes: ImageSizes


ENCODERS: Mapping[str, Encoder] = {
    "small_image_resnet18": Encoder(lambda shape, size: small_image_resnet18(shape[0], size), ANY),
    "standard_resnet18": Encoder(lambda shape, size: standard_resnet18(shape[0], size), ANY),
    "small_conv": Encoder(lambda shape, size: small_conv(shape[0], size), ANY),
    "sepvae_32": Encoder(lambda shape, size: sepvae_features(shape[0], size), exactly(32)),
    "sepclr_conv_64": Encoder(lambda shape, size: sepclr_conv(shape[0], size), exactly(64)),
    "dcgan": Encoder(dcgan_encoder, POWERS_OF_TWO),
    "small_dcgan": Encoder(partial(dcgan_encoder, width=16), POWERS_OF_TWO),
}


def make_encoder(name: EncoderName, image_shape: tuple[int, int, int], size: int) -> nn.Module:
    """An encoder from (n, channels, height, width) images in [0, 1] to (n, size) vectors."""
    return ENCODERS[name].make(image_shape, size)


def check_encoder(name: EncoderName, info: DatasetInfo, method: str) -> None:
    """Refuse an encoder for images of another size.

    Raises:
        UserError: naming the setting.
    """
    ENCODERS[name].sizes.check(f"{method}.encoder = {name}", info)


def check_views(name: EncoderName, crop_size: int, info: DatasetInfo, method: str) -> None:
    """Refuse views of another size than the images, where the encoder is built for one size.

    Raises:
        UserError: naming the setting.
    """
    height, width = info.image_shape[1:]
    if crop_size and ENCODERS[name].sizes is not ANY and (crop_size, crop_size) != (height, width):
        raise UserError(
            f"{method}.encoder = {name} is built for the images' own {height} x {width}, but {method}.crop_size is "
            f"{crop_size}; set it to {height} or 0, or choose another encoder."
        )
