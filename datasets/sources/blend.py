"""CIFAR-10 photographs with and without a second image blended in: what `cifar_mnist` and `cifar_fashion` share.

Background images are photographs at half intensity; targets are the mean of a photograph and a second image. Half of
each split is background, the other half targets. Images are kept as uint8, so half intensities are rounded down. The
fields of `BlendConfig` say which images are paired and how they are brought to one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from cabench.config import Settings, setting
from cabench.data.builder import DatasetBuilder
from cabench.data.dataset import Attribute
from cabench.data.layout import SPLITS, Split
from cabench.data.sources import LabelledImages, Source
from cabench.data.writing import DatasetWriter
from cabench.datasets.sources import cifar10
from cabench.datasets.sources.idx import IdxFiles
from cabench.datasets.sources.resampling import bilinear_resized
from cabench.errors import UserError

PADDING = 2  # pixels on each side of a second image of 28 x 28 that is padded to a photograph's 32 x 32
TRAIN_SIZE = 50_000
TEST_SIZES = {"full": 10_000, "paper": 1_000}
CHUNK = 1000  # images blended at a time, 6 MB of 32 x 32

OBJECT = Attribute("object", "common", "class", cifar10.CLASSES)


@dataclass(frozen=True)
class BlendConfig(Settings):
    """Which images are paired, and their size."""

    test_split: Literal["full", "paper"] = setting("full", help="10,000 test images, or the papers' 1,000")
    pairing: Literal["by-index", "random"] = setting(
        "by-index", help="images of the same index, or photographs shuffled and second images drawn with replacement"
    )
    fitting: Literal["padded", "resized"] = setting(
        "padded", help="second images keep their size within a black margin, or are scaled to the whole image"
    )
    size: Literal[32, 64] = setting(32, help="height and width; at 64 photographs are scaled up")
    seed: int = setting(0, at_least=0, help="seed of random pairing; unused when paired by index")


class Rows(NamedTuple):
    """Which images of the two sources make a split.

    Attributes:
        background: int64 (n,), photographs.
        target: int64 (n,), photographs.
        overlay: int64 (n,), the image that is blended into each target's photograph.
    """

    background: np.ndarray
    target: np.ndarray
    overlay: np.ndarray


class BlendedPhotographs(DatasetBuilder):
    """Blends one source's images into photographs; see the module.

    Attributes:
        overlays: the second source.
        salient: the attribute that its labels give.
    """

    overlays: ClassVar[IdxFiles]
    salient: ClassVar[Attribute]
    config: BlendConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """CIFAR-10 and the second source."""
        return [cifar10.locate(root), self.overlays.locate(root)]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Blend both splits, background first, each with the second images of that split of their source."""
        config = self.config
        photographs, overlays = cifar10.read(sources[0]), self.overlays.read(sources[1])
        _check_counts(sources, photographs, overlays)
        shape = (3, config.size, config.size)
        plans: tuple[tuple[Split, int], ...] = (("train", TRAIN_SIZE), ("test", TEST_SIZES[config.test_split]))
        for (split, count), photograph, overlay in zip(plans, photographs, overlays, strict=True):
            rows = self._rows(split, count // 2, len(photograph.labels), len(overlay.labels))
            with writer.split(split, count, shape, (OBJECT, self.salient)) as out:
                for chosen in _chunks(rows.background):
                    images = bilinear_resized(photograph.images[chosen], config.size)
                    out.append(images >> 1, False, {OBJECT.name: photograph.labels[chosen]})
                for chosen, drawn in zip(_chunks(rows.target), _chunks(rows.overlay), strict=True):
                    images = bilinear_resized(photograph.images[chosen], config.size)
                    labels = {OBJECT.name: photograph.labels[chosen], self.salient.name: overlay.labels[drawn]}
                    out.append(_mean(images, self._fitted(overlay.images[drawn])), True, labels)

    def _rows(self, split: Split, half: int, photographs: int, overlays: int) -> Rows:
        """Which images to take, `half` of each population."""
        if self.config.pairing == "by-index":
            return Rows(np.arange(half), np.arange(half, 2 * half), np.arange(half, 2 * half))
        generator = np.random.default_rng([self.config.seed, SPLITS.index(split)])
        # Double InfoGAN shuffles the training photographs alone.
        order = generator.permutation(photographs) if split == "train" else np.arange(photographs)
        return Rows(order[:half], order[half : 2 * half], generator.integers(overlays, size=half))

    def _fitted(self, overlays: np.ndarray) -> np.ndarray:
        """Second images (n, 28, 28) fitted to the data set's size, uint8 (n, size, size)."""
        if self.config.fitting == "padded":
            overlays = np.pad(overlays, ((0, 0), (PADDING, PADDING), (PADDING, PADDING)))
        return bilinear_resized(overlays, self.config.size)


def _check_counts(sources: Sequence[Source], *pairs: tuple[LabelledImages, LabelledImages]) -> None:
    """Refuse sources that hold fewer images than were published."""
    wanted = (TRAIN_SIZE, TEST_SIZES["full"])
    for source, pair in zip(sources, pairs, strict=True):
        found = tuple(len(split.labels) for split in pair)
        if any(have < want for have, want in zip(found, wanted, strict=True)):
            places = ", ".join(map(str, source.files))
            raise UserError(
                f"{source.title} ({places}) holds {found[0]:,} training and {found[1]:,} test images, but "
                f"{wanted[0]:,} and {wanted[1]:,} are needed; replace it by a complete copy."
            )


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _mean(photographs: np.ndarray, overlays: np.ndarray) -> np.ndarray:
    """uint8 (n, 3, size, size): the mean of photographs and grey images (n, size, size), rounded down."""
    return ((photographs + overlays[:, None].astype(np.uint16)) >> 1).astype(np.uint8)
