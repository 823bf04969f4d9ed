"""Representations for the tests of protocols, on which scaling, populations and splits all make a difference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit

OBJECT = Attribute("object", "common", "class", ("a", "b", "c", "d"))
DIGIT = Attribute("digit", "salient", "class", ("0", "1", "2"))
AGE = Attribute("age", "common", "real")
WEAK = {"object": 1.2, "digit": 1.5}  # so that no probe is perfect


class Cell(NamedTuple):
    """What a protocol is given."""

    train: EncodedSplit
    test: EncodedSplit
    attributes: tuple[Attribute, ...] = (OBJECT, DIGIT, AGE)


def population(generator: np.random.Generator, rows: int, is_target: bool) -> EncodedPopulation:
    """Every space holds both attributes; dimensions differ in scale, and populations in place and spread."""
    values = {
        "object": generator.integers(0, 4, rows),
        "digit": generator.integers(0, 3, rows) if is_target else np.full(rows, -1),
        "age": generator.normal(size=rows),
    }
    spaces = {}
    for space, mixed in (("common", "object"), ("salient", "digit")):
        features = generator.normal(size=(rows, 6))
        for name, strength in WEAK.items():
            features[:, :4] += (strength if name == mixed else 0.5) * np.eye(4)[values[name]]
        features = features * [20.0, 1.0, 1.0, 0.05, 1.0, 300.0] + [0, 50, 0, 0, 0, 0]
        spaces[space] = (features if is_target else 3 * features + 1).astype(np.float32)
    return EncodedPopulation(spaces, values)


@pytest.fixture
def cell() -> Cell:
    """Representations of 400 + 300 training and 200 + 250 test images."""
    generator = np.random.default_rng(0)

    def split(background: int, target: int) -> EncodedSplit:
        return EncodedSplit(population(generator, background, False), population(generator, target, True))

    return Cell(split(400, 300), split(200, 250))
