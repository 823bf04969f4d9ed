"""SepCLR with known salient attributes: each salient dimension follows one attribute of the target images.

Paper: Louiset, Duchesnay, Grigis, Gori. "Separating common from salient patterns with Contrastive Representation
Learning", ICLR 2024, arXiv 2402.11928. Reproduced: the released script for dSprites on digits (commit 0e40bff), whose
values are the defaults of `SepCLRSupervisedConfig`.

With c the normalised common vector of an image, c' that of a random view of it, s the salient vector of the image as
it is, s~ the same with background rows replaced by zero, and a_i the i-th of m salient attributes:

    L   = L_c + salient_weight L_s + independence_weight joint_entropy(c, s~)
    L_c = alignment(c, c') + [uniformity(c) + uniformity(c')] / 2
    L_s = 1/m sum_i { uniformity(s~_i) + [A_i + R_i] / 2 }
    A_i = attribute_alignment(s_i, a_i) on targets, of width `attribute_temperature`; for classes: equal or not
    R_i = mean s_i^2 / (2 tau) on background, with tau = `temperature` for a class, `attribute_temperature` for a real a

Kept as released: attributes in their own units, not standardised, so that `attribute_temperature` suits values that
range over about 1; a pull of background towards zero that is twenty times as strong for real attributes as for classes;
uniformity that includes background rows, at zero; no random views for the salient encoder; strong noise on views,
which is not clamped.

In a table, views differ only by this noise as long as `jitter` is 0.

Deviations: the release has five attributes, here their number is the data set's; pairs with an undefined attribute are
left out of A_i; the released script's unused weight of the background pull is left out; each step sees equal halves of
background and target; representations are taken in eval mode; networks may run in bf16, losses in float32.

The representation is the encoders' output; there is no projector. The salient vector of a background image is the
salient encoder's output for it: R pulls it to zero, but nothing forces it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import Attribute, DataForm, DatasetInfo
from cabench.errors import UserError
from cabench.method import Representation
from cabench.methods.losses.contrastive import (
    SAME_CLASS_DIVISOR,
    alignment,
    attribute_alignment,
    empty_background,
    information_less,
    uniformity,
)
from cabench.methods.losses.kernels import joint_entropy
from cabench.methods.losses.labels import UNDEFINED
from cabench.methods.networks.choices import EncoderName, make_encoder
from cabench.methods.shared.views import ViewLearner, ViewLearnerConfig
from cabench.search import Log
from cabench.training import Batch, descend, weighted_sum

NOISY = 0.5  # probability that a view gets noise, per image


@dataclass(frozen=True)
class SepCLRSupervisedConfig(ViewLearnerConfig):
    """Defaults: the released script for dSprites on digits (card A2)."""

    epochs: int = 250
    batch_size: int = 1024
    encoder: EncoderName = "sepclr_conv_64"
    d_common: int = setting(32, at_least=1, help="size of the common vector")
    salient_weight: float = setting(100.0, at_least=0, search=Log(1, 1e4), help="weight of the salient terms")
    independence_weight: float = setting(10.0, at_least=0, search=Log(0.1, 1e3), help="weight of the k-JEM term")
    temperature: float = setting(0.5, above=0, search=Log(0.1, 2), help="tau of the kernels")
    attribute_temperature: float = setting(
        0.025, above=0, search=Log(0.005, 0.5), help="tau_y, in squared units of the real attributes"
    )
    crop_size: int = 64
    crop_scale: tuple[float, float] = (0.5, 1.0)
    rotation: float = 25.0
    jitter: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    noise: float = setting(1.0, at_least=0, help="standard deviation of the noise added to half of the views")


class SepCLRSupervised(ViewLearner):
    """Two encoders; the salient one has an output for each salient attribute; see the module."""

    name = "sepclr_supervised"
    version = 2
    Config = SepCLRSupervisedConfig
    config: SepCLRSupervisedConfig
    supervised = True

    def check(self, info: DatasetInfo) -> None:
        """Refuse a data set without salient attributes, and what does not fit the images."""
        if not salient_attributes(info.form):
            raise UserError(f"{self.name} learns salient attributes, but {info.called} has none.")
        super().check(info)

    def build(self, form: DataForm) -> nn.ModuleDict:
        """The common and the salient encoder."""
        sizes = {"common": self.config.d_common, "salient": len(salient_attributes(form))}
        return nn.ModuleDict(
            {space: make_encoder(self.config.encoder, form.image_shape, size) for space, size in sizes.items()}
        )

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """One step on every image as it is, and on a random view of it."""
        images = torch.cat([background.images, target.images])
        views = self._with_noise(self.views(images, context.randomness.augmentation), context.randomness.noise)
        with context.autocast():
            common, viewed, salient = (
                self.network[space](x).float()
                for space, x in (("common", images), ("common", views), ("salient", images))
            )
        terms = self.loss_terms(
            normalize(common), normalize(viewed), salient, len(background.images), target.attributes
        )
        descend(self.optimizers["all"], terms["total"])
        return terms

    def loss_terms(
        self, common: Tensor, viewed: Tensor, salient: Tensor, backgrounds: int, attributes: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The unweighted terms of L, and L itself as "total".

        Args:
            common: (n, d_common), normalised, of the images as they are.
            viewed: (n, d_common), normalised, of a random view of each.
            salient: (n, attributes), of the images as they are.
            backgrounds: how many of the rows, from the first, are background images.
            attributes: of the target rows, by name.
        """
        tau = self.config.temperature
        emptied = empty_background(salient, backgrounds)
        dimensions = [
            uniformity(emptied[:, i, None], tau)
            + (
                self._follow(attribute, salient[backgrounds:, i], attributes[attribute.name])
                + self._pull(attribute, salient[:backgrounds, i])
            )
            / 2
            for i, attribute in enumerate(salient_attributes(self.form))
        ]
        terms = {
            "common": alignment(common, viewed, tau) + (uniformity(common, tau) + uniformity(viewed, tau)) / 2,
            "salient": torch.stack(dimensions).mean(),
            "independence": joint_entropy(common, emptied, tau),
        }
        return {"total": weighted_sum(terms, self.config), **terms}

    def represent(self, images: Tensor) -> Representation:
        """The outputs of both encoders."""
        return Representation(self.network["common"](images), self.network["salient"](images))

    def _follow(self, attribute: Attribute, salient: Tensor, values: Tensor) -> Tensor:
        """A_i: draws target images that are alike in the attribute (n,) together along its dimension (n,)."""
        if attribute.kind == "real":
            return attribute_alignment(salient, values, 2 * self.config.attribute_temperature)
        known = torch.where(values == UNDEFINED, torch.nan, values.to(salient.dtype))
        return attribute_alignment(salient, known, SAME_CLASS_DIVISOR)

    def _pull(self, attribute: Attribute, salient: Tensor) -> Tensor:
        """R_i: draws background images to zero along the dimension (n,)."""
        config = self.config
        tau = config.temperature if attribute.kind == "class" else config.attribute_temperature
        return information_less(salient[:, None], tau)

    def _with_noise(self, views: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.rand(len(views), *[1] * (views.ndim - 1), generator=generator, device=views.device) < NOISY
        noise = torch.randn(views.shape, generator=generator, device=views.device)
        return views + self.config.noise * chosen * noise


def salient_attributes(form: DataForm) -> list[Attribute]:
    """The salient attributes of a data set, in its order; each has one salient dimension."""
    return [attribute for attribute in form.attributes if attribute.space == "salient"]
