"""SepVAE: a contrastive VAE whose background images have a narrow salient prior around zero.

Paper: Louiset, Duchesnay, Grigis, Dufumier, Gori. "SepVAE: a contrastive VAE to separate pathological patterns from
healthy ones", 2023, arXiv 2307.06206. Reproduced: the released CIFAR-MNIST script (commit 5974340), whose values are
the defaults of `SepVAEConfig`; `architecture = "sepvae_64"` gives the networks of its CelebA and pneumonia scripts.

The salient posterior of background images has a fixed variance, `background_variance`. z = [c, s] is sampled once for
all rows and decoded with s replaced by zero for background images. With z^ the same as z with s taken from another row
of the batch, D a discriminator and h a classifier of target (y = 1) against background (y = 0):

    L   = squared_error + common_kl_weight KL(c | all) + salient_kl_weight KL(s | target)
        + salient_kl_weight / (2 prior_variance) sum_background ||mean of s||^2
        + total_correlation_weight sum_all max(0, log D(z) / (1 - D(z)))
        + classification_weight sum_all BCE(h(s), y)
    L_D = - sum log D(z) - sum log(1 - D(z^))

Each step first updates D on L_D with latents that carry no gradient, then encoders, decoder and h on L with new
samples. Both Adam optimizers are made anew at the start of every epoch, which the authors found better.

Kept as released, and worth knowing: the classification term carries a weight of 1e-10, which makes it numerically
absent, although the paper presents it as one of two regularisers; the value 0.1 that the release calls sigma_q is a
variance (a standard deviation of 0.32); the total correlation sees the noisy salient samples of background images,
although the decoder sees zeros for them; the background prior's constant terms are left out.

Deviations: the log-ratio is D's logit, which cannot become infinite; each step sees equal halves of background and
target, which are not mixed, so that the other row is not the next one (see `shuffled`); the classifiers that the
release trains only for display are left out; h takes the salient size where the release builds it by the common one,
which is the same there; networks may run in bf16, losses in float32.

The representation is the posterior means, computed without knowing the population. The salient vector of a background
image is the salient encoder's mean for it: its prior pulls it to zero, but nothing forces it there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import DataForm
from cabench.methods.losses.total_correlation import positive_density_ratio, shuffled
from cabench.methods.losses.vae import gaussian_kl, squared_error
from cabench.methods.networks.critics import latent_classifier
from cabench.methods.networks.variational import Posterior
from cabench.methods.shared.contrastive_vae import AdversarialVAE, ContrastiveVAEConfig
from cabench.search import Log
from cabench.training import Batch, descend


@dataclass(frozen=True)
class SepVAEConfig(ContrastiveVAEConfig):
    """Defaults: the released CIFAR-MNIST script (card A7)."""

    epochs: int = 250
    batch_size: int = 512
    common_kl_weight: float = setting(0.5, at_least=0, search=Log(0.01, 1), help="beta_c, weight of KL(c)")
    salient_kl_weight: float = setting(
        0.5, at_least=0, search=Log(0.005, 1), help="beta_s, weight of both salient prior terms"
    )
    background_variance: float = setting(0.1, above=0, help="sigma_q, of the salient posterior of background images")
    prior_variance: float = setting(
        0.01, above=0, search=Log(1e-4, 1), help="sigma_p = 1 / alpha, of the background's salient prior"
    )
    total_correlation_weight: float = setting(2.0, at_least=0, search=Log(0.05, 10), help="kappa")
    classification_weight: float = setting(1e-10, at_least=0, help="gamma, numerically absent as released")


class SepVAE(AdversarialVAE):
    """Two encoders, one decoder, a discriminator and a classifier; see the module."""

    name = "sepvae"
    version = 3
    Config = SepVAEConfig
    config: SepVAEConfig

    def build(self, form: DataForm) -> nn.ModuleDict:
        """A common encoder, a salient encoder, a decoder, a discriminator and a classifier of salient latents."""
        modules = super().build(form)
        modules["classifier"] = latent_classifier(self.config.d_salient)
        return modules

    def begin_epoch(self) -> None:
        """Make the optimizers anew."""
        self.optimizers = self.make_optimizers()

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """A step of the discriminator, then one of the VAE and the classifier, both on the whole batch."""
        config, noise = self.config, context.randomness.noise
        images, backgrounds = torch.cat([background.images, target.images]), len(background.images)
        with torch.no_grad(), context.autocast():
            c, s = (p.sample(noise) for p in self._training_posteriors(images, backgrounds))
        discriminator = self.train_discriminator(torch.cat([c, s], 1), torch.cat([c, shuffled(s)], 1), context)

        with context.autocast():
            common, salient = self._training_posteriors(images, backgrounds)
            c, s = common.sample(noise), salient.sample(noise)
            decoded = self.decoded(c, torch.cat([torch.zeros_like(s[:backgrounds]), s[backgrounds:]]))
            logits = self.logits(torch.cat([c, s], 1))
            classified = self.network["classifier"](s)[:, 0]
        is_target = (torch.arange(len(images), device=images.device) >= backgrounds).float()
        terms = {
            "reconstruction": squared_error(images, decoded),
            "common_kl": gaussian_kl(*common),
            "salient_kl": gaussian_kl(salient.mean[backgrounds:], salient.log_variance[backgrounds:]),
            "background_prior": salient.mean[:backgrounds].square().sum() / (2 * config.prior_variance),
            "total_correlation": positive_density_ratio(logits),
            "classification": binary_cross_entropy_with_logits(classified.float(), is_target, reduction="sum"),
        }
        total = (
            terms["reconstruction"]
            + config.common_kl_weight * terms["common_kl"]
            + config.salient_kl_weight * (terms["salient_kl"] + terms["background_prior"])
            + config.total_correlation_weight * terms["total_correlation"]
            + config.classification_weight * terms["classification"]
        )
        descend(self.optimizers["vae"], total)
        return {"total": total, **terms, "discriminator": discriminator}

    def _training_posteriors(self, images: Tensor, backgrounds: int) -> tuple[Posterior, Posterior]:
        """Posteriors of a batch whose first rows are background; these rows have the fixed salient variance."""
        common, salient = self.posteriors(images)
        fixed = torch.full_like(salient.log_variance[:backgrounds], math.log(self.config.background_variance))
        return common, Posterior(salient.mean, torch.cat([fixed, salient.log_variance[backgrounds:]]))
