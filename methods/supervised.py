"""Control: encoders trained on the labels, an upper bound of what an encoder could learn.

It is not a contrastive analysis method: it learns every attribute that a space should hold; nuisances it leaves alone.
The common encoder learns all common attributes from background and target images; the salient encoder learns all
salient attributes from target images, and to tell target from background. Each attribute has a linear head on the
representation. Classes are learned by cross-entropy, real values by squared error relative to their variance, all with
equal weight, where defined.

Nothing keeps an attribute out of the space where it does not belong: the scores that should be at chance show what an
encoder retains without being trained to. There is no augmentation.

The representation is the encoders' output. The salient vector of a background image is the salient encoder's output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import SPACES, Attribute, DataForm, DatasetInfo
from cabench.method import Representation
from cabench.methods.losses.labels import class_error, real_error
from cabench.methods.networks.choices import make_encoder
from cabench.methods.shared.pretrained import EncoderConfig, check_start, start_pretrained
from cabench.search import Log
from cabench.training import Batch, GradientTrainedMethod, TrainingConfig, descend

IS_TARGET = Attribute("is_target", "salient", "class", ("background", "target"))


@dataclass(frozen=True)
class SupervisedConfig(EncoderConfig, TrainingConfig):
    """Defaults: SepCLR's encoders; the budget is this project's choice."""

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = setting(1e-3, above=0, search=Log(1e-4, 1e-2), help="Adam's learning rate, constant")
    d_common: int = setting(32, at_least=1, help="size of the common vector")
    d_salient: int = setting(32, at_least=1, help="size of the salient vector")


class Supervised(GradientTrainedMethod):
    """Two encoders with a linear head for each attribute; see the module."""

    name = "supervised"
    version = 1
    Config = SupervisedConfig
    config: SupervisedConfig
    takes = ("images", "tables")
    supervised = True

    def check(self, info: DatasetInfo) -> None:
        """Refuse examples that the encoder does not take."""
        super().check(info)
        check_start(self.config, info, self.name)

    def build(self, form: DataForm) -> nn.ModuleDict:
        """A common and a salient encoder, and the heads."""
        sizes = {"common": self.config.d_common, "salient": self.config.d_salient}
        encoders = {space: make_encoder(self.config.encoder, form.image_shape, size) for space, size in sizes.items()}
        heads = nn.ModuleList(
            nn.Linear(sizes[attribute.space], max(len(attribute.classes), 1))
            for attribute in (*_learned(form), IS_TARGET)
        )
        return nn.ModuleDict({**encoders, "heads": heads})

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam over everything."""
        return {"all": Adam(self.network.parameters(), lr=self.config.learning_rate, fused=True)}

    def warm_start(self) -> None:
        """Load the weights that the encoders start from."""
        start_pretrained(self.network, self.config)

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """One step on all attributes but nuisances; the salient ones of background images are ignored."""
        images, backgrounds = torch.cat([background.images, target.images]), len(background.images)
        with context.autocast():
            vectors = {space: self.network[space](images).float() for space in SPACES}
        is_target = (torch.arange(len(images), device=images.device) >= backgrounds).long()
        errors = {}
        heads = cast("nn.ModuleList", self.network["heads"])
        for attribute, head in zip((*_learned(self.form), IS_TARGET), heads, strict=True):
            if attribute is IS_TARGET:
                rows, labels = vectors["salient"], is_target
            elif attribute.space == "salient":
                rows, labels = vectors["salient"][backgrounds:], target.attributes[attribute.name]
            else:
                rows = vectors["common"]
                labels = torch.cat([batch.attributes[attribute.name] for batch in (background, target)])
            errors[attribute.name] = _error(attribute, head(rows), labels)
        total = torch.stack(list(errors.values())).sum()
        descend(self.optimizers["all"], total)
        return errors | {"total": total}

    def represent(self, images: Tensor) -> Representation:
        """The outputs of both encoders."""
        return Representation(self.network["common"](images), self.network["salient"](images))


def _learned(form: DataForm) -> list[Attribute]:
    """The attributes that belong to a space, in the data set's order: nuisances do not."""
    return [attribute for attribute in form.attributes if attribute.space != "nuisance"]


def _error(attribute: Attribute, predictions: Tensor, labels: Tensor) -> Tensor:
    """The error of a head's (n, classes) or (n, 1) predictions of the labels (n,)."""
    return class_error(predictions, labels) if attribute.kind == "class" else real_error(predictions[:, 0], labels)
