"""The information-less term of SepCLR: background images have nothing salient.

Source: SepCLR, ICLR 2024, arXiv 2402.11928, with the constants of its released loss code (commit 0e40bff).
"""

from __future__ import annotations

import torch
from torch import Tensor


def information_less(salient_background: Tensor, temperature: float = 0.5) -> Tensor:
    """Draws the salient vectors of background images to the information-less vector s' = 0.

    information_less(s) = alignment(s, 0) = mean_i ||s_i||^2 / (2 temperature)

    Args:
        salient_background: (n, d) floats, the salient vectors of the background rows alone, n >= 1.
        temperature: width of the Gaussian kernel; at 0.5 the divisor is 1.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast.

    Raises:
        ValueError: if the shape is not (n, d), or there is no row.
    """
    if salient_background.ndim != 2 or len(salient_background) == 0:
        raise ValueError(
            f"information_less needs a shape (n, d) with n >= 1, but got {tuple(salient_background.shape)}."
        )
    s = salient_background.to(torch.promote_types(salient_background.dtype, torch.float32))
    return s.square().sum(dim=1).mean() / (2 * temperature)
