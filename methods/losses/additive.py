"""The terms of methods that split rows of features into a common and a salient part which add up.

Sources: Diff-CA, arXiv 2606.06120, and SAGE, Liang et al., 2026, as card F8 states them. Norms are those of whole rows,
summed over features; means are over rows.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from cabench.methods.losses.infogan import affirmed, denied
from cabench.methods.losses.precision import exact


def squared_length(rows: Tensor) -> Tensor:
    """Mean of ||x||^2 over rows: 0-d, float32 (float64 for float64 input).

    Args:
        rows: (n, features) floats, n at least 1.
    """
    return exact(rows).square().sum(1).mean()


def length(rows: Tensor) -> Tensor:
    """Mean of |x|_1 over rows: 0-d, float32 (float64 for float64 input).

    Args:
        rows: (n, features) floats, n at least 1.
    """
    return exact(rows).abs().sum(1).mean()


def absence(salient: Tensor) -> Tensor:
    """Mean of exp(-||z_s||^2) over target rows: 1 where the salient part is zero, 0 where it is long.

    Its gradient is zero at z_s = 0, and vanishes again for ||z_s|| above 2.

    Args:
        salient: (n, features) floats, n at least 1.

    Returns:
        0-d tensor, float32 (float64 for float64 input).
    """
    return (-exact(salient).square().sum(1)).exp().mean()


def cross_entropy(background_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Binary cross-entropy of telling target from background, each population counted half: 0-d.

    cross_entropy = - (mean log D(target) + mean log (1 - D(background))) / 2

    Args:
        background_logits: floats of any shape, logits of being a target row.
        target_logits: likewise of target rows.
    """
    return (affirmed(target_logits) + denied(background_logits)) / 2


def hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The hinge loss of a discriminator: mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)), 0-d.

    Args:
        real_logits: floats of any shape.
        fake_logits: likewise.
    """
    return relu(1 - exact(real_logits)).mean() + relu(1 + exact(fake_logits)).mean()
