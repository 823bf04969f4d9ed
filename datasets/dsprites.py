"""Sprites over a grid of four handwritten digits: digits are common, the sprite's factors are salient.

The construction is that of SepCLR's experiment (card B3a): background images show a 2 x 2 grid of digits, target images
the same kind of grid with a white sprite drawn over it. Sprites follow the factor grid of dSprites (Matthey et al.,
2017: 3 shapes, 6 scales, 40 orientations, 32 x 32 positions) and are rendered here, so that nothing is downloaded.

Deviations: all random choices are seeded; every digit image can be drawn (the released code never draws the last);
digits can also be of random classes, or come from scikit-learn's bundled digits; images can be halved to 32 x 32.

`grid = "fixed-by-rows"` with `digit_size = 32`, `digit_intensity = 0.5`, `orientations = "all"`, 147,456 training and
14,000 test images is Double InfoGAN's construction (card B3b): digits fill their cells at half intensity, and sprites
are in all orientations. Deviations: exactly a tenth of the factor grid's 737,280 sprites become training targets, while
the released code keeps each with probability 0.1; none of them is in the test split, while the release draws its 7,000
test targets with replacement from all; the test split has background images too; no 64 images of each population are
set aside for pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np

from cabench.config import ConfigError, Settings, setting
from cabench.data.builder import DatasetBuilder
from cabench.data.dataset import Attribute
from cabench.data.layout import Split
from cabench.data.sources import LabelledImages, Source
from cabench.data.writing import DatasetWriter, SplitWriter
from cabench.datasets.sources import sklearn_digits, sprites
from cabench.datasets.sources.idx import MNIST, IdxFiles
from cabench.datasets.sources.resampling import bilinear_resized
from cabench.datasets.sources.strokes import slant, thickness
from cabench.errors import UserError

CANVAS = 64
CELL = CANVAS // 2
CHUNK = 1000  # images rendered at a time, 4 MB

# Corner of each quadrant's cell, as (row, column), and the digits that a fixed grid shows there.
QUADRANTS: Mapping[str, tuple[int, int]] = {
    "top_left": (0, 0),
    "bottom_left": (CELL, 0),
    "top_right": (0, CELL),
    "bottom_right": (CELL, CELL),
}
FIXED_DIGITS: Mapping[str, tuple[int, ...]] = {"fixed": (1, 2, 3, 4), "fixed-by-rows": (1, 3, 2, 4)}
DIGITS = tuple(str(digit) for digit in range(10))
DIGIT_SOURCES: Mapping[str, IdxFiles | ModuleType] = {"mnist": MNIST, "sklearn": sklearn_digits}

SPRITE_ATTRIBUTES = (
    Attribute("shape", "salient", "class", sprites.SHAPES),
    Attribute("scale", "salient", "real"),
    Attribute("orientation", "salient", "real"),
    Attribute("position_x", "salient", "real"),
    Attribute("position_y", "salient", "real"),
)


@dataclass(frozen=True)
class DSpritesConfig(Settings):
    """Defaults: SepCLR's dSprites experiment (card B3a)."""

    train_size: int = setting(50_000, at_least=4, at_most=200_000, help="training images, half of them background")
    test_size: int = setting(5_000, at_least=4, at_most=200_000, help="test images, half of them background")
    size: Literal[32, 64] = setting(64, help="height and width; 32 averages 2 x 2 pixels")
    digits: Literal["mnist", "sklearn"] = setting("mnist", help="where digits come from")
    grid: Literal["fixed", "fixed-by-rows", "random"] = setting(
        "fixed", help="digits 1, 2, 3, 4 down the columns, along the rows (Double InfoGAN), or random classes"
    )
    digit_size: Literal[28, 32] = setting(28, help="height and width of digits in cells of 32; Double InfoGAN has 32")
    digit_intensity: float = setting(1.0, above=0, at_most=1, help="brightness of digits; Double InfoGAN has 0.5")
    orientations: Literal["narrow", "all"] = setting("narrow", help="within 45 degrees of upright, or the full turn")
    seed: int = setting(0, at_least=0, help="seed of all random choices")

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be halved."""
        super().__post_init__()
        for name in ("train_size", "test_size"):
            if getattr(self, name) % 2:
                raise ConfigError(f"dsprites.{name} = {getattr(self, name)} is not allowed; it must be even.")


class DSprites(DatasetBuilder):
    """Draws digits and sprites; see the module."""

    name = "dsprites"
    version = 1
    Config = DSpritesConfig
    config: DSpritesConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """The digits' source; sprites need none."""
        return [DIGIT_SOURCES[self.config.digits].locate(root)]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Draw both splits, each with digits of that split of their source. No point of the factor grid is in both.

        The published grid holds the upright orientation twice, as 0 and as a full turn, so a few sprites look alike.
        """
        config = self.config
        train_digits, test_digits = DIGIT_SOURCES[config.digits].read(sources[0])
        factors = _factors(config.orientations, np.random.default_rng([config.seed, 0]))
        n_train, n_test = config.train_size // 2, config.test_size // 2
        if n_train + n_test > len(factors["shape"]):
            raise UserError(
                f"dsprites.train_size and dsprites.test_size ask for {n_train + n_test} different sprites, "
                f"but there are {len(factors['shape'])}; make them smaller."
            )
        plans: tuple[tuple[Split, LabelledImages, int, int], ...] = (
            ("train", train_digits, 0, n_train),
            ("test", test_digits, n_train, n_test),
        )
        for stream, (split, digits, first, count) in enumerate(plans, start=1):
            chosen = {name: values[first : first + count] for name, values in factors.items()}
            shape = (1, config.size, config.size)
            with writer.split(split, 2 * count, shape, [*self._digit_attributes(), *SPRITE_ATTRIBUTES]) as out:
                self._write(out, digits, chosen, count, np.random.default_rng([config.seed, stream]))

    def _digit_attributes(self) -> list[Attribute]:
        if self.config.grid == "random":
            return [Attribute(f"digit_{quadrant}", "common", "class", DIGITS) for quadrant in QUADRANTS]
        measures = ("thickness", "slant")
        return [Attribute(f"{measure}_{quadrant}", "common", "real") for measure in measures for quadrant in QUADRANTS]

    def _write(
        self,
        out: SplitWriter,
        digits: LabelledImages,
        factors: Mapping[str, np.ndarray],
        count: int,
        generator: np.random.Generator,
    ) -> None:
        """Write `count` background images, then one target image for each row of `factors`."""
        measured = self._measure(digits)
        dimmed = np.rint(np.arange(256) * self.config.digit_intensity).astype(np.uint8)
        pixels = dimmed[bilinear_resized(digits.images, self.config.digit_size)]
        for is_target in (False, True):
            for start in range(0, count, CHUNK):
                rows = slice(start, min(start + CHUNK, count))
                drawn = self._draw_digits(digits, rows.stop - rows.start, generator)
                images = _grid(pixels[drawn])
                values = {
                    f"{measure}_{quadrant}": column[drawn[:, place]]
                    for measure, column in measured.items()
                    for place, quadrant in enumerate(QUADRANTS)
                }
                if is_target:
                    values |= {name: column[rows] for name, column in factors.items()}
                    images = np.maximum(images, sprites.render(*(values[a.name] for a in SPRITE_ATTRIBUTES)))
                out.append(_resized(images, self.config.size)[:, None], is_target, values)

    def _draw_digits(self, digits: LabelledImages, count: int, generator: np.random.Generator) -> np.ndarray:
        """Row indices (count, 4) of digit images, drawn with replacement for each quadrant."""
        if self.config.grid == "random":
            return generator.integers(len(digits.labels), size=(count, 4))
        shown = FIXED_DIGITS[self.config.grid]
        return np.stack(
            [generator.choice(np.flatnonzero(digits.labels == digit), size=count) for digit in shown], axis=1
        )

    def _measure(self, digits: LabelledImages) -> dict[str, np.ndarray]:
        """Measures of every digit image of a source: (n,) by the first part of the attributes' names."""
        if self.config.grid == "random":
            return {"digit": digits.labels}
        return {"thickness": thickness(digits.images), "slant": slant(digits.images)}


