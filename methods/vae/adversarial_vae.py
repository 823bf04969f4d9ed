"""Contrastive variational auto-encoders with a discriminator that tells joint latent vectors from shuffled ones."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cabench.context import FitContext
from cabench.data.dataset import DataForm
from cabench.methods.losses.total_correlation import discriminator_loss
from cabench.methods.vae.contrastive_vae import ContrastiveVAE
from cabench.training import descend


class AdversarialVAE(ContrastiveVAE):
    """A contrastive VAE whose total correlation of common and salient latents is estimated by a discriminator.

    The discriminator D has an optimizer of its own and is trained on latents that carry no gradient. The log-ratio
    log D / (1 - D) that the VAE is then penalised with is D's logit, so that nothing saturates.
    """

    @abstractmethod
    def make_discriminator(self) -> nn.Module:
        """A network from (n, d_common + d_salient) latents to (n, 1) logits of being joint rather than shuffled."""

    def build(self, form: DataForm) -> nn.ModuleDict:
        """A common encoder, a salient encoder, a decoder and a discriminator."""
        modules = super().build(form)
        modules["discriminator"] = self.make_discriminator()
        return modules

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam "discriminator" over the discriminator, Adam "vae" over everything else."""
        adversary = self.network["discriminator"]
        rest = nn.ModuleList(module for module in self.network.values() if module is not adversary)
        rate = self.config.learning_rate
        return {
            "vae": Adam(rest.parameters(), lr=rate, fused=True),
            "discriminator": Adam(adversary.parameters(), lr=rate, fused=True),
        }

    def train_discriminator(self, joint: Tensor, shuffled: Tensor, context: FitContext) -> Tensor:
        """One step of the discriminator on (n, d_common + d_salient) latents without gradients; its 0-d loss."""
        with context.autocast():
            logits = self.logits(joint), self.logits(shuffled)
        loss = discriminator_loss(*logits)
        descend(self.optimizers["discriminator"], loss)
        return loss.detach()

    def logits(self, latents: Tensor) -> Tensor:
        """The discriminator's (n, 1) logits, log D / (1 - D), of (n, d_common + d_salient) latents."""
        logits: Tensor = self.network["discriminator"](latents)
        return logits
