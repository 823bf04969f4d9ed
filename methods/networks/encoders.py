"""The encoders that contrastive methods and controls choose from by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from cabench.data.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.methods.networks.conv import small_conv
from cabench.methods.networks.dcgan import dcgan_encoder
from cabench.methods.networks.inputs import IMAGES, POWERS_OF_TWO, TABLES, Inputs, exactly
from cabench.methods.networks.mlp import mlp
from cabench.methods.networks.resnet import small_image_resnet18, standard_resnet18
from cabench.methods.networks.sepclr_conv import sepclr_conv
from cabench.methods.networks.sepvae_conv import sepvae_features

EncoderName = Literal[
    "small_image_resnet18",
    "standard_resnet18",
    "small_conv",
    "sepvae_32",
    "sepclr_conv_64",
    "dcgan",
    "small_dcgan",
    "mlp",
]


class Encoder(NamedTuple):
    """How to make an encoder.

    Attributes:
        make: takes the shape of an example, (channels, height, width) or (features,), and the size of the output.
        inputs: the examples that it takes.
    """

    make: Callable[[tuple[int, ...], int], nn.Module]
    inputs: Inputs


ENCODERS: Mapping[str, Encoder] = {
    "small_image_resnet18": Encoder(lambda shape, size: small_image_resnet18(shape[0], size), IMAGES),
    "standard_resnet18": Encoder(lambda shape, size: standard_resnet18(shape[0], size), IMAGES),
    "small_conv": Encoder(lambda shape, size: small_conv(shape[0], size), IMAGES),
    "sepvae_32": Encoder(lambda shape, size: sepvae_features(shape[0], size), exactly(32)),
    "sepclr_conv_64": Encoder(lambda shape, size: sepclr_conv(shape[0], size), exactly(64)),
    "dcgan": Encoder(dcgan_encoder, POWERS_OF_TWO),
    "small_dcgan": Encoder(partial(dcgan_encoder, width=16), POWERS_OF_TWO),
    "mlp": Encoder(lambda shape, size: mlp(shape[0], size), TABLES),
}


def make_encoder(name: EncoderName, image_shape: tuple[int, ...], size: int) -> nn.Module:
    """An encoder from (n, channels, height, width) images in [0, 1], or (n, features) rows, to (n, size) vectors."""
    return ENCODERS[name].make(image_shape, size)


def check_encoder(name: EncoderName, info: DatasetInfo, method: str) -> None:
    """Refuse an encoder for other examples than the data set's.

    Raises:
        UserError: naming the setting.
    """
    ENCODERS[name].inputs.check(f"{method}.encoder", name, info)


def check_views(name: EncoderName, crop_size: int, info: DatasetInfo, method: str) -> None:
    """Refuse views of another size than the images, where the encoder is built for one size. Rows have no size.

    Raises:
        UserError: naming the setting.
    """
    if info.is_table:
        return
    height, width = info.image_shape[1:]
    if crop_size and ENCODERS[name].inputs is not IMAGES and (crop_size, crop_size) != (height, width):
        raise UserError(
            f"{method}.encoder = {name} is built for the images' own {height} x {width}, but {method}.crop_size is "
            f"{crop_size}; set it to {height} or 0, or choose another encoder."
        )
