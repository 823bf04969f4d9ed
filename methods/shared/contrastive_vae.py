"""What contrastive variational auto-encoders share: two encoders, a decoder and, in some, a discriminator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import SPACES, DataForm, DatasetInfo
from cabench.method import Generative, Representation
from cabench.methods.losses.total_correlation import discriminator_loss
from cabench.methods.networks.choices import ARCHITECTURES, ArchitectureName, check_architecture
from cabench.methods.networks.critics import latent_discriminator
from cabench.methods.networks.variational import Posterior
from cabench.search import Log
from cabench.training import GradientTrainedMethod, TrainingConfig, descend


@dataclass(frozen=True)
class ContrastiveVAEConfig(TrainingConfig):
    """Networks and their optimizer; each method gives its own defaults."""

    learning_rate: float = setting(1e-3, above=0, search=Log(1e-4, 1e-2), help="Adam's learning rate, constant")
    architecture: ArchitectureName = setting(
        "sepvae_32", help="networks, named by the image size that they were published for; mlp for tables"
    )
    d_common: int = setting(64, at_least=1, help="size of the common vector")
    d_salient: int = setting(64, at_least=1, help="size of the salient vector")


class ContrastiveVAE(GradientTrainedMethod, Generative):
    """A common encoder, a salient encoder and a decoder of both vectors together.

    Background images are decoded with a salient vector of zeros. The representation is the posterior means.
    """

    config: ContrastiveVAEConfig
    takes = ("images", "tables")

    def check(self, info: DatasetInfo) -> None:
        """Refuse examples that the networks do not take."""
        super().check(info)
        check_architecture(self.config.architecture, info, self.name)

    def build(self, form: DataForm) -> nn.ModuleDict:
        """A common encoder, a salient encoder and a decoder."""
        config, shape = self.config, form.image_shape
        architecture = ARCHITECTURES[config.architecture]
        return nn.ModuleDict(
            {
                "common": architecture.encoder(shape, config.d_common),
                "salient": architecture.encoder(shape, config.d_salient),
                "decoder": architecture.decoder(config.d_common + config.d_salient, shape),
            }
        )

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam over everything."""
        return {"vae": Adam(self.network.parameters(), lr=self.config.learning_rate, fused=True)}

    def represent(self, images: Tensor) -> Representation:
        """The posterior means."""
        common, salient = self.posteriors(images)
        return Representation(common.mean, salient.mean)

    def decode(self, representation: Representation) -> Tensor:
        """See `Generative`. A salient vector of zeros gives a background image."""
        with self.evaluating() as device:
            return self.decoded(*(vectors.to(device) for vectors in representation)).float()

    def posteriors(self, images: Tensor) -> tuple[Posterior, Posterior]:
        """Common and salient posterior of float32 images in [0, 1], or rows of a table."""
        common, salient = (self.network[space](images) for space in SPACES)
        return common, salient

    def decoded(self, common: Tensor, salient: Tensor) -> Tensor:
        """Images in [0, 1], or rows of a table, decoded from vectors (n, d_common) and (n, d_salient)."""
        images: Tensor = self.network["decoder"](torch.cat([common, salient], dim=1))
        return images


class AdversarialVAE(ContrastiveVAE):
    """A contrastive VAE whose total correlation of common and salient latents is estimated by a discriminator.

    The discriminator D has an optimizer of its own and is trained on latents that carry no gradient. The VAE is then
    penalised with the log-ratio log D / (1 - D), computed as D's logit, which does not saturate.
    """

    def make_discriminator(self) -> nn.Module:
        """A network from (n, d_common + d_salient) latents to (n, 1) logits of being joint rather than shuffled."""
        size = self.config.d_common + self.config.d_salient
        return latent_discriminator(size, size)

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
        return loss

    def logits(self, latents: Tensor) -> Tensor:
        """The discriminator's (n, 1) logits, log D / (1 - D), of (n, d_common + d_salient) latents."""
        logits: Tensor = self.network["discriminator"](latents)
        return logits
