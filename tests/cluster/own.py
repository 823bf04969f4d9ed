"""A method of one's own that ends its process on one seed."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from torch import Tensor

from cabench import ContrastiveAnalysisMethod, ContrastiveDataset, FitContext, Representation, Settings


class Deadly(ContrastiveAnalysisMethod):
    """Encodes an image as its mean."""

    name = "deadly"
    version = 1
    Config = Settings

    def fit(self, data: ContrastiveDataset, context: FitContext) -> None:
        if context.folder and context.folder.name.startswith("seed2-"):
            os.kill(os.getpid(), signal.SIGKILL)

    def encode(self, images: Tensor) -> Representation:
        means = images.float().mean((1, 2, 3))[:, None]
        return Representation(means, -means)

    def parameter_count(self) -> int:
        return 0

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        pass
