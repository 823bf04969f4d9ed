"""Photographs with and without a digit blended in: the object is common, the digit salient.

The construction is that of SepCLR and SepVAE (card B1a). Of CIFAR-10's training images the first half are background,
at half intensity; the others are targets, blended half and half with the MNIST training image of the same index, padded
from 28 x 28 to 32 x 32. Nothing is drawn at random.

The test split takes all 10,000 test photographs, half of them background, where the papers take 1,000, which leaves 500
targets to score on; `test_split = "paper"` gives theirs. Deviation: images are kept as uint8, so that half intensities
are rounded down to whole numbers. Where CIFAR-10 comes from a folder per class, its original order is lost and images
go round the classes instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cabench.config import Settings, setting
from cabench.dataset import Attribute
from cabench.dataset_builder import DatasetBuilder
from cabench.dataset_file import DatasetWriter, Split
from cabench.datasets.sources import cifar10, mnist
from cabench.errors import UserError
from cabench.sources import LabelledImages, Source

IMAGE_SHAPE = (3, 32, 32)
PADDING = 2  # pixels on each side of a digit
CHUNK = 1000  # images blended at a time, 6 MB

ATTRIBUTES = (
    Attribute("object", "common", "class", cifar10.CLASSES),
    Attribute("digit", "salient", "class", tuple(str(digit) for digit in range(10))),
)


@dataclass(frozen=True)
class CifarMnistConfig(Settings):
    """Which test split."""

    test_split: Literal["full", "paper"] = setting("full", help="10,000 test images, or the papers' 1,000")


class CifarMnist(DatasetBuilder):
    """Blends digits into photographs; see the module."""

    name = "cifar_mnist"
    version = 1
    Config = CifarMnistConfig
    config: CifarMnistConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """CIFAR-10 and MNIST."""
        return [cifar10.locate(root), mnist.locate(root)]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Blend both splits, background first."""
        photographs, digits = cifar10.read(sources[0]), mnist.read(sources[1])
        _check_counts(sources, photographs, digits)
        n_test = {"full": 10_000, "paper": 1_000}[self.config.test_split]
        splits: tuple[tuple[Split, int], ...] = (("train", 50_000), ("test", n_test))
        for (split, count), photograph, digit in zip(splits, photographs, digits, strict=True):
            with writer.split(split, count, IMAGE_SHAPE, ATTRIBUTES) as out:
                for start in range(0, count // 2, CHUNK):
                    rows = slice(start, min(start + CHUNK, count // 2))
                    out.append(photograph.images[rows] >> 1, False, {"object": photograph.labels[rows]})
                for start in range(count // 2, count, CHUNK):
                    rows = slice(start, min(start + CHUNK, count))
                    labels = {"object": photograph.labels[rows], "digit": digit.labels[rows]}
                    out.append(_blend(photograph, digit, rows), True, labels)


def _check_counts(sources: Sequence[Source], *pairs: tuple[LabelledImages, LabelledImages]) -> None:
    """Refuse sources that hold fewer images than were published."""
    for source, pair, wanted in zip(sources, pairs, ((50_000, 10_000), (50_000, 10_000)), strict=True):
        found = tuple(len(split.labels) for split in pair)
        if any(have < want for have, want in zip(found, wanted, strict=True)):
            places = ", ".join(map(str, source.files))
            raise UserError(
                f"{source.title} ({places}) holds {found[0]:,} training and {found[1]:,} test images, but "
                f"{wanted[0]:,} and {wanted[1]:,} are needed; replace it by a complete copy."
            )


def _blend(photographs: LabelledImages, digits: LabelledImages, rows: slice) -> np.ndarray:
    """uint8 (n, 3, 32, 32): the mean of photographs and padded digits, rounded down."""
    padding = ((0, 0), (PADDING, PADDING), (PADDING, PADDING))
    padded = np.pad(digits.images[rows], padding)[:, None].astype(np.uint16)
    return ((photographs.images[rows] + padded) >> 1).astype(np.uint8)
