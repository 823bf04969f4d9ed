"""ConVAE: cVAE's model in SepVAE's code, the baseline of that name in the SepVAE and SepCLR papers.

Papers: the model is that of Abid and Zou, 2019, arXiv 1902.04601; the code that of Louiset et al., "SepVAE", 2023,
arXiv 2307.06206. Reproduced: the released CIFAR-MNIST script (commit 5974340), whose values are the defaults of
`ConVAEConfig`. It differs from `cvae` in its networks, a deeper discriminator, and a penalty over all rows that counts
only positive values. Unlike `sepvae`, it leaves the salient posteriors of background images free.

Background images are decoded from [c, 0], target images from [c, s]. With z = [c, s] sampled for all rows, z^ the same
with s taken from another row of the batch, and D the discriminator:

    L   = squared_error + common_kl_weight KL(c | all) + salient_kl_weight KL(s | target)
        + total_correlation_weight sum_all max(0, log D(z) / (1 - D(z)))
    L_D = - sum log D(z) - sum log(1 - D(z^))

Each step first updates D on L_D with latents that carry no gradient, then encoders and decoder on L with new samples.
As released, both Adam optimizers are made anew at the start of every epoch, and the salient samples of background
images take part in the total correlation, although the decoder sees zeros for them and nothing constrains them.

Deviations: the log-ratio is D's logit, which cannot become infinite; each step sees equal halves of background and
target, which are not mixed, so that the other row is not the next one (see `shuffled`); the classifiers that the
release trains only for display are left out; networks may run in bf16, losses in float32.

The representation is the posterior means. The salient vector of a background image is the salient encoder's mean for
it: nothing in training says what that should be.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cabench.config import setting
from cabench.context import FitContext
from cabench.methods.losses.total_correlation import positive_density_ratio, shuffled
from cabench.methods.losses.vae import gaussian_kl, squared_error
from cabench.methods.shared.contrastive_vae import AdversarialVAE, ContrastiveVAEConfig
from cabench.search import Log
from cabench.training import Batch, descend, weighted_sum


@dataclass(frozen=True)
class ConVAEConfig(ContrastiveVAEConfig):
    """Defaults: the released CIFAR-MNIST script (card A5)."""

    epochs: int = 250
    batch_size: int = 512
    common_kl_weight: float = setting(0.5, at_least=0, search=Log(0.01, 1), help="beta_c, weight of KL(c)")
    salient_kl_weight: float = setting(0.5, at_least=0, search=Log(0.005, 1), help="beta_s, weight of KL(s)")
    total_correlation_weight: float = setting(
        1.0, at_least=0, search=Log(0.05, 10), help="kappa; released: 2 on CelebA, 10 on pneumonia"
    )


class ConVAE(AdversarialVAE):
    """Two encoders, one decoder and a discriminator; see the module."""

    name = "convae"
    version = 3
    Config = ConVAEConfig
    config: ConVAEConfig

    def begin_epoch(self) -> None:
        """Make the optimizers anew."""
        self.optimizers = self.make_optimizers()

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """A step of the discriminator, then one of the VAE, both on the whole batch."""
        noise = context.randomness.noise
        images, backgrounds = torch.cat([background.images, target.images]), len(background.images)
        with torch.no_grad(), context.autocast():
            c, s = (posterior.sample(noise) for posterior in self.posteriors(images))
        discriminator = self.train_discriminator(torch.cat([c, s], 1), torch.cat([c, shuffled(s)], 1), context)

        with context.autocast():
            common, salient = self.posteriors(images)
            c, s = common.sample(noise), salient.sample(noise)
            decoded = self.decoded(c, torch.cat([torch.zeros_like(s[:backgrounds]), s[backgrounds:]]))
            logits = self.logits(torch.cat([c, s], 1))
        terms = {
            "reconstruction": squared_error(images, decoded),
            "common_kl": gaussian_kl(*common),
            "salient_kl": gaussian_kl(salient.mean[backgrounds:], salient.log_variance[backgrounds:]),
            "total_correlation": positive_density_ratio(logits),
        }
        total = weighted_sum(terms, self.config)
        descend(self.optimizers["vae"], total)
        return {"total": total, **terms, "discriminator": discriminator}
