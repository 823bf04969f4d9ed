"""The terms that keep SepCLR's common and salient vectors independent, by name; some have a critic of their own.

All take common vectors c, normalised, and salient vectors s~ in which rows of background images are zero, as the k-JEM
term of the release does. `k-jem` is the released term. The paper compares it with others whose code was not released;
these are built here from their own sources, which the loss files name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from cabench.methods.losses.kernels import hsic, joint_entropy
from cabench.methods.losses.total_correlation import density_ratio, discriminator_loss, shuffled
from cabench.methods.losses.variational_bounds import log_likelihood, vclub, vl1out, vub
from cabench.methods.networks.critics import HIDDEN, ConditionalGaussian, latent_discriminator

IndependenceName = Literal["k-jem", "none", "mmd", "total-correlation", "vclub", "vub", "vl1out"]


class Independence(nn.Module, ABC):
    """A term to be minimised so that common and salient vectors become independent."""

    @abstractmethod
    def forward(self, common: Tensor, salient: Tensor) -> Tensor:
        """The 0-d term for float32 vectors (n, d_common) and (n, d_salient)."""


class Critic(Independence):
    """A term that uses a network, the critic, which learns from `critic_loss` with an optimizer of its own."""

    @abstractmethod
    def critic_loss(self, common: Tensor, salient: Tensor) -> Tensor:
        """What the critic minimises on vectors (n, d_common) and (n, d_salient) that carry no gradient: 0-d."""


class Nothing(Independence):
    """No term: an ablation."""

    def forward(self, common: Tensor, salient: Tensor) -> Tensor:
        """Zero."""
        return common.new_zeros(())


class Kernel(Independence):
    """A term computed from the vectors alone, with Gaussian kernels."""

    def __init__(self, loss: Callable[[Tensor, Tensor, float], Tensor], temperature: float) -> None:
        super().__init__()
        self._loss, self._temperature = loss, temperature

    def forward(self, common: Tensor, salient: Tensor) -> Tensor:
        """The loss at this temperature."""
        return self._loss(common, salient, self._temperature)


class TotalCorrelation(Critic):
    """Mean log-ratio of a discriminator that tells joint pairs (c, s) from those with another row's s."""

    def __init__(self, d_common: int, d_salient: int) -> None:
        super().__init__()
        self.discriminator = latent_discriminator(d_common + d_salient, HIDDEN)

    def forward(self, common: Tensor, salient: Tensor) -> Tensor:
        """The mean of log D / (1 - D) over joint pairs."""
        return density_ratio(self._logits(common, salient)) / len(common)

    def critic_loss(self, common: Tensor, salient: Tensor) -> Tensor:
        """Binary cross-entropy of the discriminator, a mean over rows."""
        return discriminator_loss(self._logits(common, salient), self._logits(common, shuffled(salient))) / len(common)

    def _logits(self, common: Tensor, salient: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(torch.cat([common, salient], dim=1))
        return logits


class VariationalBound(Critic):
    """A bound of the mutual information by a Gaussian prediction q(s | c), which is fitted by maximum likelihood."""

    def __init__(self, bound: Callable[[Tensor, Tensor, Tensor], Tensor], d_common: int, d_salient: int) -> None:
        super().__init__()
        self.prediction = ConditionalGaussian(d_common, d_salient)
        self._bound = bound

    def forward(self, common: Tensor, salient: Tensor) -> Tensor:
        """The bound under the current prediction."""
        mean, log_variance = self.prediction(common)
        return self._bound(mean, log_variance, salient)

    def critic_loss(self, common: Tensor, salient: Tensor) -> Tensor:
        """Minus the mean log-likelihood of the salient vectors."""
        mean, log_variance = self.prediction(common)
        return -log_likelihood(mean, log_variance, salient).mean()


_BOUNDS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"vclub": vclub, "vub": vub, "vl1out": vl1out}
_KERNELS: Mapping[str, Callable[[Tensor, Tensor, float], Tensor]] = {"k-jem": joint_entropy, "mmd": hsic}


def make_independence(name: IndependenceName, d_common: int, d_salient: int, temperature: float) -> Independence:
    """The term of that name for vectors of those sizes, with freshly initialised weights if it has any."""
    if name == "none":
        return Nothing()
    if name == "total-correlation":
        return TotalCorrelation(d_common, d_salient)
    if name in _KERNELS:
        return Kernel(_KERNELS[name], temperature)
    return VariationalBound(_BOUNDS[name], d_common, d_salient)
