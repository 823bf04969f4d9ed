"""SAGE's separator: rows of features as a common plus a salient part, with its losses that need no images.

Paper: Liang et al. "SAGE", 2026, whose code was not released. Reproduced: the terms of its objective on latent vectors,
on rows of fixed features.

With z a row, centred and scaled, z_c and z_s the outputs of a common and a salient encoder, of which the last layer of
the salient one is zero at the start, the encoders minimise

    mean ||z_c - z||^2 of background + mean ||z_c + z_s - z||^2 of target
      + pin_weight mean ||z_s of background||^2 + sparsity_weight mean |z_s of target|_1
      + swap_weight swap + adversary_weight mean -log sigmoid(fakes' logits)

where swap is the error of both encoders on z_c of a + z_s of b against (z_c of a, z_s of b), which are taken as fixed,
for a random order b of the batch's rows a. Two discriminators learn by the hinge loss: one takes z_c of background rows
as real and z_c of target rows as fake, the other one z_c + z_s of a target row as real and z_c of a background row with
z_s of a target row as fake. They judge rows, where the paper's judge images.

Without the discriminators nothing asks for a salient part, and z_s stays zero (card F8). The log has the mean ||z_s||^2
of both populations: `pin` of the background, `energy` of the target. Vectors do not show it: a linear probe reads a
salient part of almost no length as well as any other.

Deviations: no contrastive term on re-encoded parts, of which the temperature was not published; perceptrons on one row,
where the paper has encoders of tokens; z_s = W code(z), where the paper's salient part is as large as the row; rows are
centred by the background's mean and scaled by one number. Norms are sums over features. Each step sees equal halves of
background and target. The last weights are kept, as in the paper.

The common vector is z_c along the background's leading principal directions, and the salient vector is the code. The
salient vector of a background row is its code. Training pulls W times it to zero, but nothing forces it there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Optimizer

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import DataForm
from cabench.methods.losses.additive import hinge, length, squared_length
from cabench.methods.losses.infogan import affirmed
from cabench.methods.networks.separators import Parts, Separator, SoftSum, row_discriminator
from cabench.methods.shared.additive_separation import (
    AdditiveSeparation,
    AdditiveSeparationConfig,
    logits_of,
    parts_error,
    parts_of,
    recombined,
)
from cabench.search import Log
from cabench.training import Batch, weighted_sum

LARGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class SAGESeparatorConfig(AdditiveSeparationConfig):
    """Defaults: the paper's experiment on faces (card F8)."""

    epochs: int = 200
    batch_size: int = 128
    learning_rate: float = 3e-5
    pin_weight: float = setting(1.0, at_least=0, search=Log(0.1, 10), help="of the salient part of background rows")
    sparsity_weight: float = setting(
        0.01, at_least=0, search=Log(1e-3, 1), help="of the salient part of target rows; 1 for digits"
    )
    swap_weight: float = setting(1.0, at_least=0, search=Log(0.1, 10), help="of the error on recombined rows")
    adversary_weight: float = setting(
        1.0, at_least=0, search=Log(0.1, 10), help="of how well the discriminators know fakes"
    )


class SAGESeparator(AdditiveSeparation):
    """Two encoders and two discriminators; see the module."""

    name = "sage_separator"
    version = 2
    Config = SAGESeparatorConfig
    config: SAGESeparatorConfig

    def make_separator(self, features: int, size: int) -> Separator:
        """Parts that a loss makes add up; the salient ones are zero at the start."""
        separator = SoftSum(features, size, self.config.hidden)
        nn.init.zeros_(separator.loadings.weight)
        return separator

    def build(self, form: DataForm) -> nn.ModuleDict:
        """The frame, the separator, and the discriminators of common parts and of rows with a salient part."""
        modules = super().build(form)
        for name in ("of_background", "of_target"):
            modules[name] = row_discriminator(form.image_shape[0], self.config.critic_hidden)
        return modules

    def make_optimizers(self) -> dict[str, Optimizer]:
        """One AdamW for each network."""
        rate = self.config.learning_rate
        names = ("separator", "of_background", "of_target")
        return {name: AdamW(self.network[name].parameters(), lr=rate, eps=1e-6, fused=True) for name in names}

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """A step of each discriminator, then one of the encoders. "total" is what the encoders minimise."""
        rows, halves = self.prepared_rows(background, target), len(background.images)
        parts = parts_of(self.separator, rows, context)
        pairs = real_and_fake(parts, halves)
        wrong = {name: self._discriminator_step(name, *pair, context) for name, pair in pairs.items()}
        mixed, found = recombined(parts, self.separator, context)
        fooled = [affirmed(logits_of(self.network[name], fake, context)) for name, (_, fake) in pairs.items()]
        b_error = squared_length(parts.common[:halves] - rows[:halves])
        t_error = squared_length((parts.common + parts.salient - rows)[halves:])
        terms = {
            "reconstruction": b_error + t_error,
            "pin": squared_length(parts.salient[:halves]),
            "sparsity": length(parts.salient[halves:]),
            "swap": parts_error(found, mixed.detached()),
            "adversary": torch.stack(fooled).sum(),
        }
        total = weighted_sum(terms, self.config)
        self._descend("separator", total)
        return {"total": total, **terms, **wrong, "energy": squared_length(parts.salient[halves:])}

    def _discriminator_step(self, name: str, real: Tensor, fake: Tensor, context: FitContext) -> Tensor:
        """One step of a discriminator on rows that carry no gradient; its 0-d loss."""
        loss = hinge(*(logits_of(self.network[name], rows.detach(), context) for rows in (real, fake)))
        self._descend(name, loss)
        return loss

    def _descend(self, name: str, loss: Tensor) -> None:
        """One gradient step with the gradient's length bounded."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(self.network[name].parameters(), LARGEST_GRADIENT)
        optimizer.step()


def real_and_fake(parts: Parts, halves: int) -> dict[str, tuple[Tensor, Tensor]]:
    """What each discriminator takes as real and as fake, by its name.

    Args:
        parts: of as many background rows as target rows, background first.
        halves: how many of each.
    """
    background, target, salient = parts.common[:halves], parts.common[halves:], parts.salient[halves:]
    return {"of_background": (background, target), "of_target": (target + salient, background + salient)}
