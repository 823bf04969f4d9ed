"""What the tests of whole evaluations share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit

MakeSplit = Callable[..., EncodedSplit]


@pytest.fixture
def attributes() -> tuple[Attribute, ...]:
    """One attribute of each kind in each space."""
    return (
        Attribute("object", "common", "class", ("a", "b", "c")),
        Attribute("depth", "common", "real"),
        Attribute("kind", "salient", "class", ("w", "x", "y", "z")),
        Attribute("size", "salient", "real"),
    )


@pytest.fixture
def noise() -> MakeSplit:
    """Makes a split of which the representations know nothing of the attributes."""

    def population(generator: np.random.Generator, n: int, d: tuple[int, int], is_target: bool) -> EncodedPopulation:
        values = {
            "object": generator.integers(0, 3, n),
            "depth": generator.normal(size=n),
            "kind": generator.integers(0, 4, n) if is_target else np.full(n, -1),
            "size": generator.normal(size=n) if is_target else np.full(n, np.nan),
        }
        common, salient = (generator.normal(size=(n, size)).astype(np.float32) for size in d)
        return EncodedPopulation({"common": common, "salient": salient}, values)

    def make(seed: int, backgrounds: int = 60, targets: int = 80, d: tuple[int, int] = (4, 5)) -> EncodedSplit:
        generator = np.random.default_rng(seed)
        return EncodedSplit(population(generator, backgrounds, d, False), population(generator, targets, d, True))

    return make
