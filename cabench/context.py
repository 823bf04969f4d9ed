"""What a method may use while it fits: device, precision, random streams, a folder to continue from, and a reporter."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import torch

from cabench.randomness import Randomness
from cabench.stopping import StopFlag

Precision = Literal["fp32", "bf16"]


class EpochReporter(Protocol):
    """Receives the progress of a training run."""

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        """Called after each step: the epoch under way (from 1) of `epochs`, the done part of all, the throughput."""


class SilentReporter:
    """An `EpochReporter` that says nothing."""

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        """Say nothing."""


@dataclass
class FitCost:
    """What a `fit` took, counted over all its continuations.

    Attributes:
        train_s: seconds of training, checkpoints included.
        steps: training steps; 0 for a closed-form method.
        images_seen: images drawn for training, repeats counted.
        last_terms: of a `fit` that failed, the mean loss terms of the epoch under way or, at its start, of the last.
    """

    train_s: float = 0.0
    steps: int = 0
    images_seen: int = 0
    last_terms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FitContext:
    """The surroundings of one `fit`. Nothing in it is global.

    Attributes:
        device: where networks and images are.
        precision: "bf16" runs networks under bf16 autocast; losses are float32 either way.
        randomness: the random streams of this cell.
        folder: where `checkpoint/` and `log.jsonl` are kept, or None to keep nothing.
        identity: text that a checkpoint must carry to be continued from: the cell's key.
        checkpoint_every_s: seconds between two checkpoints.
        reporter: told of progress.
        stop: asks the loop to write a checkpoint and stop.
        cost: filled by `fit`.
    """

    device: torch.device
    precision: Precision
    randomness: Randomness
    folder: Path | None = None
    identity: str = ""
    checkpoint_every_s: float = 60.0
    reporter: EpochReporter = field(default_factory=SilentReporter)
    stop: StopFlag = field(default_factory=StopFlag)
    cost: FitCost = field(default_factory=FitCost)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which networks run forward: bf16 autocast or none, as `precision` says."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
