"""Control: the same vector for every image. A probe learns from it only how often each answer occurs.

Balanced accuracy and AUC of a probe on it are exactly at chance. Background images get the same salient vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cabench.config import Settings, setting
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset
from cabench.method import ContrastiveAnalysisMethod, Representation


@dataclass(frozen=True)
class ChanceConfig(Settings):
    """Sizes of the two vectors."""

    d_common: int = setting(1, at_least=1, help="size of the common vector")
    d_salient: int = setting(1, at_least=1, help="size of the salient vector")


class Chance(ContrastiveAnalysisMethod):
    """Represents every image by zeros."""

    name = "chance"
    version = 1
    Config = ChanceConfig
    config: ChanceConfig
    takes = ("images", "tables")
    learns_from = ()
    uses_device = False

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Learn nothing."""

    def encode(self, images: Tensor) -> Representation:
        """Zeros, whatever the images are."""
        n = len(images)
        return Representation(torch.zeros(n, self.config.d_common), torch.zeros(n, self.config.d_salient))

    def state_dict(self) -> dict[str, Tensor]:
        """Empty: nothing is learned."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Ignore the state: nothing is learned."""
