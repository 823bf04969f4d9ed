"""CIFAR-10 photographs with and without a second image blended in: what `cifar_mnist` and `cifar_fashion` share.

Of the training images the first half are background, at half intensity; the others are targets, blended half and half
with the training image of the same index of the second source, padded from 28 x 28 to 32 x 32. The test split is built
likewise from test images. Images are kept as uint8, so that half intensities are rounded down to whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Literal

import numpy as np

from cabench.config import Settings, setting
from cabench.dataset import Attribute
from cabench.dataset_builder import DatasetBuilder
from cabench.dataset_file import DatasetWriter, Split
from cabench.datasets.sources import cifar10
from cabench.errors import UserError
from cabench.sources import LabelledImages, Source

IMAGE_SHAPE = (3, 32, 32)
PADDING = 2  # pixels on each side of the second image
CHUNK = 1000  # images blended at a time, 6 MB

OBJECT = Attribute("object", "common", "class", cifar10.CLASSES)


@dataclass(frozen=True)
class BlendConfig(Settings):
    """Which test split."""

    test_split: Literal["full", "paper"] = setting("full", help="10,000 test images, or the papers' 1,000")


class BlendedPhotographs(DatasetBuilder):
    """Blends one source's images into photographs; see the module.

    Attributes:
        overlays: the module of the second source, which has MNIST's numbers of images and its format.
        salient: the attribute that its labels are.
    """

    overlays: ClassVar[ModuleType]
    salient: ClassVar[Attribute]
    config: BlendConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """CIFAR-10 and the second source."""
        return [cifar10.locate(root), self.overlays.locate(root)]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Blend both splits, background first."""
        photographs, overlays = cifar10.read(sources[0]), self.overlays.read(sources[1])
        _check_counts(sources, photographs, overlays)
        n_test = {"full": 10_000, "paper": 1_000}[self.config.test_split]
        splits: tuple[tuple[Split, int], ...] = (("train", 50_000), ("test", n_test))
        for (split, count), photograph, overlay in zip(splits, photographs, overlays, strict=True):
            with writer.split(split, count, IMAGE_SHAPE, (OBJECT, self.salient)) as out:
                for start in range(0, count // 2, CHUNK):
                    rows = slice(start, min(start + CHUNK, count // 2))
                    out.append(photograph.images[rows] >> 1, False, {OBJECT.name: photograph.labels[rows]})
                for start in range(count // 2, count, CHUNK):
                    rows = slice(start, min(start + CHUNK, count))
                    labels = {OBJECT.name: photograph.labels[rows], self.salient.name: overlay.labels[rows]}
                    out.append(_blend(photograph.images[rows], overlay.images[rows]), True, labels)


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


def _blend(photographs: np.ndarray, overlays: np.ndarray) -> np.ndarray:
    """uint8 (n, 3, 32, 32): the mean of photographs and padded (n, 28, 28) images, rounded down."""
    padding = ((0, 0), (PADDING, PADDING), (PADDING, PADDING))
    padded = np.pad(overlays, padding)[:, None].astype(np.uint16)
    return ((photographs + padded) >> 1).astype(np.uint8)
