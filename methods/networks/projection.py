"""An encoder with a projector on top, as contrastive methods train them."""

from __future__ import annotations

from torch import Tensor, nn

WIDTH = 128


class ProjectedEncoder(nn.Module):
    """An encoder, whose output is the representation, and a projector on top of it, which the loss sees (card A1)."""

    def __init__(self, encoder: nn.Module, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = nn.Sequential(nn.Linear(size, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, size))

    def forward(self, images: Tensor) -> Tensor:
        """Projected (n, size) vectors of (n, channels, height, width) images."""
        projected: Tensor = self.projector(self.encode(images))
        return projected

    def encode(self, images: Tensor) -> Tensor:
        """The (n, size) vectors that are projected: the representation."""
        encoded: Tensor = self.encoder(images)
        return encoded
