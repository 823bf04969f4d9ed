"""Additive separator: rows of features as a common plus a salient part, told apart by an adversary.

Paper: Soumm et al. "Diff-CA", arXiv 2606.06120, stage 2, whose code was not released. This is the variant of it that
identifies the parts in our trials (card F8); `diffca_separator` is the one that the paper states.

With z a row, centred and scaled, the separator gives z_s = W code(z) and z_c = z - z_s. D is an adversary that tells
target from background by z_c; ||.||^2 are means over features. The separator minimises

    pin_weight mean ||z_s of background||^2 + cycle_weight cycle + adversary_weight mean softplus(D(z_c of target))

where cycle is the error of E'(z_c of a + z_s of b) against (z_c of a, z_s of b), which are taken as fixed, for a random
order b of the batch's rows a, and E' is the separator with weights averaged over the steps before. D minimises its
binary cross-entropy.

The paper's theorem: where common and salient part are independent and background rows have no salient part, parts that
add up, vanish on the background and are independent are the true ones. D asks for less, a common part of one
distribution in both populations; the cycle is to supply the rest. A shift of features between the populations, such as
of site or age, is taken for salient.

Deviations, each for a reason that card F8 gives: the parts add up exactly, where the paper has a loss; the code is
small, where with as many numbers as features nothing keeps the common part out; targets' rows are pushed towards the
background with a loss that does not saturate, where reversed gradients let z_s collapse to zero; no term rewards a
long z_s; norms are divided by the number of features, so that weights mean the same on any table; perceptrons on one
row, where the paper has a Transformer on 32 tokens; the adversary's weight is constant. How features are scaled, and
the decay of E', were not published. Each step sees equal halves of background and target.

The log has the mean ||z_s||^2 of both populations: `pin` of the background, `energy` of the target. Vectors do not show
it: a linear probe reads a salient part of almost no length as well as any other.

The common vector is z_c along the background's leading principal directions, and the salient vector is the code. The
salient vector of a background row is its code. Training pulls W times it to zero, but nothing forces it there.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from cabench.config import setting
from cabench.context import FitContext
from cabench.methods.losses.additive import squared_length
from cabench.methods.losses.infogan import denied
from cabench.methods.networks.separators import HardSum, Separator
from cabench.methods.shared.additive_separation import (
    AdditiveSeparationConfig,
    AdversarialSeparation,
    follow,
    logits_of,
    parts_error,
    parts_of,
    recombined,
)
from cabench.search import Log
from cabench.training import Batch, descend, weighted_sum


@dataclass(frozen=True)
class AdditiveSeparatorConfig(AdditiveSeparationConfig):
    """Defaults: card F8's recommendation, for which there is no published experiment."""

    epochs: int = 200
    batch_size: int = 512
    pin_weight: float = setting(1.0, at_least=0, search=Log(0.1, 10), help="of the salient part of background rows")
    cycle_weight: float = setting(1.0, at_least=0, search=Log(0.1, 10), help="of the error on recombined rows")
    adversary_weight: float = setting(
        1.0, at_least=0, search=Log(0.01, 10), help="of how well D knows target rows by their common part"
    )
    decay: float = setting(0.99, at_least=0, at_most=1, help="of the averaged weights, per step")


class AdditiveSeparator(AdversarialSeparation):
    """An exact sum with a small code, and an adversary; see the module."""

    name = "additive_separator"
    version = 2
    Config = AdditiveSeparatorConfig
    config: AdditiveSeparatorConfig
    loss_may_rise = "it starts near z_s = 0, where all terms are small until the adversary has learned"

    def make_separator(self, features: int, size: int) -> Separator:
        """Parts that add up exactly."""
        return HardSum(features, size, self.config.hidden)

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """A step of the adversary, then one of the separator. "total" is what the separator minimises."""
        rows, halves = self.prepared_rows(background, target), len(background.images)
        features = rows.shape[1]
        parts = parts_of(self.separator, rows, context)
        _, wrong = self.train_adversary(parts, halves, context)
        mixed, found = recombined(parts, self.network["average"], context)
        terms = {
            "pin": squared_length(parts.salient[:halves]) / features,
            "cycle": parts_error(found, mixed.detached()) / features,
            "adversary": denied(logits_of(self.network["adversary"], parts.common[halves:], context)),
        }
        total = weighted_sum(terms, self.config)
        energy = squared_length(parts.salient[halves:]) / features
        descend(self.optimizers["separator"], total)
        follow(self.network["average"], self.separator, self.config.decay)
        return {"total": total, **terms, "discriminator": wrong, "energy": energy}
