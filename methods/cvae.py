"""cVAE: the contrastive variational auto-encoder, with its total-correlation term trained against a discriminator.

Paper: Abid and Zou. "Contrastive variational autoencoder enhances salient features", 2019, arXiv 1902.04601.
Reproduced: the paper's model, with the convolutional networks and the values of the usual PyTorch re-implementation
(MM-cVAE's repository, commit 58df4e0), which are the defaults of `CVAEConfig`.

Background images are decoded from [c, 0], target images from [c, s]. With D a linear discriminator, and the target rows
of a batch split in halves 1 and 2, joint latents are q = [c1, s1], [c2, s2], shuffled ones q^ = [c1, s2], [c2, s1]:

    L   = squared_error + KL(c | background) + KL(c | target) + KL(s | target)
        + total_correlation_weight sum log D(q) / (1 - D(q))
    L_D = - sum log D(q) - sum log(1 - D(q^))

Each step first updates D on L_D, with latents that carry no gradient, then encoders and decoder on L. The log-ratio is
D's logit and the penalty is linear in it, as in the paper's code.

The published code is not followed: it minimises L + L_D over all parameters at once with one optimizer. With weight 1
log D(q) / (1 - D(q)) - log D(q) - log(1 - D(q^)) = - log(1 - D(q)) - log(1 - D(q^)): the terms that would make D
recognise joint latents cancel, the minimum is D = 0 everywhere, and nothing drives c and s apart; with a weight above
1 the sum has no minimum at all. In the convolutional re-implementation an inverted guard against log 0 also replaces
every score by a constant, so that no gradient remains: it optimises the plain ELBO, which is
`total_correlation_weight = 0` here.

Deviations: the alternation just described; channels are in their true order (the re-implementation scrambles them when
it loads CelebA); each step sees equal halves of background and target (an odd last target row takes no part in the
total correlation), and images that do not fill a batch wait for the next epoch; representations are taken in eval mode;
networks may run in bf16, losses in float32. Background and target pass the networks in separate calls, as released;
targets do so twice, first for D, and so count twice in the running statistics of batch normalisation.

The representation is the posterior means. The salient vector of a background image is the salient encoder's mean for
it: nothing in training says what that should be.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cabench.config import setting
from cabench.context import FitContext
from cabench.methods.losses.total_correlation import density_ratio, halves_swapped
from cabench.methods.losses.vae import gaussian_kl, squared_error
from cabench.methods.networks.choices import ArchitectureName
from cabench.methods.shared.contrastive_vae import AdversarialVAE, ContrastiveVAEConfig
from cabench.search import Log
from cabench.training import Batch, descend, weighted_sum


@dataclass(frozen=True)
class CVAEConfig(ContrastiveVAEConfig):
    """Defaults: the re-implementation's CelebA experiment (card A4)."""

    epochs: int = 100
    batch_size: int = 128
    architecture: ArchitectureName = "mmcvae_64"
    d_common: int = 16
    d_salient: int = 6
    common_kl_weight: float = setting(1.0, at_least=0, search=Log(0.01, 1), help="beta, weight of KL(c)")
    salient_kl_weight: float = setting(1.0, at_least=0, search=Log(0.01, 1), help="beta, weight of KL(s)")
    total_correlation_weight: float = setting(
        1.0, at_least=0, search=Log(0.01, 10), help="gamma, weight of the log-ratio"
    )


class CVAE(AdversarialVAE):
    """Two encoders, one decoder and a linear discriminator; see the module."""

    name = "cvae"
    version = 1
    Config = CVAEConfig
    config: CVAEConfig

    def make_discriminator(self) -> nn.Module:
        """One linear layer."""
        return nn.Linear(self.config.d_common + self.config.d_salient, 1)

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """A step of the discriminator on targets, then one of the VAE on the background and the target half."""
        noise = context.randomness.noise
        with torch.no_grad(), context.autocast():
            common, salient = (posterior.sample(noise) for posterior in self.posteriors(target.images))
        discriminator = self.train_discriminator(*halves_swapped(common, salient), context)

        with context.autocast():
            (common_b, salient_b), (common_t, salient_t) = (self.posteriors(x.images) for x in (background, target))
            c_b, c_t, s_t = (p.sample(noise) for p in (common_b, common_t, salient_t))
            decoded_b = self.decoded(c_b, torch.zeros_like(salient_b.mean))
            decoded_t = self.decoded(c_t, s_t)
            joint, _ = halves_swapped(c_t, s_t)
            logits = self.logits(joint)
        terms = {
            "reconstruction": squared_error(background.images, decoded_b) + squared_error(target.images, decoded_t),
            "common_kl": gaussian_kl(*common_b) + gaussian_kl(*common_t),
            "salient_kl": gaussian_kl(*salient_t),
            "total_correlation": density_ratio(logits),
        }
        total = weighted_sum(terms, self.config)
        descend(self.optimizers["vae"], total)
        return {"total": total, **terms, "discriminator": discriminator}
