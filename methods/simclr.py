"""Control: SimCLR on all images, the same vector in both spaces.

Paper: Chen, Kornblith, Norouzi, Hinton. "A simple framework for contrastive learning of visual representations", ICML
2020, arXiv 2002.05709.

One encoder with a projector is trained with NT-Xent on two random views of every image, background and target alike; it
does not know which is which. What a contrastive analysis method adds to plain contrastive learning shows in the
difference, for which views, encoder, projector, batch and optimizer are SepCLR's rather than the paper's (LARS, larger
batches and blur).

The representation is the encoder's output before the projector, given twice. A background image's salient vector is
that output, like any other's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import DataForm, DatasetInfo
from cabench.method import Representation
from cabench.methods.augmentation.random_views import RandomViews, ViewConfig
from cabench.methods.losses.contrastive import nt_xent
from cabench.methods.networks.choices import EncoderName, check_encoder, check_views, make_encoder
from cabench.methods.networks.encoders import ProjectedEncoder
from cabench.training import Batch, GradientTrainedMethod, TrainingConfig, descend


@dataclass(frozen=True)
class SimCLRConfig(ViewConfig, TrainingConfig):
    """Defaults: views, encoder, batch and optimizer of SepCLR's CIFAR-MNIST script; temperature of the paper."""

    epochs: int = 250
    batch_size: int = 512
    learning_rate: float = setting(3e-4, above=0, help="of Adam, constant")
    encoder: EncoderName = setting("small_image_resnet18", help="architecture of the encoder; mlp for tables")
    dimensions: int = setting(32, at_least=1, help="size of the vector that stands for both spaces")
    temperature: float = setting(0.5, above=0, help="divisor of the cosines; the paper's best on CIFAR-10")


class SimCLR(GradientTrainedMethod):
    """One encoder with a projector, trained by contrast; see the module."""

    name = "simclr"
    version = 1
    Config = SimCLRConfig
    config: SimCLRConfig
    takes_tables = True

    def __init__(self, config: SimCLRConfig | None = None) -> None:
        super().__init__(config)
        self.views = RandomViews(self.config)

    def check(self, info: DatasetInfo) -> None:
        """Refuse an encoder or views that the images do not fit."""
        super().check(info)
        check_encoder(self.config.encoder, info, self.name)
        check_views(self.config.encoder, self.config.crop_size, info, self.name)
        self.config.check_colours(info, self.name)

    def build(self, form: DataForm) -> nn.ModuleDict:
        """The encoder and its projector."""
        size = self.config.dimensions
        return nn.ModuleDict(
            {"encoder": ProjectedEncoder(make_encoder(self.config.encoder, form.image_shape, size), size)}
        )

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam over everything."""
        return {"all": Adam(self.network.parameters(), lr=self.config.learning_rate, fused=True)}

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """One step on two random views of every image."""
        images = torch.cat([background.images, target.images])
        views = [self.views(images, context.randomness.augmentation) for _ in range(2)]
        with context.autocast():
            first, second = (self.network["encoder"](view) for view in views)
        loss = nt_xent(first, second, self.config.temperature)
        descend(self.optimizers["all"], loss)
        return {"total": loss}

    def represent(self, images: Tensor) -> Representation:
        """The encoder's output, before the projector, twice."""
        encoded = cast("ProjectedEncoder", self.network["encoder"]).encode(images)
        return Representation(encoded, encoded)
