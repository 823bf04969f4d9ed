"""What a method may use while it fits: device, precision, random streams, a folder to continue from, and a reporter.

Each role has its own random generator, seeded by a hash. The method's name is not part of the hash, so all methods of
one seed start from the same weights and see the same images in the same order: methods are compared on paired
randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import torch

from cabench.files.json import digest
from cabench.hardening.stopping import StopFlag

Precision = Literal["fp32", "bf16"]


class EpochReporter(Protocol):
    """Receives the progress of a training run."""

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        """Called after each step: the current epoch (from 1) of `epochs`, the finished fraction, the throughput."""


class SilentReporter:
    """An `EpochReporter` that says nothing."""

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        """Say nothing."""


@dataclass
class FitCost:
    """The cost of a `fit`, over all its continuations.

    Attributes:
        train_s: seconds of training, checkpoints included.
        steps: training steps; 0 for a closed-form method.
        images_seen: images drawn for training, repeats counted.
        last_terms: of a failed `fit`, the mean loss terms of the current epoch or, at its start, of the one before.
    """

    train_s: float = 0.0
    steps: int = 0
    images_seen: int = 0
    last_terms: Mapping[str, float] = field(default_factory=dict)


def _own() -> None:
    """Nobody else writes into the folder."""


@dataclass(frozen=True)
class FitContext:
    """All that one `fit` gets from outside. Nothing in it is global.

    Attributes:
        device: where networks and images are.
        precision: "bf16" runs networks under bf16 autocast; losses are float32 either way.
        randomness: the random streams of this cell.
        folder: for `checkpoint/` and `log.jsonl`, or None to keep nothing.
        identity: the cell's key; only a checkpoint that carries it is continued.
        checkpoint_every_s: seconds between two checkpoints.
        reporter: told of progress.
        stop: asks the loop to write a checkpoint and stop.
        cost: filled by `fit`.
        check_folder: called before a checkpoint or the log is written; raises `StorageError` where the folder is no
            longer this process's own.
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
    check_folder: Callable[[], None] = _own

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which networks run forward: bf16 autocast or none, as `precision` says."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


ROLES = ("sampling", "augmentation", "noise")


def derive_seed(role: str, dataset: str, seed: int) -> int:
    """A 63-bit seed for one role ("initialisation", "sampling", ...) on one data set under one seed index."""
    return int(digest(["cabench", role, dataset, seed])[:16], 16) >> 1


class Randomness:
    """The random streams of one cell.

    Attributes:
        sampling: CPU generator that draws which images a step sees.
        augmentation: CPU generator that draws the parameters of random views.
        noise: generator on the training device, for latent samples and noise added to tensors.
    """

    def __init__(self, seed: int, dataset: str, device: torch.device) -> None:
        self._initialisation = derive_seed("initialisation", dataset, seed)
        self.sampling = torch.Generator().manual_seed(derive_seed("sampling", dataset, seed))
        self.augmentation = torch.Generator().manual_seed(derive_seed("augmentation", dataset, seed))
        self.noise = torch.Generator(device).manual_seed(derive_seed("noise", dataset, seed))

    def initialisation(self) -> torch.Generator:
        """A fresh CPU generator in the state from which weights are initialised."""
        return torch.Generator().manual_seed(self._initialisation)

    def state(self) -> dict[str, torch.Tensor]:
        """The state of every stream as a uint8 tensor, by role."""
        return {role: getattr(self, role).get_state() for role in ROLES}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Continue every stream from a state that `state` gave."""
        for role in ROLES:
            getattr(self, role).set_state(state[role])


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let code that knows only torch's global generator (layer initialisers) draw from a given one.

    The global CPU generator is seeded from `generator` inside the block and restored afterwards.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    before = torch.default_generator.get_state()
    try:
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        torch.default_generator.set_state(before)
