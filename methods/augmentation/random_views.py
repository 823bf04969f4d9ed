"""Random views for contrastive learning.

Views of images are computed in batches on the images' own device by kornia; rows of a table get noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.augmentation import (
    ColorJitter,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
)
from torch import Tensor, nn

from cabench.config import ConfigError, Settings, config_title, setting
from cabench.context import drawing_from
from cabench.data.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.methods.augmentation.feature_noise import feature_noise


@dataclass(frozen=True)
class ViewConfig(Settings):
    """How views are drawn. Defaults: SepCLR's CIFAR-MNIST script (card A1).

    Views of a table's rows have Gaussian noise in place of colour jitter, of which `jitter` and `brightness` tell; no
    other setting concerns them.
    """

    crop_size: int = setting(24, at_least=0, help="height and width of a view, in pixels; 0 for the image's own")
    crop_scale: tuple[float, float] = setting((0.2, 1.0), above=0, at_most=1, help="range of the cropped part's area")
    rotation: float = setting(0.0, at_least=0, at_most=180, help="largest rotation in degrees, on half of the images")
    flip: float = setting(0.5, at_least=0, at_most=1, help="probability of a horizontal flip, per image")
    jitter: float = setting(
        0.8,
        at_least=0,
        at_most=1,
        help="probability of colour jitter or, in a table, of noise; one coin per batch (D3)",
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

    def check_colours(self, info: DatasetInfo, method: str) -> None:
        """Refuse colour augmentation of grey images. Rows of a table are never changed in colour.

        Raises:
            UserError: naming the settings.
        """
        if not info.is_table and info.image_shape[0] != 3 and (self.saturation or self.hue or self.grey):
            raise UserError(
                f"{info.name} has grey images, which have no colours to change: "
                f"set {method}.saturation, {method}.hue and {method}.grey to 0."
            )


class RandomViews(nn.Module):
    """Draws one random view of each image, or of each row of a table.

    Views are cropped, rotated with black corners, flipped and changed in colour, in this order. Crops are resampled in
    one batch; a coin per batch decides about colour jitter, whose parameters then differ by
    image. Values stay in [0, 1]. kornia draws all parameters on the CPU, whatever device the images
    are on. Rows of a table get noise, see `feature_noise`.
    """

    def __init__(self, config: ViewConfig) -> None:
        super().__init__()
        self.crops: dict[tuple[int, int], RandomResizedCrop] = {}
        self.rotation = RandomRotation(config.rotation, p=0.5)
        self.flip = RandomHorizontalFlip(p=config.flip)
        self.colour = ColorJitter(config.brightness, config.contrast, config.saturation, config.hue, p=1.0)
        self.grey = RandomGrayscale(p=config.grey)
        self.config = config

    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Float32 views of float32 images (n, channels, height, width) in [0, 1].

        They are (n, channels, crop_size, crop_size), or of the images' own size.

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
            if torch.rand(()) < self.config.jitter:
                views = self.colour(views)
            if self.config.grey:
                views = self.grey(views)
        return views.contiguous(memory_format=torch.channels_last)

    def crop_for(self, images: Tensor) -> RandomResizedCrop:
        """The crop to views of the configured size, or to the images' own; made once for each size."""
        size = (self.config.crop_size or images.shape[2], self.config.crop_size or images.shape[3])
        if size not in self.crops:
            # "resample" crops the whole batch at once; kornia's "slice" mode goes image by image.
            self.crops[size] = RandomResizedCrop(size, scale=self.config.crop_scale, cropping_mode="resample")
        return self.crops[size]
