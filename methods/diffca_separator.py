"""Diff-CA's separator: rows of features as a common plus a salient part, with the paper's own losses.

Paper: Soumm et al. "Diff-CA", arXiv 2606.06120, stage 2, whose code was not released. Reproduced: its losses, on rows
of fixed features. `additive_separator` is the variant that identifies the parts in our trials.

With z a row, centred and scaled, E(z) = (z_s, z_c) the separator and D an adversary that tells target from background
by z_c, the separator minimises

    mean ||z - z_s - z_c||^2 + mean ||z_s of background||^2 + 0.1 mean exp(-||z_s of target||^2)
      + cycle_weight cycle - w BCE(D)

where cycle is the error of E'(z_c of a + z_s of b) against (z_c of a, z_s of b), for a random order b of the batch's
rows a, and E' is E with weights averaged over the steps before. D minimises BCE. A controller moves w, from its start
of `adversary_weight`, by a factor of 0.999 a step within [0.001, 5], so that D's accuracy, averaged over steps with a
decay of 0.95, comes to `accuracy`.

Deviations: the printed controller lowers w while D is too accurate. D's accuracy falls as w grows, so that drives w to
a bound; here it does the opposite, and w starts above zero, from which no factor leads away. The printed total adds the
adversary's loss a second time, with the other sign; here it counts once, as the text means it. Perceptrons on one row,
where the paper has a Transformer on 32 tokens; z_s = W code(z), where the paper repeats one token of the size of a
thirty-second of a row. Norms are sums over features, and features are scaled by one number: how the paper takes them
was not published, nor the decay of E'. The error of the cycle has gradients on both of its sides, which the paper
leaves open: with fixed targets, the salient part of planted features grew to almost three times its true length (R^2
-6, against 0.89). Each step sees equal halves of background and target.

A small code loses: what the common part can keep, no loss moves into the salient one. Of 20 planted features with two
salient factors it found R^2 0.00 of the salient part with a code of 2, 0.4 with 8, 0.5 with 16, 0.9 with 20.

The log has the mean ||z_s||^2 of both populations: `pin` of the background, `energy` of the target. Vectors do not show
it: a linear probe reads a salient part of almost no length as well as any other.

The common vector is z_c along the background's leading principal directions, and the salient vector is the code. The
salient vector of a background row is its code. Training pulls W times it to zero, but nothing forces it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import DataForm
from cabench.methods.losses.additive import absence, cross_entropy, squared_length
from cabench.methods.networks.separators import Separator, SoftSum
from cabench.methods.shared.additive_separation import (
    AdditiveSeparationConfig,
    AdversarialSeparation,
    follow,
    logits_of,
    parts_error,
    parts_of,
    recombined,
)
from cabench.search import Linear, Log
from cabench.training import Batch, descend, weighted_sum

WEIGHTS = (1e-3, 5.0)
STEP = 0.999
MEMORY = 0.95


@dataclass(frozen=True)
class DiffCASeparatorConfig(AdditiveSeparationConfig):
    """Defaults: the paper's, where it states them (card F8); of two batch sizes, that of its text."""

    epochs: int = 1000
    batch_size: int = 1024
    learning_rate: float = 1e-4
    pin_weight: float = setting(1.0, at_least=0, search=Log(0.1, 10), help="of the salient part of background rows")
    absence_weight: float = setting(0.1, at_least=0, search=Log(0.01, 1), help="of exp(-||z_s||^2) of target rows")
    cycle_weight: float = setting(1.0, at_least=0, search=Log(0.1, 10), help="of the error on recombined rows")
    adversary_weight: float = setting(0.05, at_least=WEIGHTS[0], at_most=WEIGHTS[1], help="w at the start")
    accuracy: float = setting(
        0.75, at_least=0, at_most=1, search=Linear(0.55, 0.95), help="of the adversary, to which the controller leads"
    )
    decay: float = setting(0.99, at_least=0, at_most=1, help="of the averaged weights, per step; not published")


class Controller(nn.Module):
    """Keeps an adversary at an accuracy by the weight that the separator gives to it.

    Attributes:
        weight: float32 0-d, the present weight w.
        accuracy: float32 0-d, the adversary's accuracy, averaged over steps.
    """

    weight: Tensor
    accuracy: Tensor

    def __init__(self, start: float, wanted: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(start))
        self.register_buffer("accuracy", torch.tensor(wanted))
        self._wanted = wanted

    @torch.no_grad()
    def update(self, background_logits: Tensor, target_logits: Tensor) -> None:
        """Take in a step's logits of being a target row: an adversary above the accuracy gets more weight."""
        right = ((target_logits > 0).float().mean() + (background_logits <= 0).float().mean()) / 2
        self.accuracy.lerp_(right, 1 - MEMORY)
        factor = torch.where(self.accuracy > self._wanted, 1 / STEP, STEP)
        self.weight.mul_(factor).clamp_(*WEIGHTS)


class DiffCASeparator(AdversarialSeparation):
    """Two networks whose outputs add up by a loss, and an adversary under control; see the module."""

    name = "diffca_separator"
    version = 2
    Config = DiffCASeparatorConfig
    config: DiffCASeparatorConfig

    def make_separator(self, features: int, size: int) -> Separator:
        """Parts that a loss makes add up."""
        return SoftSum(features, size, self.config.hidden)

    def build(self, form: DataForm) -> nn.ModuleDict:
        """The frame, the separator, its average, the adversary and its controller."""
        modules = super().build(form)
        modules["controller"] = Controller(self.config.adversary_weight, self.config.accuracy)
        return modules

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """A step of the adversary, then one of the separator. "total" is what the separator minimises."""
        rows, halves = self.prepared_rows(background, target), len(background.images)
        controller, adversary = cast("Controller", self.network["controller"]), self.network["adversary"]
        parts = parts_of(self.separator, rows, context)
        judged, wrong = self.train_adversary(parts, halves, context)
        controller.update(judged[:halves], judged[halves:])
        mixed, found = recombined(parts, self.network["average"], context)
        judged = logits_of(adversary, parts.common, context)
        terms = {
            "reconstruction": squared_length(rows - parts.common - parts.salient),
            "pin": squared_length(parts.salient[:halves]),
            "absence": absence(parts.salient[halves:]),
            "cycle": parts_error(found, mixed),
        }
        confusion = cross_entropy(judged[:halves], judged[halves:])
        total = weighted_sum(terms, self.config) - controller.weight * confusion
        descend(self.optimizers["separator"], total)
        follow(self.network["average"], self.separator, self.config.decay)
        watched = {"energy": squared_length(parts.salient[halves:]), "weight": controller.weight.clone()}
        return {"total": total, **terms, "discriminator": wrong, **watched}
