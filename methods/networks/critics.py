"""Small networks on latent vectors: how far common and salient ones depend on each other, and whose they are."""

from __future__ import annotations

from torch import Tensor, nn

HIDDEN = 128


def latent_discriminator(size: int, width: int) -> nn.Module:
    """A network that tells joint (n, size) latents from shuffled ones. Output: (n, 1) logits.

    Two hidden layers of `width` with ReLU. SepVAE's are as wide as the latents (card A7): 33,153 parameters for 128.
    """
    return nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


def latent_classifier(size: int) -> nn.Module:
    """SepVAE's network that tells targets from background images by (n, size) latents. Output: (n, 1) logits.

    One hidden layer, as wide as the latents, with ReLU: 4,225 parameters for size 64 (card A7).
    """
    return nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 1))


class ConditionalGaussian(nn.Module):
    """q(y | x): one network of one hidden layer for the mean, one for the log-variance, which is within [-1, 1].

    The bound on the log-variance is that of the vCLUB authors' code (Cheng et al., ICML 2020): without it, a
    prediction can become so sure that the likelihoods of other rows overflow.
    """

    def __init__(self, given: int, predicted: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(given, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, predicted))
        self.log_variance = nn.Sequential(nn.Linear(given, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, predicted), nn.Tanh())

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """(n, predicted) mean and log-variance for (n, given) vectors."""
        return self.mean(given), self.log_variance(given)
