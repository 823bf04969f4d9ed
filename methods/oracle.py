"""Control: the attributes themselves, read back from the pixels of the `planted` data set.

It shows what the evaluation gives a perfect method: 1 where an attribute belongs to a space, chance elsewhere. The
salient vector of a background image is read like a target's; its pixels are black there, so it is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from cabench.config import Settings
from cabench.context import FitContext
from cabench.data.dataset import ContrastiveDataset, DatasetInfo
from cabench.datasets.planted import CELL_HEIGHT, CELL_WIDTH, Planted
from cabench.errors import UserError
from cabench.method import ContrastiveAnalysisMethod, Representation


@dataclass(frozen=True)
class OracleConfig(Settings):
    """No settings."""


class Oracle(ContrastiveAnalysisMethod):
    """Reads planted attributes: the upper half of an image is common, the lower half salient."""

    name = "oracle"
    version = 1
    Config = OracleConfig
    learns_from = ()
    uses_device = False

    def check(self, info: DatasetInfo) -> None:
        """Refuse every data set but `planted`: attributes of real images cannot be read from pixels."""
        if info.name != Planted.name:
            raise UserError(
                f"oracle reads planted attributes and runs on {Planted.name!r} alone, not on {info.called!r}."
            )

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        """Learn nothing."""

    def encode(self, images: Tensor) -> Representation:
        """The second pixel of each cell, (n, 4) for each half; the first carries noise."""
        cells = images[:, 0, 1::CELL_HEIGHT, 1::CELL_WIDTH]  # (n, 2, 4)
        return Representation(cells[:, 0], cells[:, 1])

    def state_dict(self) -> dict[str, Tensor]:
        """Empty: nothing is learned."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Ignore the state: nothing is learned."""
