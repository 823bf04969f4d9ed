"""Random views, and what methods that learn from views share.

Views of images are computed in batches on the images' own device by kornia; rows of a table get noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from kornia.augmentation import (
    ColorJitter,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
)
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cabench.config import ConfigError, Settings, config_title, setting
from cabench.context import drawing_from
from cabench.data.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.methods.networks.choices import ENCODERS
from cabench.methods.shared.pretrained import EncoderConfig, check_start, start_pretrained
from cabench.training import GradientTrainedMethod, TrainingConfig


@dataclass(frozen=True)
class ViewConfig(Settings):
    """How views are drawn. Defaults: SepCLR's CIFAR-MNIST script (card A1).

    Views of a table's rows get Gaussian noise instead: `jitter` is its probability, `brightness` its standard
    deviation. The other settings do not apply to them.
    """

    crop_size: int = setting(
        24, at_least=0, help="height and width of a view, in pixels, at most the image's own; 0 for the image's own"
    )
    crop_scale: tuple[float, float] = setting((0.2, 1.0), above=0, at_most=1, help="range of the cropped part's area")
    rotation: float = setting(0.0, at_least=0, at_most=180, help="largest rotation in degrees, on half of the images")
    flip: float = setting(0.5, at_least=0, at_most=1, help="probability of a horizontal flip, per image")
    vertical_flip: float = setting(
        0.0, at_least=0, at_most=1, added_later=True, help="probability of a vertical flip, per image"
    )
    jitter: float = setting(
        0.8,
        at_least=0,
        at_most=1,
        help="probability of colour jitter or, in a table, of noise, per batch",
    )
    brightness: float = setting(
        0.4, at_least=0, at_most=1, help="strength of brightness jitter or, in a table, the noise's standard deviation"
    )
    contrast: float = setting(0.4, at_least=0, at_most=1, help="strength of contrast jitter")
    saturation: float = setting(0.4, at_least=0, at_most=1, help="strength of saturation jitter; colour images only")
    hue: float = setting(0.1, at_least=0, at_most=0.5, help="strength of hue jitter; colour images only")
    grey: float = setting(0.2, at_least=0, at_most=1, help="probability of turning grey, per image; colour images only")

    def __post_init__(self) -> None:
        """Refuse a range of crops that ends before it starts."""
        super().__post_init__()
        if self.crop_scale[0] > self.crop_scale[1]:
            field = f"{config_title(type(self))}.crop_scale"
            raise ConfigError(f"{field} = {list(self.crop_scale)} is not allowed; the smaller number comes first.")


class RandomViews(nn.Module):
    """Draws one random view of each image, or of each row of a table.

    Views are cropped, rotated with black corners, flipped and changed in colour, in this order. Crops are resampled in
    one batch; colour jitter is for a whole batch or none of it, with parameters for each image. Values stay in
    [0, 1]. kornia draws all parameters on the CPU, whatever device the images are on. Rows get `feature_noise`.
    """

    def __init__(self, config: ViewConfig) -> None:
        super().__init__()
        self.crops: dict[tuple[int, int], RandomResizedCrop] = {}
        self.rotation = RandomRotation(config.rotation, p=0.5)
        self.flip = RandomHorizontalFlip(p=config.flip)
        self.vertical_flip = RandomVerticalFlip(p=config.vertical_flip)
        self.colour = ColorJitter(config.brightness, config.contrast, config.saturation, config.hue, p=1.0)
        self.grey = RandomGrayscale(p=config.grey)
        self.config = config

    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Float32 views of float32 images (n, channels, height, width) in [0, 1].

        They are (n, channels, *view_size).

        Args:
            images: on any device; float32 rows (n, features) of a table keep their shape.
            generator: the CPU generator that all parameters are drawn from.
        """
        if images.ndim == 2:
            return feature_noise(images, self.config.brightness, self.config.jitter, generator)
        with torch.no_grad(), drawing_from(generator):
            views: Tensor = self.crop_for(images)(images)
            if self.config.rotation:
                views = self.rotation(views)
            views = self.flip(views)
            if self.config.vertical_flip:
                views = self.vertical_flip(views)
            if torch.rand(()) < self.config.jitter:
                views = self.colour(views)
            if self.config.grey:
                views = self.grey(views)
        return views.contiguous(memory_format=torch.channels_last)

    def crop_for(self, images: Tensor) -> RandomResizedCrop:
        """The crop to views of their size; made once for each."""
        size = view_size(self.config, images.shape[1:])
        if size not in self.crops:
            # "resample" crops the whole batch at once; kornia's "slice" mode goes image by image.
            self.crops[size] = RandomResizedCrop(size, scale=self.config.crop_scale, cropping_mode="resample")
        return self.crops[size]


def view_size(config: ViewConfig, shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of the views of images of a shape (channels, height, width): never larger than the images."""
    _, height, width = shape
    crop = config.crop_size or max(height, width)
    return min(crop, height), min(crop, width)


def feature_noise(rows: Tensor, deviation: float, probability: float, generator: torch.Generator) -> Tensor:
    """Float32 (n, features) rows with independent Gaussian noise added to every feature, or unchanged.

    Args:
        rows: float32 (n, features) of standardised features, on any device.
        deviation: standard deviation of the noise, in standard deviations of a feature.
        probability: of adding noise, to all rows or none.
        generator: the CPU generator that all is drawn from, so that all devices see the same.
    """
    with drawing_from(generator):
        if torch.rand(()) < probability:
            return rows + deviation * torch.randn(rows.shape).to(rows.device)
    return rows


@dataclass(frozen=True)
class ViewLearnerConfig(ViewConfig, EncoderConfig, TrainingConfig):
    """Views, optimizer and encoder; each method gives its own defaults."""

    learning_rate: float = setting(3e-4, above=0, help="Adam's learning rate, constant")


class ViewLearner(GradientTrainedMethod):
    """A method whose training steps see random views of the images.

    Attributes:
        views: draws them.
    """

    config: ViewLearnerConfig
    takes = ("images", "tables")

    def __init__(self, config: ViewLearnerConfig | None = None) -> None:
        super().__init__(config)
        self.views = RandomViews(self.config)

    def check(self, info: DatasetInfo) -> None:
        """Refuse an encoder, a size of views or colour augmentation that does not fit the images."""
        super().check(info)
        check_start(self.config, info, self.name)
        if not info.is_table:
            self._check_size(info)
            self._check_colours(info)

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam over everything."""
        return {"all": Adam(self.network.parameters(), lr=self.config.learning_rate, fused=True)}

    def warm_start(self) -> None:
        """Load the weights that the encoders start from."""
        start_pretrained(self.network, self.config)

    def _check_size(self, info: DatasetInfo) -> None:
        """Refuse views that differ in size from the images, where the encoder is built for one size."""
        (height, width), encoder = info.image_shape[1:], self.config.encoder
        if not ENCODERS[encoder].pools and view_size(self.config, info.image_shape) != (height, width):
            raise UserError(
                f"{self.name}.encoder = {encoder} is built for the images' own {height} x {width}, but "
                f"{self.name}.crop_size is {self.config.crop_size}; set it to 0, or choose another encoder."
            )

    def _check_colours(self, info: DatasetInfo) -> None:
        """Refuse colour augmentation of grey images."""
        if info.image_shape[0] != 3 and (self.config.saturation or self.config.hue or self.config.grey):
            raise UserError(
                f"{info.called} has grey images, which have no colours to change: "
                f"set {self.name}.saturation, {self.name}.hue and {self.name}.grey to 0."
            )
