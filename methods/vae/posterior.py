"""What a variational encoder says of an image: a diagonal Gaussian over latent vectors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Posterior(NamedTuple):
    """A diagonal Gaussian a row: float32 mean and log-variance, each (n, d)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """One reparametrised sample a row, (n, d)."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + torch.exp(self.log_variance / 2) * noise
