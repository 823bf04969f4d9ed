"""Random views, and what methods that learn from views share.

Views of images are computed in batches on the images' own device; rows of a table get noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from cabench.config import ConfigError, Settings, config_title, setting
from cabench.data.dataset import DatasetInfo
from cabench.errors import UserError
from cabench.methods.networks.choices import ENCODERS
from cabench.methods.shared.pretrained import EncoderConfig, check_start, start_pretrained
from cabench.methods.shared.view_colours import JITTER, Colours, turn_grey
from cabench.methods.shared.view_geometry import (
    Geometry,
    compose,
    crop,
    crop_and_rotate,
    draw_angles,
    draw_boxes,
    draw_signs,
)
from cabench.search import Log
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


class ViewParameters(NamedTuple):
    """What a batch of n views is made with.

    Attributes:
        geometry: crop, rotation and flips of each image.
        colours: the change of colour of each image.
        jitter: the steps of colour jitter, in order, as `JITTER` calls them; none in a batch without.
    """

    geometry: Geometry
    colours: Colours
    jitter: tuple[str, ...]

    def on(self, device: torch.device) -> ViewParameters:
        """The same with tensors (n, 1, 1, 1) on a device, out of tensors (n,) on the CPU: in one transfer."""
        packed = torch.stack([*self.geometry, *self.colours])
        # By CUDA's programming guide, up to 64 KB (1,260 images) are taken without a wait; pinning would gain nothing.
        moved = packed.to(device, non_blocking=True)[:, :, None, None, None].unbind()
        parts = len(Geometry._fields)
        return ViewParameters(Geometry(*moved[:parts]), Colours(*moved[parts:]), self.jitter)


class RandomViews:
    """Draws one random view of each image, or of each row of a table.

    Views are cropped, rotated with black corners, flipped and changed in colour, in this order. Each image has its own
    parameters; whether colours are jittered, and in which order of steps, is drawn for a whole batch. Values stay in
    [0, 1]. Parameters are drawn on the CPU, so that all devices see the same, and moved at once; nothing waits for the
    device. In distribution, views are those of kornia 0.9's `RandomResizedCrop`, `RandomRotation`,
    `RandomHorizontalFlip`, `RandomVerticalFlip`, `ColorJitter` and `RandomGrayscale` in a row, but that rotated ones
    are interpolated once and not twice. Rows get `feature_noise`.
    """

    def __init__(self, config: ViewConfig) -> None:
        self.config = config

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Float32 views of float32 images (n, channels, height, width) in [0, 1].

        They are (n, channels, *view_size), in channels-last memory.

        Args:
            images: on any device; float32 rows (n, features) of a table keep their shape.
            generator: the CPU generator that all parameters are drawn from.
        """
        if images.ndim == 2:
            return feature_noise(images, self.config.brightness, self.config.jitter, generator)
        with torch.no_grad():
            return self.make(images, self.draw(images.shape, generator).on(images.device))

    def draw(self, shape: Sequence[int], generator: torch.Generator) -> ViewParameters:
        """Parameters, on the CPU, for images of a shape (n, channels, height, width)."""
        config, n, size = self.config, shape[0], (shape[2], shape[3])
        geometry = compose(
            draw_boxes(n, size, config.crop_scale, generator),
            draw_angles(n, config.rotation, generator),
            draw_signs(n, config.flip, generator),
            draw_signs(n, config.vertical_flip, generator),
            size,
            view_size(config, shape[1:]),
        )
        colours = Colours(
            brightness=draw_around(1, config.brightness, n, generator),
            contrast=draw_around(1, config.contrast, n, generator),
            saturation=draw_around(1, config.saturation, n, generator),
            hue=draw_around(0, config.hue, n, generator),
            grey=(torch.rand(n, generator=generator) < config.grey).float(),
        )
        jittered = bool(torch.rand((), generator=generator) < config.jitter)
        steps = [list(JITTER)[i] for i in torch.randperm(len(JITTER), generator=generator).tolist()]
        return ViewParameters(geometry, colours, tuple(step for step in steps if jittered and getattr(config, step)))

    def make(self, images: Tensor, parameters: ViewParameters) -> Tensor:
        """The views that parameters on the images' device describe."""
        resample = crop_and_rotate if self.config.rotation else crop
        views = resample(images, parameters.geometry, view_size(self.config, images.shape[1:]))
        for step in parameters.jitter:
            views = JITTER[step](views, getattr(parameters.colours, step))
        if self.config.grey:
            views = turn_grey(views, parameters.colours.grey)
        # Weights of an interpolation, or of the luma, add up to 1 but for rounding.
        return views.clamp_(0, 1).contiguous(memory_format=torch.channels_last)


def draw_around(centre: float, strength: float, n: int, generator: torch.Generator) -> Tensor:
    """Float32 (n,) uniform numbers that differ from `centre` by at most `strength`, from a CPU generator."""
    return torch.empty(n).uniform_(centre - strength, centre + strength, generator=generator)


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
    if torch.rand((), generator=generator) < probability:
        return rows + deviation * torch.randn(rows.shape, generator=generator).to(rows.device, non_blocking=True)
    return rows


@dataclass(frozen=True)
class ViewLearnerConfig(ViewConfig, EncoderConfig, TrainingConfig):
    """Views, optimizer and encoder; each method gives its own defaults."""

    learning_rate: float = setting(3e-4, above=0, search=Log(1e-4, 1e-2), help="Adam's learning rate, constant")


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
