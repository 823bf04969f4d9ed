"""What methods share that split rows of features into a common and a salient part which add up.

Rows are centred by the background's mean, because the salient part of a background row is to be zero, and divided by
one number, the root of the features' mean variance over both populations, because the parts of one row are compared
across features. The networks see the result.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DataForm, DatasetInfo
from cabench.method import Generative, Representation
from cabench.methods.losses.additive import cross_entropy, squared_length
from cabench.methods.networks.separators import Parts, Separator, row_discriminator
from cabench.methods.shared.moments import check_values, principal_components
from cabench.search import Log
from cabench.training import Batch, GradientTrainedMethod, TrainingConfig, descend

FRAME = "network.frame."


@dataclass(frozen=True)
class AdditiveSeparationConfig(TrainingConfig):
    """Sizes of the networks and vectors; each method gives its own defaults."""

    learning_rate: float = setting(1e-3, above=0, search=Log(1e-4, 1e-2), help="of all AdamW optimizers, constant")
    hidden: int = setting(512, at_least=1, help="width of the two hidden layers of each of the separator's networks")
    critic_hidden: int = setting(256, at_least=1, help="width of the hidden layer of the adversary's networks")
    d_common: int = setting(32, at_least=1, help="largest size of the common vector")
    d_salient: int = setting(16, at_least=1, help="size of the code behind the salient part; at most the features")


class Frame(nn.Module):
    """The coordinates in which rows are split, and the directions along which common parts are represented.

    Attributes:
        origin: float32 (features,), the mean background row.
        scale: float32 0-d, what centred rows are divided by.
        directions: float32 (features, k), orthonormal; zero where backgrounds do not vary.
    """

    origin: Tensor
    scale: Tensor
    directions: Tensor

    def __init__(self, origin: Tensor, scale: Tensor, directions: Tensor) -> None:
        super().__init__()
        self.register_buffer("origin", origin)
        self.register_buffer("scale", scale)
        self.register_buffer("directions", directions)

    @classmethod
    def plain(cls, features: int, count: int) -> Frame:
        """Rows as they are, and their first `count` features."""
        return cls(torch.zeros(features), torch.ones(()), torch.eye(features, min(features, count)))

    @classmethod
    def of(cls, data: ContrastiveDataset, count: int) -> Frame:
        """The frame of a training split, with at most `count` principal directions of the background."""
        origin, directions = principal_components([data.background.images], count)
        deviation = data.images.var(0, correction=0).mean().sqrt()
        scale = torch.where(deviation > 0, deviation, 1)
        return cls(origin.float(), scale, directions.float().contiguous())

    def forward(self, rows: Tensor) -> Tensor:
        """Centred and scaled rows (n, features)."""
        return (rows - self.origin) / self.scale

    def undone(self, rows: Tensor) -> Tensor:
        """Rows (n, features) in the data's own coordinates."""
        return rows * self.scale + self.origin


class AdditiveSeparation(GradientTrainedMethod, Generative):
    """A separator of rows; a subclass says which, and trains it. The common vector is the common part's projection on
    the background's leading principal directions, the salient vector is the code behind the salient part.
    """

    config: AdditiveSeparationConfig
    takes = ("tables",)
    _frame: Frame | None = None

    @abstractmethod
    def make_separator(self, features: int, size: int) -> Separator:
        """A separator of rows, with a code of `size` numbers and freshly drawn weights."""

    def check(self, info: DatasetInfo) -> None:
        """Refuse tables too large for the background's principal directions, and those of too few rows to train on."""
        super().check(info)
        check_values(info, self.name)

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Measure the training rows, then train."""
        self._frame = Frame.of(data, self.config.d_common)
        super().fit(data, context)

    def build(self, form: DataForm) -> nn.ModuleDict:
        """The frame, which training leaves alone, and the separator."""
        (features,) = form.image_shape
        frame = self._frame or Frame.plain(features, self.config.d_common)
        size = min(self.config.d_salient, features)
        return nn.ModuleDict({"frame": frame, "separator": self.make_separator(features, size)})

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """See `NetworkMethod`. How many directions there are is known from the state alone."""
        parts = {name.removeprefix(FRAME): value.clone() for name, value in state.items() if name.startswith(FRAME)}
        self._frame = Frame(**parts)
        super().load_state_dict(state)

    def parameter_count(self) -> int:
        """The number of parameters that are trained: averages of others are not counted."""
        return sum(parameter.numel() for parameter in self.network.parameters() if parameter.requires_grad)

    def represent(self, images: Tensor) -> Representation:
        """The common part along the frame's directions (n, at most d_common), and the code (n, d_salient)."""
        rows = self.frame(images)
        code = self.separator.code(rows)
        common = self.separator.remainder(rows, self.separator.loadings(code))
        return Representation(common @ self.frame.directions, code)

    def decode(self, representation: Representation) -> Tensor:
        """See `Generative`: the sum of both parts. What the common vector leaves out of the common part is lost."""
        with self.evaluating() as device:
            common, salient = (vectors.to(device) for vectors in representation)
            rows = common @ self.frame.directions.T + self.separator.loadings(salient)
            return self.frame.undone(rows).cpu()

    def prepared_rows(self, background: Batch, target: Batch) -> Tensor:
        """Centred and scaled rows (n, features) of both batches, background first."""
        rows: Tensor = self.frame(torch.cat([background.images, target.images]))
        return rows

    @property
    def frame(self) -> Frame:
        """The coordinates in which rows are split."""
        return cast("Frame", self.network["frame"])

    @property
    def separator(self) -> Separator:
        """The network that splits rows."""
        return cast("Separator", self.network["separator"])


