"""Control: SimCLR on all images; both spaces hold the same vector.

Paper: Chen, Kornblith, Norouzi, Hinton. "A simple framework for contrastive learning of visual representations", ICML
2020, arXiv 2002.05709.

One encoder with a projector is trained with NT-Xent on two random views of every image; it is not told which images are
target. So that the difference to it shows what contrastive analysis adds to plain contrastive learning, views, encoder,
projector, batch and optimizer are SepCLR's rather than the paper's (LARS, larger batches and blur).

Both vectors are the encoder's output before the projector, for background images as for targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import DataForm
from cabench.method import Representation
from cabench.methods.losses.contrastive import nt_xent
from cabench.methods.networks.choices import EncoderName, make_encoder
from cabench.methods.networks.encoders import ProjectedEncoder
from cabench.methods.shared.views import ViewLearner, ViewLearnerConfig
from cabench.search import Log
from cabench.training import Batch, descend


@dataclass(frozen=True)
class SimCLRConfig(ViewLearnerConfig):
    """Defaults: views, encoder, batch and optimizer of SepCLR's CIFAR-MNIST script; temperature of the paper."""

    epochs: int = 250
    batch_size: int = 512
    encoder: EncoderName = setting("small_image_resnet18", help="architecture of the encoder; mlp for tables")
    dimensions: int = setting(32, at_least=1, help="size of the vector, the same for both spaces")
    temperature: float = setting(
        0.5, above=0, search=Log(0.05, 2), help="divisor of the cosines; the paper's best on CIFAR-10"
    )


class SimCLR(ViewLearner):
    """One encoder with a projector, trained by contrast; see the module."""

    name = "simclr"
    version = 2
    Config = SimCLRConfig
    config: SimCLRConfig
    one_space = True

    def build(self, form: DataForm) -> nn.ModuleDict:
        """The encoder and its projector."""
        size = self.config.dimensions
        return nn.ModuleDict(
            {"encoder": ProjectedEncoder(make_encoder(self.config.encoder, form.image_shape, size), size)}
        )

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
        """The encoder's output before the projector, as both vectors."""
        encoded = cast("ProjectedEncoder", self.network["encoder"]).encode(images)
        return Representation(encoded, encoded)
