"""The views as kornia makes them, against which ours are held and timed."""

from __future__ import annotations

import torch
from kornia.augmentation import (
    ColorJitter,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
)
from torch import Tensor

from cabench.context import drawing_from
from cabench.methods.shared.views import ViewConfig, view_size


class KorniaViews:
    """One random view of each image; the augmentations keep what they drew last in `_params`."""

    def __init__(self, config: ViewConfig, shape: tuple[int, int, int]) -> None:
        self.crop = RandomResizedCrop(view_size(config, shape), scale=config.crop_scale, cropping_mode="resample")
        self.rotation = RandomRotation(config.rotation, p=0.5)
        self.flip = RandomHorizontalFlip(p=config.flip)
        self.vertical_flip = RandomVerticalFlip(p=config.vertical_flip)
        self.colour = ColorJitter(config.brightness, config.contrast, config.saturation, config.hue, p=1.0)
        self.grey = RandomGrayscale(p=config.grey)
        self.config = config
        self.jittered = False

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        with torch.no_grad(), drawing_from(generator):
            views = self.crop(images)
            if self.config.rotation:
                views = self.rotation(views)
            views = self.flip(views)
            if self.config.vertical_flip:
                views = self.vertical_flip(views)
            self.jittered = bool(torch.rand(()) < self.config.jitter)
            if self.jittered:
                views = self.colour(views)
            if self.config.grey:
                views = self.grey(views)
        return views.contiguous(memory_format=torch.channels_last)
