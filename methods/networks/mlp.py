"""Fully connected networks for rows of a table of standardised features.

The variational ones are MM-cVAE's for single-cell tables (card A6): one hidden layer of 400 and a linear output, under
which the squared error is the likelihood of a Gaussian, as it is for images. No paper reproduced here has a contrastive
encoder of tables; the one below is this project's choice. It is normalised by row: in batch normalisation, methods that
pass background and target apart would lose the difference between the two means, which in a table often says most.
"""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (256, 256)
HIDDEN = 400


def mlp(features: int, size: int) -> nn.Module:
    """Two hidden layers with layer normalisation and ReLU, a linear output: (n, size) vectors of (n, features) rows."""
    layers: list[nn.Module] = []
    for before, width in zip((features, *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Linear(before, width), nn.LayerNorm(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTHS[-1], size))


class MLPEncoder(nn.Module):
    """Mean and log-variance of a Gaussian posterior."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU())
        self.mean = nn.Linear(HIDDEN, size)
        self.log_variance = nn.Linear(HIDDEN, size)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, size) mean and log-variance of (n, features) rows."""
        hidden = self.trunk(rows)  # (n, 400)
        return self.mean(hidden), self.log_variance(hidden)


def mlp_decoder(size: int, features: int) -> nn.Module:
    """Rows (n, features), of any size, of (n, size) latent vectors."""
    return nn.Sequential(nn.Linear(size, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, features))
