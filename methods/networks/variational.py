"""What variational encoders and decoders share: a Gaussian posterior, its two heads, and layers back to images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Posterior(NamedTuple):
    """One diagonal Gaussian per row: float32 mean and log-variance, each (n, d)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """One reparametrised sample per row, (n, d)."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + torch.exp(self.log_variance / 2) * noise


class GaussianEncoder(nn.Module):
    """A trunk with `features` outputs, and on it linear heads for mean and log-variance, of `size` outputs each."""

    def __init__(self, trunk: nn.Module, features: int, size: int, bias: bool = True) -> None:
        super().__init__()
        self.trunk = trunk
        self.mean = nn.Linear(features, size, bias=bias)
        self.log_variance = nn.Linear(features, size, bias=bias)

    def forward(self, examples: Tensor) -> Posterior:
        """The posterior, (n, size), of images in [0, 1] or rows of a table."""
        features = self.trunk(examples).flatten(1)
        return Posterior(self.mean(features).float(), self.log_variance(features).float())


class Decoder(nn.Module):
    """Layers from (n, size) latent vectors to (n, channels, height, width) images."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """Images in the range of the last layer."""
        images: Tensor = self.layers(latents)
        return images
