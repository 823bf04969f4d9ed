"""Attributes written into the pixels: a tiny data set on which right and wrong answers are known exactly.

The upper half of each 32 x 32 grey image holds what is common, the lower half what is salient. Each half has four cells
of 16 x 8 pixels: the first three are the one-hot code of a class (value 200), the last is a real value from 0 to 1
(pixel value 200 times it). The lower half of background images is black. Both splits hold every combination of values
equally often, so that nothing about one attribute can be learned from another. The upper left pixel of every cell
carries noise instead, in both populations, so that images with equal values differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from cabench.config import Settings, setting
from cabench.data.builder import DatasetBuilder
from cabench.data.dataset import Attribute
from cabench.data.layout import SPLITS
from cabench.data.sources import Source
from cabench.data.writing import DatasetWriter

SIZE = 32
CELL_HEIGHT, CELL_WIDTH = 16, 8
CLASSES = ("first", "second", "third")
LEVELS = np.linspace(0, 1, 5)
BRIGHT = 200

ATTRIBUTES = (
    Attribute("common_class", "common", "class", CLASSES),
    Attribute("common_level", "common", "real"),
    Attribute("salient_class", "salient", "class", CLASSES),
    Attribute("salient_level", "salient", "real"),
)


@dataclass(frozen=True)
class PlantedConfig(Settings):
    """How many images, and their noise."""

    repeats: int = setting(
        2, at_least=1, at_most=100, help="images of each combination of values, per population and split"
    )
    noise: int = setting(50, at_least=0, at_most=255, help="largest value of the noise pixels")
    seed: int = setting(0, at_least=0, help="seed of the noise")


class Planted(DatasetBuilder):
    """Writes attributes into pixels; see the module."""

    name = "planted"
    version = 1
    Config = PlantedConfig
    config: PlantedConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """A source without files: the images are computed."""
        return [Source("planted values")]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write both splits: all 225 combinations, `repeats` times for each population."""
        combinations = np.array(list(product(range(3), range(5), range(3), range(5))) * self.config.repeats)
        for offset, split in enumerate(SPLITS):
            generator = np.random.default_rng([self.config.seed, offset])
            with writer.split(split, 2 * len(combinations), (1, SIZE, SIZE), ATTRIBUTES) as out:
                for is_target in (False, True):
                    common_class, common_level, salient_class, salient_level = combinations.T
                    images = self._images(combinations, is_target, generator)
                    values = {"common_class": common_class, "common_level": LEVELS[common_level]}
                    if is_target:
                        values |= {"salient_class": salient_class, "salient_level": LEVELS[salient_level]}
                    out.append(images, is_target, values)

    def _images(self, combinations: np.ndarray, is_target: bool, generator: np.random.Generator) -> np.ndarray:
        cells = np.zeros((len(combinations), 2, 4))  # image, half, cell
        for half in range(1 + is_target):
            classes, levels = combinations[:, 2 * half], combinations[:, 2 * half + 1]
            cells[np.arange(len(cells)), half, classes] = 1
            cells[:, half, 3] = LEVELS[levels]
        images = (cells.repeat(CELL_HEIGHT, axis=1).repeat(CELL_WIDTH, axis=2) * BRIGHT).astype(np.uint8)
        corners = images[:, ::CELL_HEIGHT, ::CELL_WIDTH]
        corners[...] = generator.integers(0, self.config.noise + 1, corners.shape, dtype=np.uint8)
        return images[:, None]  # (n, 1, 32, 32)
