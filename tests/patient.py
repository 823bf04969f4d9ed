"""A method of one's own whose training waits, so that a test has all the time it needs to disturb it."""

from __future__ import annotations

import time
from pathlib import Path

from torch import Tensor

from cabench import Batch, FitContext
from cabench.methods.mmcvae import MMcVAE


class Patient(MMcVAE):
    """MM-cVAE. From its third epoch on a step takes three seconds while a file `slowly` lies in the working folder."""

    name = "patient"

    def training_step(self, background: Batch, target: Batch, context: FitContext) -> dict[str, Tensor]:
        if Path("slowly").exists() and epochs(context.folder) >= 2:
            time.sleep(3)
        return super().training_step(background, target, context)


def epochs(folder: Path | None) -> int:
    """How many epochs of a cell have been logged."""
    log = folder / "log.jsonl" if folder else None
    return len(log.read_text(encoding="utf-8").splitlines()) if log and log.exists() else 0
