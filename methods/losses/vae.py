"""The two terms of a variational auto-encoder's objective, as sums over the batch.

Source: MM-cVAE, AISTATS 2022, arXiv 2202.10560, with the reductions of its released code (commit 58df4e0).
"""

from __future__ import annotations

from torch import Tensor

from cabench.methods.losses.precision import exact


def squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Reconstruction error, summed over batch, channels and pixels, without a factor 1/2.

    squared_error(x, x^) = sum ||x - x^||^2

    Args:
        images: floats of any shape; an empty batch has error 0.
        reconstructions: floats of the same shape.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if the shapes differ.
    """
    if images.shape != reconstructions.shape:
        raise ValueError(
            f"squared_error needs two equal shapes, but got {tuple(images.shape)} and {tuple(reconstructions.shape)}."
        )
    return (exact(images) - exact(reconstructions)).square().sum()


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of a diagonal Gaussian from the standard one, summed over batch and dimensions.

    gaussian_kl(mu, log sigma^2) = sum KL(N(mu, sigma^2) || N(0, 1)) = 1/2 sum (mu^2 + sigma^2 - 1 - log sigma^2)

    Args:
        mean: floats of any shape, usually (n, d); an empty batch has divergence 0.
        log_variance: floats of the same shape, the natural logarithm of the variance.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if the shapes differ.
    """
    if mean.shape != log_variance.shape:
        raise ValueError(
            f"gaussian_kl needs two equal shapes, but got {tuple(mean.shape)} and {tuple(log_variance.shape)}."
        )
    mean, log_variance = exact(mean), exact(log_variance)
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
