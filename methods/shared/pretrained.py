"""Encoders, and the weights that they may start from: torchvision's for ImageNet, or those of a file of one's own.

SepCLR's scripts for CheXpert and ODIR start from torchvision's `resnet18(pretrained=True)` (card A1), on images that
are not normalised. All is loaded but the last layer, `fc`, whose size is the method's: its weights stay drawn.

Deviation: the scripts repeat a grey image in three channels. Here the first layer has one, with the sum of the
published weights over their three inputs. That is the same function of the image until training changes it: there, each
of the three weights takes a step of its own.

Equal configurations mean equal weights. "imagenet" becomes `IMAGENET` in a configuration, which names the file's hash;
the name of a file of one's own ends in that of its content.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from cabench.config import ConfigError, Settings, config_title, setting
from cabench.data.dataset import DatasetInfo
from cabench.data.weights import (
    MisfitError,
    check_digits,
    load_but_head,
    obtain_published,
    published_path,
    read_weights,
)
from cabench.errors import UserError
from cabench.methods.networks.choices import EncoderName, check_encoder

PRETRAINABLE = "standard_resnet18"
SHA256 = "f37072fd"  # the first digits, of torchvision's IMAGENET1K_V1
IMAGENET = f"imagenet-{SHA256}"
IMAGENET_URL = f"https://download.pytorch.org/models/resnet18-{SHA256}.pth"
SUFFIX = ".pth"


@dataclass(frozen=True)
class EncoderConfig(Settings):
    """The architecture of a method's encoders, and what they start from."""

    encoder: EncoderName = setting("small_image_resnet18", help="architecture of both encoders; mlp for tables")
    weights: str = setting(
        "",
        added_later=True,
        help="that standard_resnet18 starts from: imagenet, or a .pth file of one's own; drawn where it is not set",
    )

    def __post_init__(self) -> None:
        """Give ImageNet's weights their full name, and refuse what is neither they nor called like a file."""
        super().__post_init__()
        if self.weights == "imagenet":
            object.__setattr__(self, "weights", IMAGENET)
        if self.weights not in ("", IMAGENET) and not self.weights.endswith(SUFFIX):
            field = f"{config_title(type(self))}.weights"
            raise ConfigError(
                f"{field} = {self.weights!r} is not allowed; it takes imagenet, or the path of a {SUFFIX} file."
            )


def check_start(config: EncoderConfig, info: DatasetInfo, method: str) -> None:
    """Refuse an encoder that does not take the data set's examples, or that does not start from the weights.

    Raises:
        UserError: naming the setting; for a file of one's own also as `check_digits`.
    """
    check_encoder(config.encoder, info, method)
    if not config.weights:
        return
    if config.encoder != PRETRAINABLE:
        raise UserError(
            f"{method}.weights = {config.weights} is for {PRETRAINABLE} alone, but {method}.encoder is "
            f"{config.encoder}; set {method}.encoder={PRETRAINABLE}, or leave {method}.weights out."
        )
    if config.weights != IMAGENET:
        check_digits(Path(config.weights))


def start_pretrained(network: nn.Module, config: EncoderConfig) -> None:
    """Give every ResNet-18 in a network the weights that the configuration names; where it names none, do nothing.

    Raises:
        UserError: when they cannot be downloaded or read, or belong to another architecture.
    """
    if not config.weights:
        return
    path = _obtain(config.weights)
    check_digits(path)
    from torchvision.models import ResNet  # Late: importing torchvision takes a second and a half.

    for encoder in network.modules():
        if isinstance(encoder, ResNet):
            _load(encoder, path)


def _obtain(weights: str) -> Path:
    if weights != IMAGENET:
        return Path(weights)
    return obtain_published("resnet18", IMAGENET_URL, f"put it in {published_path(IMAGENET_URL).parent}")


def _load(encoder: nn.Module, path: Path) -> None:
    """Give one ResNet-18 all weights of a file but the last layer's."""
    state = read_weights(path)
    first = state.get("conv1.weight")
    if first is not None and first.ndim == 4 and encoder.get_parameter("conv1.weight").shape[1] == 1:
        state["conv1.weight"] = first.sum(1, keepdim=True)
    try:
        load_but_head(encoder, "fc", state)
    except MisfitError as error:
        raise UserError(
            f"{path} does not hold the weights of torchvision's resnet18 ({error}); give a state dict of this network."
        ) from error
