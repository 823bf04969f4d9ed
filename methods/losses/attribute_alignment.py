"""Alignment weighted by how alike an attribute is, for a salient dimension that is to follow it.

Source: SepCLR, ICLR 2024, arXiv 2402.11928, with the constants of its released loss code for dSprites (commit 0e40bff).
"""

from __future__ import annotations

import torch
from torch import Tensor

SAME_CLASS_DIVISOR = 1e-5
"""Divides squared differences of class indices in the kernel: any two different classes have weight exp(-100000)."""


def attribute_alignment(salient: Tensor, attribute: Tensor, divisor: float) -> Tensor:
    """Draws images together along one salient dimension as far as they are alike in one attribute.

    attribute_alignment(s, a) = mean_{i<j} exp(-(a_i - a_j)^2 / divisor) (s_i - s_j)^2

    The mean runs over the unordered pairs of rows whose attribute is defined; the weights are not normalised.

    Args:
        salient: (n,) floats, one salient dimension of the target images.
        attribute: (n,) floats, NaN where undefined.
        divisor: 2 tau of a real attribute's kernel, in the attribute's unit squared; for a class attribute
            `SAME_CLASS_DIVISOR`, which makes the kernel an indicator of the same class.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; 0 with a gradient of zero where fewer than
        two rows are defined.

    Raises:
        ValueError: if the shapes differ or are not (n,).
    """
    if salient.ndim != 1 or attribute.shape != salient.shape:
        raise ValueError(
            "attribute_alignment needs two equal shapes (n,), "
            f"but got {tuple(salient.shape)} and {tuple(attribute.shape)}."
        )
    s = salient.to(torch.promote_types(salient.dtype, torch.float32))
    defined = ~attribute.isnan()
    a = torch.where(defined, attribute, 0).to(s.dtype)
    weights = torch.exp(-_squared_differences(a) / divisor) * (defined[:, None] & defined)
    pairs = defined.sum() * (defined.sum() - 1)  # ordered; the diagonal adds nothing
    return (weights * _squared_differences(s)).sum() / pairs.clamp(min=1)


def _squared_differences(x: Tensor) -> Tensor:
    return (x[:, None] - x).square()
