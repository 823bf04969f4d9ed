"""Fully connected networks for rows of a table of standardised features.

The variational ones are MM-cVAE's for single-cell tables (card A6): one hidden layer of 400 and a linear output, with
which the squared error is the likelihood of a Gaussian, as for images. No paper reproduced here has a contrastive
encoder of tables; the one below is this project's choice. It is normalised by row: with batch normalisation, methods
that pass background and target separately would lose the difference of their means, often the best clue in a table.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from cabench.methods.networks.variational import GaussianEncoder

WIDTHS = (256, 256)
HIDDEN = 400


def mlp(shape: tuple[int, ...], size: int) -> nn.Module:
    """Two hidden layers with layer normalisation and ReLU, a linear output: (n, size) vectors of (n, features) rows."""
    layers: list[nn.Module] = []
    for before, after in pairwise((shape[0], *WIDTHS)):
        layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTHS[-1], size))


def mlp_vae_encoder(shape: tuple[int, ...], size: int) -> nn.Module:
    """One hidden layer, then the (n, size) posterior of (n, features) rows."""
    return GaussianEncoder(nn.Sequential(nn.Linear(shape[0], HIDDEN), nn.ReLU()), HIDDEN, size)


def mlp_decoder(size: int, shape: tuple[int, ...]) -> nn.Module:
    """One hidden layer from (n, size) latent vectors to rows (n, features) of unbounded values."""
    return nn.Sequential(nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, shape[0]))
