"""SepCLR: contrastive learning of a common space on a sphere and a salient space that background images leave empty.

Paper: Louiset, Duchesnay, Grigis, Gori. "Separating common from salient patterns with Contrastive Representation
Learning", ICLR 2024, arXiv 2402.11928. Reproduced: the unsupervised variant with the k-JEM term, as the released
CIFAR-MNIST script does it (commit 0e40bff); the defaults of `SepCLRConfig` are that script's.

With c common and s salient heads of two random views, and s~ the salient heads with those of background images
replaced by zero (s' in the paper, the salient vector that carries no information):

    L = alignment(c1, c2) + uniformity_weight mean_k uniformity(c_k)
      + salient_weight [alignment(s1, s2 of targets) + uniformity_weight mean_k uniformity(s~_k)]
      + information_less_weight mean_k information_less(s_k of background)
      + independence_weight mean_k independence(c_k, s~_k)

The independence term is k-JEM, `joint_entropy`, as released. `independence` chooses another (see
`shared/independence.py`): `none`, `mmd` (HSIC), `total-correlation`, `vclub`, `vub` or `vl1out`, which the paper
discusses and the release does not contain. A term with a critic updates the critic first in each step, on vectors that
carry no gradient and with an Adam of its own at the same learning rate.

The scripts for CheXpert and ODIR start from ImageNet's weights: see `weights` and `shared/pretrained.py`.

Kept as released: uniformity over the whole batch with zeroed background rows (it cannot fall below about -1.39 at
equal halves), self-pairs in k-JEM, colour jitter for a whole batch or not at all, training on smaller crops.

Deviations: each step sees equal halves of background and target instead of a random mix; networks may run in bf16,
losses in float32; crops are resampled in one batch instead of cut image by image; representations are taken in eval
mode on every data set; views are drawn on the training device.

The representation is the encoders' output before the projectors. The salient vector of a background image is the
salient encoder's output for it: training pulls its projection towards zero, but nothing forces it there.
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
from cabench.data.dataset import SPACES, DataForm
from cabench.method import Representation
from cabench.methods.losses.contrastive import alignment, empty_background, information_less, uniformity
from cabench.methods.networks.choices import make_encoder
from cabench.methods.networks.encoders import ProjectedEncoder
from cabench.methods.shared.independence import Critic, IndependenceName, make_independence
from cabench.methods.shared.views import ViewLearner, ViewLearnerConfig
from cabench.search import Log
from cabench.training import Batch, descend, weighted_sum


@dataclass(frozen=True)
class SepCLRConfig(ViewLearnerConfig):
    """Defaults: the released CIFAR-MNIST script, 2024-02-16 (card A1)."""

    epochs: int = 250
    batch_size: int = 512
    d_common: int = setting(32, at_least=1, help="size of the common vector")
    d_salient: int = setting(32, at_least=1, help="size of the salient vector")
    uniformity_weight: float = setting(2.0, at_least=0, help="uniformity relative to alignment, in both spaces")
    salient_weight: float = setting(
        1000.0, at_least=0, search=Log(1, 1e4), help="lambda_s, of the salient contrastive term"
    )
    information_less_weight: float = setting(
        1000.0, at_least=0, search=Log(1, 1e4), help="lambda_r, pull of background towards zero"
    )
    independence: IndependenceName = setting("k-jem", help="what keeps common and salient vectors independent")
    independence_weight: float = setting(
        10.0, at_least=0, search=Log(0.1, 1e3), help="lambda_j, of the independence term"
    )
    temperature: float = setting(0.5, above=0, search=Log(0.1, 2), help="tau of all kernels")


class Heads(NamedTuple):
    """Projected vectors of one view: common (n, d_common), normalised; salient (n, d_salient), raw."""

    common: Tensor
    salient: Tensor


class SepCLR(ViewLearner):
    """Two separate encoders with projectors, trained by contrast; see the module."""

    name = "sepclr"
    version = 3
    Config = SepCLRConfig
    config: SepCLRConfig

    def build(self, form: DataForm) -> nn.ModuleDict:
        """The common branch, the salient branch, and the independence term with its critic if it has one."""
        sizes = {"common": self.config.d_common, "salient": self.config.d_salient}
        modules: dict[str, nn.Module] = {
            space: ProjectedEncoder(make_encoder(self.config.encoder, form.image_shape, size), size)
            for space, size in sizes.items()
        }
        modules["independence"] = make_independence(
            self.config.independence, self.config.d_common, self.config.d_salient, self.config.temperature
        )
        return nn.ModuleDict(modules)

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam "encoders" over both branches, and "critic" over the independence term's critic if it has one."""
        parts: dict[str, nn.Module] = {"encoders": nn.ModuleList(self.network[space] for space in SPACES)}
        if isinstance(self.network["independence"], Critic):
            parts["critic"] = self.network["independence"]
        rate = self.config.learning_rate
        return {name: Adam(part.parameters(), lr=rate, fused=True) for name, part in parts.items()}

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """One step on two random views of every image; a critic takes its step first."""
        images, backgrounds = torch.cat([background.images, target.images]), len(background.images)
        first, second = (self._heads(self.views(images, context.randomness.augmentation), context) for _ in range(2))
        critic = self.network["independence"]
        if isinstance(critic, Critic):
            detached = [(h.common.detach(), empty_background(h.salient, backgrounds).detach()) for h in (first, second)]
            descend(self.optimizers["critic"], _mean(*(critic.critic_loss(c, s) for c, s in detached)))
        terms = self.loss_terms(first, second, backgrounds)
        descend(self.optimizers["encoders"], terms["total"])
        return terms

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
        penalty = self.network["independence"]
        terms = {
            "common": common,
            "salient": salient,
            "information_less": _mean(*(information_less(h.salient[:backgrounds], tau) for h in (first, second))),
            "independence": _mean(*(penalty(h.common, s) for h, s in zip((first, second), emptied, strict=True))),
        }
        return {"total": weighted_sum(terms, config), **terms}

    def represent(self, images: Tensor) -> Representation:
        """The encoders' outputs, before the projectors."""
        common, salient = (cast("ProjectedEncoder", self.network[space]) for space in SPACES)
        return Representation(common.encode(images), salient.encode(images))

    def _heads(self, images: Tensor, context: FitContext) -> Heads:
        with context.autocast():
            common, salient = self.network["common"](images), self.network["salient"](images)
        return Heads(normalize(common.float()), salient.float())


def _mean(first: Tensor, second: Tensor) -> Tensor:
    return (first + second) / 2