class AdversarialSeparation(AdditiveSeparation):
    """A separator with one adversary, which tells target rows by their common part, and a slow average of itself."""

    def build(self, form: DataForm) -> nn.ModuleDict:
        """The frame, the separator, its average and the adversary."""
        modules = super().build(form)
        modules["average"] = slow_copy(modules["separator"])
        modules["adversary"] = row_discriminator(form.image_shape[0], self.config.critic_hidden)
        return modules

    def make_optimizers(self) -> dict[str, Optimizer]:
        """AdamW "separator" and AdamW "adversary"."""
        rate = self.config.learning_rate
        names = ("separator", "adversary")
        return {name: AdamW(self.network[name].parameters(), lr=rate, fused=True) for name in names}

    def train_adversary(self, parts: Parts, halves: int, context: FitContext) -> tuple[Tensor, Tensor]:
        """One step of the adversary on common parts without gradients, the first `halves` of them of background rows.

        Returns:
            Its logits of being a target row before the step, one a row, and its 0-d loss.
        """
        judged = logits_of(self.network["adversary"], parts.common.detach(), context)
        wrong = cross_entropy(judged[:halves], judged[halves:])
        descend(self.optimizers["adversary"], wrong)
        return judged, wrong


def shuffled_order(rows: int, context: FitContext) -> Tensor:
    """A random int64 (rows,) order on the training device."""
    noise = context.randomness.noise
    return torch.randperm(rows, generator=noise, device=noise.device)


def slow_copy(network: nn.Module) -> nn.Module:
    """A copy that no gradient changes, to be kept up by `follow`."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, decay: float) -> None:
    """Make each weight of `slow` the `decay` part of itself and the rest of that of `fast`."""
    for average, weight in zip(slow.parameters(), fast.parameters(), strict=True):
        average.lerp_(weight, 1 - decay)


def parts_of(network: nn.Module, rows: Tensor, context: FitContext) -> Parts:
    """What a separator makes of rows (n, features), in float32 whatever precision it runs in."""
    with context.autocast():
        parts = cast("Parts", network(rows))
    return parts.float()


def recombined(parts: Parts, network: nn.Module, context: FitContext) -> tuple[Parts, Parts]:
    """Each row's common part with the salient part of a random row, and what a separator makes of their sums."""
    mixed = parts.swapped(shuffled_order(len(parts.common), context))
    return mixed, parts_of(network, mixed.common + mixed.salient, context)


def parts_error(found: Parts, wanted: Parts) -> Tensor:
    """Mean squared error of both parts, each summed over features: 0-d."""
    return squared_length(found.common - wanted.common) + squared_length(found.salient - wanted.salient)


def logits_of(discriminator: nn.Module, rows: Tensor, context: FitContext) -> Tensor:
    """A discriminator's (n, 1) logits of rows (n, features)."""
    with context.autocast():
        logits: Tensor = discriminator(rows)
    return logits
