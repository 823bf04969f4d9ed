"""The networks that methods choose by name, and the examples that each of them takes: images of any shape, or tables.

Others are refused before any work starts. A shape is (channels, height, width) of an image, (features,) of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from cabench.data.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.methods.networks import dcgan, encoders, mlp, vae_conv
from cabench.methods.networks.sizes import SMALLEST_IMAGE

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
ArchitectureName = Literal["sepvae_32", "sepvae_64", "mmcvae_64", "dcgan", "small_dcgan", "mlp"]
Shape = tuple[int, ...]


class Inputs(NamedTuple):
    """The examples that a network takes.

    Attributes:
        words: for messages, e.g. "images of at least 8 x 8".
        include: whether examples of a shape are among them.
    """

    words: str
    include: Callable[[Shape], bool]

    def check(self, setting: str, choice: str, info: DatasetInfo) -> None:
        """Refuse examples of another shape.

        Args:
            setting: the setting that chose the network, e.g. "sepclr.encoder".
            choice: its value, e.g. "sepvae_32".
            info: the data set.

        Raises:
            UserError: naming the setting and what it takes.
        """
        if self.include(info.image_shape):
            return
        if info.is_table:
            found, advice = f"{info.called} holds a table of {info.image_shape[0]} features", f"set {setting}=mlp"
        else:
            height, width = info.image_shape[1:]
            found, advice = (
                f"the images of {info.called} are {height} x {width}",
                "choose another network or larger images",
            )
        raise UserError(f"{setting} = {choice} takes {self.words}, but {found}; {advice}.")


class Encoder(NamedTuple):
    """How to make an encoder.

    Attributes:
        make: takes the shape of an example and the size of the output.
        inputs: the examples that it takes.
        pools: whether it ends with means over places, so that images may have another size than it was built for.
    """

    make: Callable[[Shape, int], nn.Module]
    inputs: Inputs
    pools: bool = False


class Architecture(NamedTuple):
    """How to make an encoder and a decoder.

    Attributes:
        encoder: takes the shape of an example and the latent size; maps examples to a `Posterior`.
        decoder: takes the latent size and that shape; maps (n, size) to images in [0, 1], or to rows of a table.
        inputs: the examples that they take.
    """

    encoder: Callable[[Shape, int], nn.Module]
    decoder: Callable[[int, Shape], nn.Module]
    inputs: Inputs


def _is_image(shape: Shape) -> bool:
    return len(shape) == 3 and min(shape[1:]) >= SMALLEST_IMAGE


IMAGES = Inputs(f"images of at least {SMALLEST_IMAGE} x {SMALLEST_IMAGE}", _is_image)
TABLES = Inputs("rows of a table of features", lambda shape: len(shape) == 1)

ENCODERS: Mapping[str, Encoder] = {
    "small_image_resnet18": Encoder(encoders.small_image_resnet18, IMAGES, pools=True),
    "standard_resnet18": Encoder(encoders.standard_resnet18, IMAGES, pools=True),
    "small_conv": Encoder(encoders.small_conv, IMAGES, pools=True),
    "sepvae_32": Encoder(vae_conv.sepvae_features_32, IMAGES),
    "sepclr_conv_64": Encoder(encoders.sepclr_conv, IMAGES),
    "dcgan": Encoder(dcgan.dcgan_encoder, IMAGES),
    "small_dcgan": Encoder(partial(dcgan.dcgan_encoder, width=16), IMAGES),
    "mlp": Encoder(mlp.mlp, TABLES),
}
ARCHITECTURES: Mapping[str, Architecture] = {
    "sepvae_32": Architecture(vae_conv.sepvae_encoder_32, vae_conv.sepvae_decoder_32, IMAGES),
    "sepvae_64": Architecture(vae_conv.sepvae_encoder_64, vae_conv.sepvae_decoder_64, IMAGES),
    "mmcvae_64": Architecture(vae_conv.mmcvae_encoder, vae_conv.mmcvae_decoder, IMAGES),
    "dcgan": Architecture(dcgan.dcgan_vae_encoder, dcgan.dcgan_decoder, IMAGES),
    "small_dcgan": Architecture(
        partial(dcgan.dcgan_vae_encoder, width=16), partial(dcgan.dcgan_decoder, width=16), IMAGES
    ),
    "mlp": Architecture(mlp.mlp_vae_encoder, mlp.mlp_decoder, TABLES),
}


def make_encoder(name: EncoderName, shape: Shape, size: int) -> nn.Module:
    """An encoder from (n, channels, height, width) images in [0, 1], or (n, features) rows, to (n, size) vectors."""
    return ENCODERS[name].make(shape, size)


def check_encoder(name: EncoderName, info: DatasetInfo, method: str) -> None:
    """Refuse an encoder that does not take the data set's examples.

    Raises:
        UserError: naming the setting.
    """
    ENCODERS[name].inputs.check(f"{method}.encoder", name, info)


def check_architecture(name: ArchitectureName, info: DatasetInfo, method: str) -> None:
    """Refuse an encoder and decoder likewise; see `check_encoder`."""
    ARCHITECTURES[name].inputs.check(f"{method}.architecture", name, info)
