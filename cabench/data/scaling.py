"""The scale of a table's columns, by which rows of another table can be brought to it.

A data set file standardises its columns by its own training rows. Rows that were standardised in another file mean
something else, until that file's scale is taken back and this one's is applied.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Scale(NamedTuple):
    """What was taken off the columns of a table, and what they were then multiplied by.

    Attributes:
        mean: float64 (features,).
        scale: float64 (features,); 0 where a column is constant.
    """

    mean: Tensor
    scale: Tensor

    def rows_from(self, features: Tensor, other: Scale) -> Tensor:
        """Float32 (n, features) on this scale, of rows on another; a column that is constant there is its mean."""
        varies = other.scale > 0
        raw = features.double() / torch.where(varies, other.scale, 1) + other.mean
        return ((raw - self.mean) * self.scale).float()
