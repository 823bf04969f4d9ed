"""SepCLR: contrastive learning of a common space on a sphere and a salient space that background images leave empty.

Paper: Louiset, Duchesnay, Grigis, Gori. "Separating common from salient patterns with Contrastive Representation
Learning", ICLR 2024, arXiv 2402.11928. Reproduced: the unsupervised variant with the k-JEM term, as the released
CIFAR-MNIST script does it (commit 0e40bff); the defaults of `SepCLRConfig` are that script's.

With c common and s salient heads of two random views, and s~ the salient heads with those of background images
replaced by zero (s' in the paper, the salient vector that carries no information):

    L = alignment(c1, c2) + uniformity_weight mean_k uniformity(c_k)
      + salient_weight [alignment(s1, s2 of targets) + uniformity_weight mean_k uniformity(s~_k)]
      + information_less_weight mean_k information_less(s_k of background)
      + independence_weight mean_k joint_entropy(c_k, s~_k)

Kept as released: uniformity over the whole batch with zeroed background rows (it cannot fall below about -1.39 at
equal halves), self-pairs in k-JEM, one coin per batch for colour jitter, training on smaller crops than are encoded.

Deviations: each step sees equal halves of background and target instead of a random mix; networks may run in bf16,
losses in float32; crops are resampled in one batch instead of cut image by image; representations are taken in eval
mode on every data set; views are drawn on the training device.

The representation is the encoders' output before the projectors. The salient vector of a background image is the
salient encoder's output for it: training pulls its projection towards zero, nothing forces it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.optim import Adam, Optimizer

from cabench.config import setting
from cabench.context import FitContext
from cabench.dataset import SPACES, DatasetInfo
from cabench.errors import UserError
from cabench.method import Representation
from cabench.methods.augmentation.random_views import RandomViews, ViewConfig
from cabench.methods.losses.contrastive import alignment, uniformity
from cabench.methods.losses.information_less import information_less
from cabench.methods.losses.joint_entropy import joint_entropy
from cabench.methods.networks.encoders import EncoderName, check_encoder, make_encoder
from cabench.training import GradientTrainedMethod, TrainingConfig, descend

PROJECTOR_WIDTH = 128


@dataclass(frozen=True)
class SepCLRConfig(ViewConfig, TrainingConfig):
    """Defaults: the released CIFAR-MNIST script, 2024-02-16 (card A1)."""

    epochs: int = setting(250, at_least=1, help="passes over the training images")
    batch_size: int = setting(512, at_least=4, help="images a step, half of them background")
    learning_rate: float = setting(3e-4, above=0, help="of Adam, constant")
    encoder: EncoderName = setting("small_image_resnet18", help="architecture of both encoders")
    d_common: int = setting(32, at_least=1, help="size of the common vector")
    d_salient: int = setting(32, at_least=1, help="size of the salient vector")
    uniformity_weight: float = setting(2.0, at_least=0, help="of uniformity relative to alignment, in both spaces")
    salient_weight: float = setting(1000.0, at_least=0, help="lambda_s, of the salient contrastive term")
    information_less_weight: float = setting(1000.0, at_least=0, help="lambda_r, pull of background towards zero")
    independence_weight: float = setting(10.0, at_least=0, help="lambda_j, of the k-JEM term")
    temperature: float = setting(0.5, above=0, help="tau of all kernels")


class Heads(NamedTuple):
    """Projected vectors of one view: common (n, d_common), normalised; salient (n, d_salient), raw."""

    common: Tensor
    salient: Tensor


class Branch(nn.Module):
    """An encoder and the projector on top of its output."""

    def __init__(self, encoder: nn.Module, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = nn.Sequential(
            nn.Linear(size, PROJECTOR_WIDTH),
            nn.BatchNorm1d(PROJECTOR_WIDTH),
            nn.ReLU(),
            nn.Linear(PROJECTOR_WIDTH, size),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Projected (n, size) vectors of (n, channels, height, width) images."""
        projected: Tensor = self.projector(self.encode(images))
        return projected

    def encode(self, images: Tensor) -> Tensor:
        """The (n, size) vectors that are projected: the representation."""
        encoded: Tensor = self.encoder(images)
        return encoded


