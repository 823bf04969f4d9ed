"""Control: a beta-VAE trained on all images; both spaces hold the same vector.

Paper: Higgins et al. "beta-VAE: learning basic visual concepts with a constrained variational framework", ICLR 2017.

    L = squared_error + beta KL(z)

It is not told which images are target, so the difference to a contrastive VAE shows what contrasting adds. Networks and
optimizer are those of the contrastive VAEs here; each step sees equal halves of background and target. The squared
error has no factor 1/2, so `beta` = 2 gives the evidence lower bound (ELBO) under a Gaussian of unit variance.

Both vectors are the posterior mean, for background images as for targets. The decoder reads only the common vector, so
swapping or removing the salient vector changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cabench.config import setting
from cabench.context import FitContext
from cabench.data.dataset import DataForm, DatasetInfo
from cabench.method import Generative, Representation
from cabench.methods.losses.vae import gaussian_kl, squared_error
from cabench.methods.networks.choices import ARCHITECTURES, ArchitectureName, check_architecture
from cabench.search import Log
from cabench.training import Batch, GradientTrainedMethod, TrainingConfig, descend


@dataclass(frozen=True)
class BetaVAEConfig(TrainingConfig):
    """Defaults: the budget of the contrastive VAEs on CIFAR-MNIST, and the paper's beta = 4 relative to the ELBO."""

    epochs: int = 250
    batch_size: int = 512
    learning_rate: float = setting(1e-3, above=0, search=Log(1e-4, 1e-2), help="Adam's learning rate, constant")
    architecture: ArchitectureName = setting(
        "sepvae_32", help="networks, named by the image size that they were published for; mlp for tables"
    )
    dimensions: int = setting(64, at_least=1, help="size of the vector, the same for both spaces")
    beta: float = setting(
        8.0, at_least=0, search=Log(0.01, 10), help="weight of the KL term; 2 is the evidence lower bound"
    )


class BetaVAE(GradientTrainedMethod, Generative):
    """One encoder and one decoder; see the module."""

    name = "beta_vae"
    version = 1
    Config = BetaVAEConfig
    config: BetaVAEConfig
    takes = ("images", "tables")
    one_space = True

    def check(self, info: DatasetInfo) -> None:
        """Refuse examples that the networks do not take."""
        super().check(info)
        check_architecture(self.config.architecture, info, self.name)

    def build(self, form: DataForm) -> nn.ModuleDict:
        """An encoder and a decoder."""
        shape, size = form.image_shape, self.config.dimensions
        architecture = ARCHITECTURES[self.config.architecture]
        return nn.ModuleDict(
            {"encoder": architecture.encoder(shape, size), "decoder": architecture.decoder(size, shape)}
        )

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam over everything."""
        return {"vae": Adam(self.network.parameters(), lr=self.config.learning_rate, fused=True)}

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        """One step on all images together."""
        images = torch.cat([background.images, target.images])
        with context.autocast():
            posterior = self.network["encoder"](images)
            decoded = self.network["decoder"](posterior.sample(context.randomness.noise))
        reconstruction, kl = squared_error(images, decoded), gaussian_kl(*posterior)
        total = reconstruction + self.config.beta * kl
        descend(self.optimizers["vae"], total)
        return {"total": total, "reconstruction": reconstruction, "kl": kl}

    def represent(self, images: Tensor) -> Representation:
        """The posterior mean as both vectors."""
        mean = self.network["encoder"](images).mean
        return Representation(mean, mean)

    def decode(self, representation: Representation) -> Tensor:
        """See `Generative`; the salient vector is not used."""
        with self.evaluating() as device:
            images: Tensor = self.network["decoder"](representation.common.to(device)).float()
        return images
