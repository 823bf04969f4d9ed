"""The discriminator that tells joint latent vectors from shuffled ones (SepVAE's, card A7)."""

from __future__ import annotations

from torch import nn

HIDDEN = 128


def latent_discriminator(size: int) -> nn.Module:
    """Two hidden layers of 128 with ReLU, from (n, size) latents to (n, 1) logits. 33,153 parameters for size 128."""
    return nn.Sequential(nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