class SepCLR(GradientTrainedMethod):
    """Two separate encoders with projectors, trained by contrast; see the module."""

    name = "sepclr"
    version = 1
    Config = SepCLRConfig
    config: SepCLRConfig

    def __init__(self, config: SepCLRConfig | None = None) -> None:
        super().__init__(config)
        self.views = RandomViews(self.config)

    def check(self, info: DatasetInfo) -> None:
        """Refuse an encoder or colour augmentation that the images do not fit."""
        super().check(info)
        check_encoder(self.config.encoder, info, self.name)
        if self.config.encoder == "sepvae_32" and self.config.crop_size != 32:
            raise UserError(
                f"sepclr.encoder = sepvae_32 takes views of 32 x 32, but sepclr.crop_size is {self.config.crop_size}; "
                "set it to 32 or choose another encoder."
            )
        self.config.check_colours(info, self.name)

    def build(self, image_shape: tuple[int, int, int]) -> nn.ModuleDict:
        """The common and the salient branch."""
        sizes = {"common": self.config.d_common, "salient": self.config.d_salient}
        return nn.ModuleDict(
            {
                space: Branch(make_encoder(self.config.encoder, image_shape[0], size), size)
                for space, size in sizes.items()
            }
        )

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam over everything."""
        return {"all": Adam(self.network.parameters(), lr=self.config.learning_rate, fused=True)}

    def training_step(self, background: Tensor, target: Tensor, context: FitContext) -> dict[str, Tensor]:
        """One step on two random views of every image."""
        images = torch.cat([background, target])
        first, second = (self._heads(self.views(images, context.randomness.augmentation), context) for _ in range(2))
        terms = self.loss_terms(first, second, len(background))
        descend(self.optimizers["all"], terms["total"])
        return {name: term.detach() for name, term in terms.items()}

    def loss_terms(self, first: Heads, second: Heads, backgrounds: int) -> dict[str, Tensor]:
        """The unweighted terms of L, and L itself as "total".

        Args:
            first: heads of one view.
            second: heads of the other view of the same images.
            backgrounds: how many of the rows, from the first, are background images.
        """
        config, tau = self.config, self.config.temperature
        emptied = [empty_background(heads.salient, backgrounds) for heads in (first, second)]
        common = alignment(first.common, second.common, tau) + config.uniformity_weight * _mean(
            uniformity(first.common, tau), uniformity(second.common, tau)
        )
        salient = alignment(
            first.salient[backgrounds:], second.salient[backgrounds:], tau
        ) + config.uniformity_weight * _mean(uniformity(emptied[0], tau), uniformity(emptied[1], tau))
        empty = _mean(*(information_less(heads.salient[:backgrounds], tau) for heads in (first, second)))
        independence = _mean(*(joint_entropy(h.common, s, tau) for h, s in zip((first, second), emptied, strict=True)))
        total = (
            common
            + config.salient_weight * salient
            + config.information_less_weight * empty
            + config.independence_weight * independence
        )
        return {
            "total": total,
            "common": common,
            "salient": salient,
            "information_less": empty,
            "independence": independence,
        }

    def represent(self, images: Tensor) -> Representation:
        """The encoders' outputs, before the projectors."""
        common, salient = (cast("Branch", self.network[space]) for space in SPACES)
        return Representation(common.encode(images), salient.encode(images))

    def _heads(self, images: Tensor, context: FitContext) -> Heads:
        with context.autocast():
            common, salient = self.network["common"](images), self.network["salient"](images)
        return Heads(normalize(common.float()), salient.float())


def empty_background(salient: Tensor, backgrounds: int) -> Tensor:
    """`salient` (n, d) with its first `backgrounds` rows, those of background images, replaced by zero (s~)."""
    return torch.cat([torch.zeros_like(salient[:backgrounds]), salient[backgrounds:]])


def _mean(first: Tensor, second: Tensor) -> Tensor:
    return (first + second) / 2
