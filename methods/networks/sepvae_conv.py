"""SepVAE's networks for 32 x 32 images (card A7): convolutions without normalisation.

They also serve MM-cVAE on images of that size, for which its authors released no network (card table D16).
"""

from __future__ import annotations

from torch import Tensor, nn

HIDDEN = 256


class SepVAEEncoder(nn.Module):
    """Mean and log-variance of a Gaussian posterior. 264,416 parameters for 3 channels and size 64."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*_trunk(channels), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.mean = nn.Linear(HIDDEN, size)
        self.log_variance = nn.Linear(HIDDEN, size)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n, size) mean and log-variance of (n, channels, 32, 32) images in [0, 1]."""
        features = self.trunk(images)  # (n, 256)
        return self.mean(features), self.log_variance(features)


def sepvae_features(channels: int, size: int) -> nn.Module:
    """The same trunk as a deterministic encoder of (n, channels, 32, 32) images. Output: (n, size)."""
    return nn.Sequential(*_trunk(channels), nn.Linear(HIDDEN, size))


class SepVAEDecoder(nn.Module):
    """Images from latent vectors. 264,291 parameters for size 128 and 3 channels."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(size, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Unflatten(1, (HIDDEN, 1, 1)),
            nn.ConvTranspose2d(HIDDEN, 32, 4, 2, 0),  # 4 x 4
            nn.ReLU(),
            nn.ConvTranspose2d(32, 32, 4, 2, 1),  # 8 x 8
            nn.ReLU(),
            nn.ConvTranspose2d(32, 32, 4, 2, 1),  # 16 x 16
            nn.ReLU(),
            nn.ConvTranspose2d(32, channels, 4, 2, 1),  # 32 x 32
            nn.Sigmoid(),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """(n, channels, 32, 32) images in [0, 1] of (n, size) latent vectors."""
        images: Tensor = self.layers(latents)
        return images


def _trunk(channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, 32, 4, 2, 1),  # 16 x 16
        nn.ReLU(),
        nn.Conv2d(32, 32, 4, 2, 1),  # 8 x 8
        nn.ReLU(),
        nn.Conv2d(32, 32, 4, 2, 1),  # 4 x 4
        nn.ReLU(),
        nn.Conv2d(32, HIDDEN, 4, 2, 0),  # 1 x 1
        nn.ReLU(),
        nn.Flatten(),
    ]
