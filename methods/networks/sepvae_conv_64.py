"""SepVAE's networks for 64 x 64 images, as on CelebA and chest X-rays (card A7): convolutions without normalisation."""

from __future__ import annotations

from torch import Tensor, nn

HIDDEN = 256


class SepVAEEncoder64(nn.Module):
    """Mean and log-variance of a Gaussian posterior. 715,840 parameters for 3 channels and size 16."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, 32, 4, 2, 1),  # 32 x 32
            nn.ReLU(),
            nn.Conv2d(32, 32, 4, 2, 1),  # 16 x 16
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2, 1),  # 8 x 8
            nn.ReLU(),
            nn.Conv2d(64, 128, 4, 2, 1),  # 4 x 4
            nn.ReLU(),
            nn.Conv2d(128, HIDDEN, 4, 1, 0),  # 1 x 1
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(HIDDEN, 2 * size),
            nn.ReLU(),
        )
        self.mean = nn.Linear(2 * size, size)
        self.log_variance = nn.Linear(2 * size, size)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n, size) mean and log-variance of (n, channels, 64, 64) images in [0, 1]."""
        features = self.trunk(images)  # (n, 2 size)
        return self.mean(features), self.log_variance(features)


class SepVAEDecoder64(nn.Module):
    """Images from latent vectors. 714,755 parameters for size 32 and 3 channels."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(size, HIDDEN),
            nn.Unflatten(1, (HIDDEN, 1, 1)),
            nn.ReLU(),
            nn.ConvTranspose2d(HIDDEN, 128, 4, 1, 0),  # 4 x 4
            nn.ReLU(),
            nn.ConvTranspose2d(128, 64, 4, 2, 1),  # 8 x 8
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1),  # 16 x 16
            nn.ReLU(),
            nn.ConvTranspose2d(32, 32, 4, 2, 1),  # 32 x 32
            nn.ReLU(),
            nn.ConvTranspose2d(32, channels, 4, 2, 1),  # 64 x 64
            nn.Sigmoid(),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """(n, channels, 64, 64) images in [0, 1] of (n, size) latent vectors."""
        images: Tensor = self.layers(latents)
        return images