def _factors(orientations: str, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Every sprite of the factor grid, in random order; orientations above pi are wrapped to negative ones."""
    wrapped = np.where(np.pi < sprites.ORIENTATIONS, sprites.ORIENTATIONS - 2 * np.pi, sprites.ORIENTATIONS)
    if orientations == "narrow":
        wrapped = wrapped[np.abs(wrapped) < np.pi / 4]  # 10 of 40, upright twice: 184,320 sprites
    axes = (np.arange(len(sprites.SHAPES)), sprites.SCALES, wrapped, sprites.POSITIONS, sprites.POSITIONS)
    order = generator.permutation(int(np.prod([len(axis) for axis in axes])))
    indices = np.unravel_index(order, [len(axis) for axis in axes])
    return {
        attribute.name: np.asarray(axis)[index]
        for attribute, axis, index in zip(SPRITE_ATTRIBUTES, axes, indices, strict=True)
    }


def _grid(digits: np.ndarray) -> np.ndarray:
    """(n, 64, 64) canvases from (n, 4, size, size) digits in the order of `QUADRANTS`, each centred in its cell."""
    margin = (CELL - digits.shape[-1]) // 2
    canvas = np.zeros((len(digits), CANVAS, CANVAS), np.uint8)
    for place, (row, column) in enumerate(QUADRANTS.values()):
        cell = canvas[:, row : row + CELL, column : column + CELL]
        cell[:, margin : CELL - margin, margin : CELL - margin] = digits[:, place]
    return canvas


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """(n, 64, 64) images as (n, size, size), each pixel the rounded mean of the square that it covers."""
    step = CANVAS // size
    blocks = images.reshape(len(images), size, step, size, step)
    means = (blocks.sum(axis=(2, 4), dtype=np.uint16) + step * step // 2) // (step * step)
    return np.asarray(means, dtype=np.uint8)
