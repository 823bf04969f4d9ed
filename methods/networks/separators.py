"""Networks that split rows of features z into a common and a salient part, z = z_c + z_s.

The salient part has few degrees of freedom: z_s = W code(z), with a code of `size` numbers and no bias, so that a code
of zeros is no salient part at all. The two classes differ in what the common part is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Parts(NamedTuple):
    """The two parts of n rows.

    Attributes:
        common: floats (n, features), z_c.
        salient: floats (n, features), z_s.
    """

    common: Tensor
    salient: Tensor

    def detached(self) -> Parts:
        """The same without gradients."""
        return Parts(self.common.detach(), self.salient.detach())

    def float(self) -> Parts:
        """The same in float32."""
        return Parts(self.common.float(), self.salient.float())

    def swapped(self, order: Tensor) -> Parts:
        """Every row's common part with the salient part of another row, which the int64 (n,) `order` names."""
        return Parts(self.common, self.salient[order])


class Separator(nn.Module, ABC):
    """A code, and the loadings that turn it into the salient part."""

    def __init__(self, features: int, size: int, hidden: int) -> None:
        super().__init__()
        self.code = perceptron(features, hidden, size)
        self.loadings = nn.Linear(size, features, bias=False)

    @abstractmethod
    def remainder(self, rows: Tensor, salient: Tensor) -> Tensor:
        """The common part (n, features) of rows with these salient parts."""

    def forward(self, rows: Tensor) -> Parts:
        """Both parts of (n, features) rows."""
        salient = self.loadings(self.code(rows))
        return Parts(self.remainder(rows, salient), salient)


class HardSum(Separator):
    """The common part is what the salient part leaves: the parts add up exactly."""

    def remainder(self, rows: Tensor, salient: Tensor) -> Tensor:
        """The difference."""
        return rows - salient


class SoftSum(Separator):
    """The common part comes from a network of its own: a loss has to make the parts add up."""

    def __init__(self, features: int, size: int, hidden: int) -> None:
        super().__init__(features, size, hidden)
        self.common = perceptron(features, hidden, features)

    def remainder(self, rows: Tensor, salient: Tensor) -> Tensor:
        """The network's output."""
        common: Tensor = self.common(rows)
        return common


def perceptron(before: int, hidden: int, after: int) -> nn.Module:
    """Two hidden layers with GELU and a linear output: (n, after) of (n, before)."""
    return nn.Sequential(
        nn.Linear(before, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, after)
    )


def row_discriminator(features: int, hidden: int) -> nn.Module:
    """One hidden layer with leaky ReLU: (n, 1) logits of (n, features) rows."""
    return nn.Sequential(nn.Linear(features, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))
