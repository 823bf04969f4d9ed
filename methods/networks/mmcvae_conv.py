"""MM-cVAE's networks for 64 x 64 images (card A6): batch normalisation after each leaky ReLU.

With 3 channels, 16 common and 6 salient dimensions, two encoders and the decoder have 2,345,792 parameters.
"""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (32, 64, 128, 256)
FEATURES = 256 * 4 * 4


class MMcVAEEncoder(nn.Module):
    """Mean and log-variance of a Gaussian posterior."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, width in zip((channels, *WIDTHS), WIDTHS, strict=False):
            blocks += [nn.Conv2d(before, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2), nn.BatchNorm2d(width)]
        self.trunk = nn.Sequential(*blocks, nn.Flatten())
        self.mean = nn.Linear(FEATURES, size, bias=False)
        self.log_variance = nn.Linear(FEATURES, size, bias=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(n, size) mean and log-variance of (n, channels, 64, 64) images in [0, 1]."""
        features = self.trunk(images)  # (n, 4096)
        return self.mean(features), self.log_variance(features)


class MMcVAEDecoder(nn.Module):
    """Images from latent vectors."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for width, after in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True):
            layer = nn.ConvTranspose2d(width, after, 4, 2, 1, bias=False)
            blocks += [layer, nn.LeakyReLU(0.2), nn.BatchNorm2d(after)]
        self.layers = nn.Sequential(
            nn.Linear(size, FEATURES),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (WIDTHS[-1], 4, 4)),
            *blocks,
            nn.ConvTranspose2d(WIDTHS[0], channels, 4, 2, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """(n, channels, 64, 64) images in [0, 1] of (n, size) latent vectors."""
        images: Tensor = self.layers(latents)
        return images
