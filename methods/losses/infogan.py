"""The terms of Double InfoGAN's generator, discriminator and CR network.

Source: Double InfoGAN, AISTATS 2024, PMLR 238, arXiv 2401.17776, with the constants and reductions of its released
code (card A8). That code takes logarithms of sigmoids with 1e-8 added; here they are computed from logits, which do not
saturate and need no such constant.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from cabench.methods.losses.precision import exact


def affirmed(logits: Tensor) -> Tensor:
    """Mean of -log p: small where images are judged real, or judged target images.

    Args:
        logits: (n,) floats, of the probability p of being real, or of being a target image.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.
    """
    return softplus(-exact(logits)).mean()


def denied(logits: Tensor) -> Tensor:
    """Mean of -log(1 - p): small where images are judged generated, or background; see `affirmed`."""
    return softplus(exact(logits)).mean()


def absolute_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean of |x - y| over all entries: of decoded images, or of latent vectors that are read back.

    Args:
        x: floats of any shape with at least one entry.
        y: floats of the same shape.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if the shapes differ.
    """
    if x.shape != y.shape:
        raise ValueError(f"absolute_error needs two equal shapes, but got {tuple(x.shape)} and {tuple(y.shape)}.")
    return (exact(x) - exact(y)).abs().mean()


def shared_dimension(logits: Tensor, dimension: Tensor) -> Tensor:
    """Mean cross-entropy of the CR network, which predicts the salient dimension that two images share.

    Args:
        logits: (n, d_salient) floats.
        dimension: (n,) int64, the shared dimension.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.
    """
    return cross_entropy(exact(logits), dimension)
