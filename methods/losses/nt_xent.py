"""NT-Xent, SimCLR's contrastive loss.

Source: Chen, Kornblith, Norouzi, Hinton. "A simple framework for contrastive learning of visual representations",
ICML 2020, arXiv 2002.05709, equation 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def nt_xent(u: Tensor, v: Tensor, temperature: float = 0.5) -> Tensor:
    """Draws the two views of each image together and apart from all other views of the batch.

    With z the 2n rows of u and v, and i' the other view of i:

    nt_xent(u, v) = mean_i -log [ exp(cos(z_i, z_i') / temperature) / sum_{k != i} exp(cos(z_i, z_k) / temperature) ]

    Args:
        u: (n, d) floats, one row an image, n >= 1.
        v: (n, d) floats, row i the other view of image i.
        temperature: divisor of the cosines.

    Returns:
        0-d tensor, float32 (float64 for float64 input), also under autocast; 0 for a single image, which has no other.

    Raises:
        ValueError: if the shapes differ, are not (n, d), or hold no row.
    """
    if u.ndim != 2 or u.shape != v.shape or len(u) == 0:
        raise ValueError(
            f"nt_xent needs two equal shapes (n, d) with n >= 1, but got {tuple(u.shape)} and {tuple(v.shape)}."
        )
    rows = len(u)
    views = torch.cat([u, v])
    views = normalize(views.to(torch.promote_types(views.dtype, torch.float32)))
    itself = torch.eye(2 * rows, dtype=torch.bool, device=views.device)
    with torch.autocast(views.device.type, enabled=False):
        similarities = (views @ views.T / temperature).masked_fill(itself, -math.inf)
    other_view = torch.arange(2 * rows, device=views.device).roll(rows)
    return cross_entropy(similarities, other_view)
