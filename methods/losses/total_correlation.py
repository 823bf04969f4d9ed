"""Total correlation of common and salient vectors, estimated by a discriminator of joint against shuffled pairs.

With D the probability that a pair is joint, log D / (1 - D) estimates the log-ratio of the joint density to the product
of the marginals. The discriminator gives its logit, which is that log-ratio: nothing saturates.

Sources: Abid and Zou, 2019, arXiv 1902.04601 (pairs by halves, linear penalty); SepVAE, 2023, arXiv 2307.06206, with
the reductions of its released code, commit 5974340 (pairs by shifting, positive part).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from cabench.methods.losses.precision import exact


def shuffled(salient: Tensor) -> Tensor:
    """Each row's vector replaced by that of the row a quarter of the batch further on, wrapping round.

    In a batch of background rows followed by as many target rows, half of the resulting pairs then mix the populations,
    as in the release, which takes the next row of a batch in random order. Here the next row would nearly always be of
    the same population, and pairs would not show that c and s both depend on the population.

    Args:
        salient: (n, d) floats.

    Returns:
        (n, d), the same rows.
    """
    return salient.roll(-max(1, len(salient) // 4), dims=0)


def halves_swapped(common: Tensor, salient: Tensor) -> tuple[Tensor, Tensor]:
    """Joint and shuffled pairs from the first half (1) and the second half (2) of the rows.

    Args:
        common: (n, d_c) floats; an odd last row is left out.
        salient: (n, d_s) floats, row i of the same image as row i of `common`.

    Returns:
        [c1, s1], [c2, s2] and [c1, s2], [c2, s1], each (2 (n // 2), d_c + d_s).

    Raises:
        ValueError: if a shape is not (n, d), or the row counts differ.
    """
    if common.ndim != 2 or salient.ndim != 2 or len(common) != len(salient):
        raise ValueError(
            "halves_swapped needs shapes (n, d_c) and (n, d_s) with the same n, "
            f"but got {tuple(common.shape)} and {tuple(salient.shape)}."
        )
    half = len(common) // 2
    c, s = common[: 2 * half], salient[: 2 * half]
    return torch.cat([c, s], dim=1), torch.cat([c, s.roll(half, dims=0)], dim=1)


def discriminator_loss(joint_logits: Tensor, shuffled_logits: Tensor) -> Tensor:
    """What the discriminator minimises: binary cross-entropy, summed over rows.

    discriminator_loss = - sum log D(joint) - sum log (1 - D(shuffled))

    Args:
        joint_logits: floats of any shape, logits of joint pairs.
        shuffled_logits: likewise of shuffled pairs.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.
    """
    return softplus(-exact(joint_logits)).sum() + softplus(exact(shuffled_logits)).sum()


def density_ratio(joint_logits: Tensor) -> Tensor:
    """The log-ratio log D / (1 - D), summed over rows: 0-d, float32 (float64 for float64 input).

    Args:
        joint_logits: floats of any shape, logits of joint pairs.
    """
    return exact(joint_logits).sum()


def positive_density_ratio(joint_logits: Tensor) -> Tensor:
    """Likewise, but a row counts only where its log-ratio is positive, that is where D > 1/2.

    Args:
        joint_logits: floats of any shape, logits of joint pairs.
    """
    return relu(exact(joint_logits)).sum()
