"""Fully connected networks of contrastiveVI for rows of counts, and its warm-up.

Source: Weinberger, Lin, Lee, Nature Methods 20:1336 (2023), released code (commit 2835d29). Each network has one hidden
layer. Dropout draws from a generator that the caller gives, so that runs repeat and resume bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cabench.methods.networks.variational import Posterior

SMALLEST_VARIANCE = 1e-4  # of a posterior


def hidden_layer(inputs: int, width: int) -> nn.Sequential:
    """A linear layer with batch normalisation and ReLU: (n, width) of (n, inputs)."""
    return nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width, eps=1e-3, momentum=0.01), nn.ReLU())


def dropped(features: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Dropout: each value 0 with probability `rate` in [0, 1), else divided by 1 - rate; same shape."""
    kept = torch.rand(features.shape, generator=generator, device=features.device) >= rate
    return features * kept / (1 - rate)


def _unchanged(features: Tensor) -> Tensor:
    return features


class CountEncoder(nn.Module):
    """A hidden layer, and on it the heads of a Gaussian posterior whose variance is exp(head) + 1e-4."""

    def __init__(self, inputs: int, width: int, size: int) -> None:
        super().__init__()
        self.hidden = hidden_layer(inputs, width)
        self.mean = nn.Linear(width, size)
        self.log_variance = nn.Linear(width, size)

    def forward(self, inputs: Tensor, dropout: Callable[[Tensor], Tensor] = _unchanged) -> Posterior:
        """The posterior, (n, size), of (n, inputs) rows; in training with dropout of the hidden layer."""
        hidden = dropout(self.hidden(inputs))
        log_variance = self.log_variance(hidden).float()
        least = torch.full_like(log_variance, math.log(SMALLEST_VARIANCE))
        return Posterior(self.mean(hidden).float(), torch.logaddexp(log_variance, least))


class Decoded(NamedTuple):
    """What a decoder says of n rows.

    Attributes:
        shares: float32 (n, genes), what part of a row's total each gene has; they sum to 1.
        dispersion: float32 (genes,), theta, which all rows share.
        zero_logits: of each further head float32 (n, genes), logits of losing a count.
    """

    shares: Tensor
    dispersion: Tensor
    zero_logits: tuple[Tensor, ...]


class CountDecoder(nn.Module):
    """A hidden layer, and on it linear heads with one output a gene; and the dispersion of each gene."""

    def __init__(self, inputs: int, width: int, genes: int, heads: int) -> None:
        super().__init__()
        self.hidden = hidden_layer(inputs, width)
        self.heads = nn.ModuleList(nn.Linear(width, genes) for _ in range(heads))
        self.log_dispersion = nn.Parameter(torch.randn(genes))

    def forward(self, inputs: Tensor) -> Decoded:
        """For (n, inputs) latent vectors and indicators of the batch."""
        hidden = self.hidden(inputs)
        shares, *zero_logits = (head(hidden).float() for head in self.heads)
        return Decoded(shares.softmax(1), self.log_dispersion.exp(), tuple(zero_logits))


class WarmUp(nn.Module):
    """A weight that rises linearly by epoch, from 0 in the first one to 1 after `epochs` of them.

    It is a module so that a checkpoint keeps the epoch.
    """

    epoch: Tensor

    def __init__(self, epochs: float) -> None:
        super().__init__()
        self.epochs = epochs
        self.register_buffer("epoch", torch.tensor(-1))  # before the first

    def begin_epoch(self) -> None:
        """To be called before each epoch."""
        self.epoch += 1

    def forward(self) -> Tensor:
        """The weight in this epoch, 0-d in [0, 1]."""
        return (self.epoch / self.epochs).clamp(0, 1)
