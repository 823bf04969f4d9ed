"""Where all randomness of a run comes from: one generator a role, each seeded by a hash.

The name of the method takes no part in the hash, so that all methods of one seed start from the same weights and see
the same images in the same order: methods are compared on paired randomness.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cabench.config import digest

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
    """Let code that knows only torch's global generator (layer initialisers, kornia) draw from a given one.

    The global CPU generator is seeded from `generator` inside the block and put back as it was afterwards.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    before = torch.default_generator.get_state()
    try:
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        torch.default_generator.set_state(before)
