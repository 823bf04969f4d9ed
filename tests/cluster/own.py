"""Methods of one's own: one that takes its time while a file says so, and one that ends its process on one seed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from cabench import Batch, ContrastiveAnalysisMethod, ContrastiveDataset, FitContext, Representation, Settings
from cabench.methods.mmcvae import MMcVAE


class Patient(MMcVAE):
    """MM-cVAE, 2 s a step while a file `slowly` lies in the working folder."""

    name = "patient"

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        if Path("slowly").exists():
            time.sleep(2)
        return super().training_step(background, target, context)


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
