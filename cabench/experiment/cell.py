"""A cell: one method on one data set under one seed, ready to be computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cabench.data.file import DatasetFile
from cabench.experiment.identity import Identity
from cabench.method import ContrastiveAnalysisMethod
from cabench.profiles import ProfileEntry

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Cell:
    """What is to be computed.

    Attributes:
        identity: what it is called, and its key.
        method: constructed with its resolved configuration, never fitted: see `new_method`.
        data: the built data set.
        profile: that it was asked for under.
        trial: which try at its method's settings it is, such as "trial 3"; "" where it is none.
    """

    identity: Identity
    method: ContrastiveAnalysisMethod
    data: DatasetFile
    profile: ProfileEntry
    trial: str = ""

    @property
    def title(self) -> str:
        """A name for progress."""
        return f"{self.identity.title} / {self.trial}" if self.trial else self.identity.title

    def new_method(self) -> ContrastiveAnalysisMethod:
        """A fresh method to fit. It is dropped with its cell, so that a long run holds one network at a time."""
        return type(self.method)(self.method.config)

    def place(self, device: torch.device) -> torch.device:
        """Where the cell is computed in a run on a device: on the processor, where its method does not use another."""
        return device if self.method.uses_device else CPU
