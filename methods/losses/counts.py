"""Log-likelihoods of counts, and the distance of a Gaussian to zero, as contrastiveVI has them.

Source: Weinberger, Lin, Lee, Nature Methods 20:1336 (2023), with the small constant of its released code (commit
2835d29) inside logarithms of rates and dispersions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from cabench.methods.losses.precision import exact

SMALLEST = 1e-8  # added inside logarithms


def negative_binomial(counts: Tensor, rate: Tensor, dispersion: Tensor) -> Tensor:
    """Log-probability of each count under a negative binomial of mean mu and variance mu + mu^2 / theta.

    log p(x) = theta log(theta / (theta + mu)) + x log(mu / (theta + mu))
             + log Gamma(x + theta) - log Gamma(theta) - log Gamma(x + 1)

    Args:
        counts: x, floats (n, genes) from 0 up.
        rate: mu, floats (n, genes) from 0 up.
        dispersion: theta, positive floats (n, genes), or (genes,) where all rows share them.

    Returns:
        (n, genes), float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if counts and rates differ in shape.
    """
    precision = torch.result_type(_checked(counts, rate), exact(rate))
    # Large dispersions nearly cancel: in float32, log p(10^4) at theta = 10^8 would be off by 66.
    counts, rate, dispersion = counts.double(), rate.double(), dispersion.double()
    both = (dispersion + rate + SMALLEST).log()
    none = dispersion * ((dispersion + SMALLEST).log() - both)
    choices = (counts + dispersion).lgamma() - dispersion.lgamma() - (counts + 1).lgamma()
    return (none + counts * ((rate + SMALLEST).log() - both) + choices).to(precision)


def zero_inflated_negative_binomial(counts: Tensor, rate: Tensor, dispersion: Tensor, zero_logit: Tensor) -> Tensor:
    """Log-probability of each count where a count is lost, and so 0, with probability pi = sigmoid(zero_logit).

    p(0) = pi + (1 - pi) NB(0), and p(x) = (1 - pi) NB(x) from 1 up; the mean is (1 - pi) mu.

    Args:
        counts: x, floats (n, genes) from 0 up.
        rate: mu, floats (n, genes) from 0 up.
        dispersion: theta, positive floats (n, genes), or (genes,) where all rows share them.
        zero_logit: floats (n, genes).

    Returns:
        (n, genes), float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if counts and rates differ in shape.
    """
    kept, zero_logit = negative_binomial(counts, rate, dispersion), exact(zero_logit)
    # Of a count of 0, `kept` is log NB(0); log(pi + (1 - pi) NB(0)) is then taken without leaving logarithms.
    inflated = softplus(kept - zero_logit)
    return (inflated.where(counts == 0, kept - zero_logit)) - softplus(-zero_logit)


def squared_wasserstein_to_zero(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of diagonal Gaussians to the point 0, summed over the batch.

    squared_wasserstein_to_zero(mu, log sigma^2) = sum (mu^2 + sigma^2)

    Args:
        mean: floats (n, d); an empty batch has distance 0.
        log_variance: floats of the same shape, the natural logarithm of the variance.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if the shapes differ.
    """
    if mean.shape != log_variance.shape:
        raise ValueError(f"Means {tuple(mean.shape)} and variances {tuple(log_variance.shape)} must have equal shapes.")
    return (exact(mean).square() + exact(log_variance).exp()).sum()


def _checked(counts: Tensor, rate: Tensor) -> Tensor:
    if counts.shape != rate.shape:
        raise ValueError(f"Counts {tuple(counts.shape)} and rates {tuple(rate.shape)} must have equal shapes.")
    return exact(counts)
