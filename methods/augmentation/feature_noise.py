"""Random views of rows of a table: Gaussian noise on every feature."""

from __future__ import annotations

import torch
from torch import Tensor

from cabench.context import drawing_from


def feature_noise(rows: Tensor, deviation: float, probability: float, generator: torch.Generator) -> Tensor:
    """Float32 (n, features) rows with independent Gaussian noise added to every feature, or as they are.

    Args:
        rows: float32 (n, features) of standardised features, on any device.
        deviation: standard deviation of the noise, in standard deviations of a feature.
        probability: that there is noise; one coin for all rows.
        generator: the CPU generator that coin and noise are drawn from, so that all devices see the same.
    """
    with drawing_from(generator):
        if torch.rand(()) < probability:
            return rows + deviation * torch.randn(rows.shape).to(rows.device)
    return rows
