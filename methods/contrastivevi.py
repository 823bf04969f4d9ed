"""contrastiveVI: a contrastive VAE for counts, such as those of genes in single cells.

Paper: Weinberger, Lin, Lee. "Isolating salient variations of interest in single-cell data with contrastiveVI", Nature
Methods 20:1336 (2023). Reproduced: the released code (commit 2835d29; scvi-tools' has the same loss), whose values are
the defaults of `ContrastiveVIConfig`.

Two encoders see log(1 + counts). A decoder sees [c, s], for background rows [c, 0], and gives the genes' shares of a
row's total, its library l, and logits of losing a count; each gene g has a dispersion theta_g of its own:

    mu = exp(l) softmax(shares),    x ~ ZINB(mu, theta, logits), or NB(mu, theta)
    L  = - log p(x | background) - log p(x | target) + KL(l)
       + k [KL(c | background) + KL(c | target) + KL(s | target) + wasserstein_weight W2(s | background, 0)^2]

in the mean over pairs of a background and a target row, with one sample of each latent. The library is observed, l =
log of the row's total, and KL(l) = 0; or inferred by a third encoder, against a normal prior with mean and variance of
the log-totals of the training rows, by batch. k is the warm-up: it rises linearly by epoch, from 0 to 1. Both
populations pass the networks together, so that batch normalisation sees them as one.

Where rows come from several batches, `batches` says that so many of the last columns of the table are no genes but
indicators, one of which is 1: a row carries its own batch, so that one that is encoded alone has it too. They are
added to the inputs of the encoders and the decoder.

Deviations: the warm-up ends by half of the run, while the release needs 400 epochs for it, whatever the length of the
run, and short ones end far below 1; the release takes fewer epochs for more than 20,000 rows, round(400 * 20000 /
rows), here `epochs` says how many; an epoch has (background + target rows) // batch_size steps instead of one pass over
the larger population, draws the smaller one in new orders, and leaves out the last, partial batch; all rows are
trained on, none are kept for validation; rows without any count, whose log-total does not exist, are left out of
training, as the release's data scripts do; the release also builds a third head of the decoder and, where the library
is observed, its encoder, which take no part in anything; the likelihood NB is not in the release; networks may run in
bf16, losses in float32. Genes are those of the table: the release takes some 2,000 of highest variance.

The representation is the posterior means. There is no `decode`: counts need a row's library and batch, which the two
vectors do not hold. The salient vector of a background row is the salient encoder's mean for it. With
wasserstein_weight = 0, as released, no term trains it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import SPACES, ContrastiveDataset, DataForm, DatasetInfo, Population
from cabench.errors import UserError
from cabench.method import Representation
from cabench.methods.losses.counts import (
    negative_binomial,
    squared_wasserstein_to_zero,
    zero_inflated_negative_binomial,
)
from cabench.methods.losses.vae import gaussian_kl
from cabench.methods.networks.counts import SMALLEST_VARIANCE, CountDecoder, CountEncoder, WarmUp, dropped
from cabench.methods.networks.variational import Posterior
from cabench.search import Linear, Log
from cabench.training import Batch, GradientTrainedMethod, TrainingConfig, descend, weighted_sum


class Likelihood(NamedTuple):
    """A distribution of counts: the decoder's heads, and the log-probability of (counts, rate, dispersion, *logits)."""

    heads: int
    log_probability: Callable[..., Tensor]


LIKELIHOODS = {"zinb": Likelihood(2, zero_inflated_negative_binomial), "nb": Likelihood(1, negative_binomial)}


@dataclass(frozen=True)
class ContrastiveVIConfig(TrainingConfig):
    """Defaults: the released ones (card F6)."""

    epochs: int = 400
    batch_size: int = 256
    learning_rate: float = setting(1e-3, above=0, search=Log(3e-4, 1e-2), help="Adam's learning rate, constant")
    d_common: int = setting(10, at_least=1, help="size of the common vector")
    d_salient: int = setting(10, at_least=1, help="size of the salient vector")
    width: int = setting(128, at_least=1, help="of the hidden layer of each network")
    dropout: float = setting(
        0.1, at_least=0, at_most=0.9, search=Linear(0, 0.5), help="share of the encoders' hidden values set to 0"
    )
    likelihood: Literal["zinb", "nb"] = setting(
        "zinb", help="of counts: negative binomial, with extra zeros or without"
    )
    library: Literal["observed", "inferred"] = setting("observed", help="a row's own total, or a latent variable")
    batches: int = setting(0, at_least=0, help="how many last columns are indicators of the row's batch; 0 = none")
    wasserstein_weight: float = setting(
        0.0, at_least=0, search=Log(0.1, 100), help="of background salient posteriors' distance to 0"
    )
    warm_up_epochs: float = setting(400, above=0, help="until KL terms count in full; at most half of the epochs")


class Rows(NamedTuple):
    """Rows of a table of counts.

    Attributes:
        genes: float32 (n, genes), counts.
        batch: float32 (n, batches), indicators of the batch; (n, 0) where there are none.
    """

    genes: Tensor
    batch: Tensor

    @classmethod
    def of(cls, table: Tensor, batches: int) -> Rows:
        """Rows of float32 (n, genes + batches)."""
        genes = table.shape[1] - batches
        return cls(table[:, :genes], table[:, genes:])

    @property
    def inputs(self) -> Tensor:
        """What encoders see, (n, genes + batches)."""
        return torch.cat([self.genes.log1p(), self.batch], 1)

    @property
    def log_totals(self) -> Tensor:
        """The logarithm of each row's total, (n, 1); minus infinity for a row without any count."""
        return self.genes.sum(1, keepdim=True).log()

    @property
    def membership(self) -> Tensor:
        """Indicators of the batch, (n, batches or 1): without batches all rows are of one."""
        return self.batch if self.batch.shape[1] else torch.ones_like(self.genes[:, :1])


class LibraryPrior(NamedTuple):
    """By batch, mean and variance of the log-totals of the training rows, float32 (batches or 1, 1)."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, rows: Rows) -> LibraryPrior:
        """Learned from rows that all hold a count. A variance is at least that of a posterior."""
        totals, membership = rows.log_totals.double(), rows.membership.double()
        counted = membership.sum(0).clamp(min=1)[:, None]
        mean = membership.T @ totals / counted
        variance = membership.T @ (totals - membership @ mean).square() / counted
        return cls(mean.float(), variance.clamp(min=SMALLEST_VARIANCE).float())


class ContrastiveVI(GradientTrainedMethod):
    """Two encoders of counts, a decoder and, where it is not observed, an encoder of the library; see the module.

    Attributes:
        library_prior: of an inferred library, on the training device; set by `fit`.
    """

    name = "contrastivevi"
    version = 2
    Config = ContrastiveVIConfig
    config: ContrastiveVIConfig
    takes = ("counts",)
    library_prior: LibraryPrior

    def check(self, info: DatasetInfo) -> None:
        """Refuse a training split that is smaller than one batch, and batches that the table has no columns for."""
        super().check(info)
        batches, columns = self.config.batches, info.image_shape[0]
        if batches == 1 or batches >= columns:
            raise UserError(
                f"{self.name}.batches = {batches} does not fit {info.called}, which has {columns} columns; write 0 for "
                f"none, or how many of the last columns are indicators: at least 2, and fewer than all."
            )

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """See `ContrastiveAnalysisMethod.fit`. Rows without any count are left out.

        Raises:
            UserError: for too few rows with counts, and for columns of batches that hold something else.
        """
        data = self._with_counts(data)
        rows = Rows.of(data.images, self.config.batches)
        if not ((rows.membership.sum(1) == 1) & (rows.membership.amax(1) == 1)).all():
            raise UserError(
                f"The last {self.config.batches} columns of {data.info.called} are not indicators of batches, of which "
                f"each row has a single 1; mend them, or set {self.name}.batches to how many there are."
            )
        self.library_prior = LibraryPrior(*(part.to(context.device) for part in LibraryPrior.of(rows)))
        super().fit(data, context)

    def _with_counts(self, data: ContrastiveDataset) -> ContrastiveDataset:
        """The rows that hold a count of a gene."""
        parts = []
        for name, part in zip(("background", "target"), data[1:], strict=True):
            kept = Rows.of(part.images, self.config.batches).genes.sum(1) > 0
            if not kept.any():
                raise UserError(f"No {name} row of {data.info.called} holds a count; {self.name} learns from counts.")
            values = {attribute: column[kept.numpy()] for attribute, column in part.attributes.items()}
            parts.append(Population(part.images[kept], values))
        sizes = {"background": len(parts[0]), "target": len(parts[1])}
        info = replace(data.info, counts={**data.info.counts, "train": sizes})
        self.check(info)
        return ContrastiveDataset(info, *parts)

    def build(self, form: DataForm) -> nn.ModuleDict:
        """Encoders, a decoder and the warm-up."""
        config, columns = self.config, form.image_shape[0]
        latents = config.d_common + config.d_salient + config.batches
        heads = LIKELIHOODS[config.likelihood].heads
        modules: dict[str, nn.Module] = {
            "common": CountEncoder(columns, config.width, config.d_common),
            "salient": CountEncoder(columns, config.width, config.d_salient),
            "decoder": CountDecoder(latents, config.width, columns - config.batches, heads),
            "warm_up": WarmUp(min(config.warm_up_epochs, config.epochs / 2)),
        }
        if config.library == "inferred":
            modules["library"] = CountEncoder(columns, config.width, 1)
        return nn.ModuleDict(modules)

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam over everything."""
        rate = self.config.learning_rate
        return {"vae": Adam(self.network.parameters(), lr=rate, eps=0.01, weight_decay=1e-6, fused=True)}

    def begin_epoch(self) -> None:
        """Raise the weight of the KL terms."""
        cast(WarmUp, self.network["warm_up"]).begin_epoch()

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """One step on both halves together."""
        pairs, noise = len(background.images), context.randomness.noise
        rows = Rows.of(torch.cat([background.images, target.images]), self.config.batches)
        common, salient = (self._posterior(space, rows, context) for space in SPACES)
        salient_b, salient_t = (Posterior(*parts) for parts in zip(*(part.chunk(2) for part in salient), strict=True))
        c, s = common.sample(noise), salient_t.sample(noise)
        library, library_kl = self._library(rows, context)
        terms = {
            "reconstruction": -self._log_probability(rows, c, torch.cat([torch.zeros_like(s), s]), library, context),
            "library_kl": library_kl,
        }
        latent_terms = {
            "common_kl": gaussian_kl(*common),
            "salient_kl": gaussian_kl(*salient_t),
            "wasserstein": squared_wasserstein_to_zero(*salient_b),
        }
        total = (
            weighted_sum(terms, self.config) + self.network["warm_up"]() * weighted_sum(latent_terms, self.config)
        ) / pairs
        descend(self.optimizers["vae"], total)
        return {"total": total} | {name: term / pairs for name, term in (terms | latent_terms).items()}

    def represent(self, images: Tensor) -> Representation:
        """The posterior means."""
        inputs = Rows.of(images, self.config.batches).inputs
        return Representation(self.network["common"](inputs).mean, self.network["salient"](inputs).mean)

    def _posterior(self, space: str, rows: Rows, context: FitContext) -> Posterior:
        """What an encoder says of training rows, with dropout."""
        dropout = partial(dropped, rate=self.config.dropout, generator=context.randomness.noise)
        with context.autocast():
            posterior: Posterior = self.network[space](rows.inputs, dropout)
        return posterior

    def _library(self, rows: Rows, context: FitContext) -> tuple[Tensor, Tensor]:
        """The log-library of training rows, (n, 1), and the KL divergence from its prior, summed over them."""
        if self.config.library == "observed":
            return rows.log_totals, rows.genes.new_zeros(())
        posterior = self._posterior("library", rows, context)
        mean, variance = (rows.membership @ part for part in self.library_prior)
        # In units of the prior's standard deviation, it is a divergence from the standard normal distribution.
        divergence = gaussian_kl((posterior.mean - mean) / variance.sqrt(), posterior.log_variance - variance.log())
        return posterior.sample(context.randomness.noise), divergence

    def _log_probability(self, rows: Rows, c: Tensor, s: Tensor, library: Tensor, context: FitContext) -> Tensor:
        """The log-probability of training rows given their latents, summed over rows and genes."""
        with context.autocast():
            shares, dispersion, zero_logits = self.network["decoder"](torch.cat([c, s, rows.batch], 1))
        log_probability = LIKELIHOODS[self.config.likelihood].log_probability
        return log_probability(rows.genes, library.exp() * shares, dispersion, *zero_logits).sum()
