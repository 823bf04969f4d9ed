"""What a method trains on and what an evaluation reads: examples of two populations with their attributes.

Examples are images or, in a data set of feature tables, rows of features. Wherever the text says "images", rows of a
table are meant as well, unless it mentions tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import TypedDict

from cabench.files.json import parse_json

Space = Literal["common", "salient"]
Owner = Literal["common", "salient", "nuisance"]
SPACES: tuple[Space, Space] = ("common", "salient")
OWNERS: tuple[Owner, Owner, Owner] = (*SPACES, "nuisance")
"""What an attribute can belong to: one of the two spaces, or neither of them."""
IS_TARGET = "is_target"
"""The name of target against background in tables of results; no attribute may have it."""
FEWEST_ROWS = 10  # to fit a probe on: with fewer, cross-validation means little
FEWEST_TRAINED = 5  # training rows of a class
FEWEST_TESTED = 2  # test groups of a class
FEWEST_READ = 3  # test groups of which numbers are read: any two lie on a line


@dataclass(frozen=True)
class Attribute:
    """One thing known about images, and what it belongs to.

    Attributes:
        name: a short identifier, e.g. "shape".
        space: "common" where background and target share it, "salient" where only target images have it, "nuisance"
            where it tells how images were made, such as site, scanner, batch or session: no space is judged by holding
            it.
        kind: "class" (int64 index, -1 = undefined) or "real" (float64, NaN = undefined).
        classes: the classes' names in the order of their index; empty for a real attribute.
    """

    name: str
    space: Owner
    kind: Literal["class", "real"]
    classes: tuple[str, ...] = ()

    def undefined(self) -> np.ndarray:
        """The value for "not defined for this image", as a 0-d array of the attribute's dtype."""
        return np.array(-1, dtype=np.int64) if self.kind == "class" else np.array(np.nan, dtype=np.float64)

    def is_defined(self, values: np.ndarray) -> np.ndarray:
        """Bool (n,): which of `values` (n,) are defined."""
        return values >= 0 if self.kind == "class" else ~np.isnan(values)


def example_shape(sizes: Sequence[int]) -> tuple[int, ...]:
    """The shape of one example: (channels, height, width) of an image, (features,) of a row of a table.

    Raises:
        ValueError: for another number of sizes.
    """
    if len(sizes) not in (1, 3):
        raise ValueError(f"{tuple(sizes)} is the shape of neither an image nor a row of a table")
    return tuple(sizes)


class DataForm(NamedTuple):
    """What networks are built for.

    Attributes:
        image_shape: (channels, height, width); of a table (features,).
        attributes: in the data set's order; a method that learns from them has outputs for those of the two spaces,
            and leaves nuisances alone.
    """

    image_shape: tuple[int, ...]
    attributes: tuple[Attribute, ...] = ()

    def to_tensor(self) -> Tensor:
        """The form as text in a uint8 tensor, for files that hold only tensors."""
        text = json.dumps({"image_shape": self.image_shape, "attributes": [asdict(a) for a in self.attributes]})
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    @classmethod
    def from_tensor(cls, text: Tensor) -> DataForm:
        """The form that `to_tensor` wrote.

        Raises:
            ValueError: for a tensor that holds something else.
        """
        if text.dtype != torch.uint8 or text.dim() != 1:
            raise ValueError("its form of data is no text")
        form = parse_json(bytes(text.tolist()).decode(), _Form)
        return cls(example_shape(form["image_shape"]), form["attributes"])


class _Form(TypedDict):
    """A `DataForm` as JSON."""

    image_shape: tuple[int, ...]
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a built data set without reading its images.

    Attributes:
        name: the builder's name, e.g. "dsprites".
        builder_version: raised whenever a builder's output changes.
        config: the builder's resolved configuration.
        content_sha256: hash of every image, label and attribute declaration in the file.
        sources: titles of what it was built from, e.g. ("CIFAR-10 (JPEG)", "MNIST").
        image_shape: (channels, height, width); of a table (features,).
        attributes: in the order in which tables show them.
        counts: images by split and population, e.g. {"train": {"background": 2000, "target": 2000}, ...}.
        notes: the builder's sentences that users of the data must know.
        are_counts: whether the features of a table are counts: whole numbers from 0, not standardised.
        non_negative: whether the features of a table were all 0 or more before they were standardised, or are counts.
        missing: the share of a table's values that are missing, in [0, 1).
        most_rows: of a sample, by split the most rows of each population that were taken; empty for a whole data set.
            See `cabench.data.sample`.
        validation_of: where a part of a training split stands for the test split, the content hash of the whole data
            set; else empty. See `cabench.data.tuning_split`.
    """

    name: str
    builder_version: int
    config: Mapping[str, object]
    content_sha256: str
    sources: tuple[str, ...]
    image_shape: tuple[int, ...]
    attributes: tuple[Attribute, ...]
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...] = ()
    are_counts: bool = False
    non_negative: bool = False
    missing: float = 0.0
    most_rows: Mapping[str, int] = field(default_factory=dict)
    validation_of: str = ""

    @property
    def called(self) -> str:
        """What messages call it: a user's own file by its name without the ending, others by their builder's name."""
        path = self.config.get("path")
        return Path(path).stem if isinstance(path, str) and path else self.name

    @property
    def is_table(self) -> bool:
        """Whether its examples are rows of features instead of images."""
        return len(self.image_shape) == 1

    @property
    def form(self) -> DataForm:
        """What networks are built for."""
        return DataForm(self.image_shape, self.attributes)


@dataclass(frozen=True)
class Population:
    """Images of one population.

    Attributes:
        images: uint8 (n, channels, height, width) in [0, 255]; of a table float32 (n, features), standardised over
            the training rows, NaN = missing; of a table of counts float32 whole numbers from 0. On the CPU.
        attributes: by name, (n,) int64 class indices (-1 = undefined) or float64 (NaN = undefined).
    """

    images: Tensor
    attributes: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.images)


class ContrastiveDataset(NamedTuple):
    """One split of a data set. Methods are given the training split alone.

    Attributes:
        info: the data set that the split belongs to.
        background: the images that show only what is common.
        target: the images that show what is common and what is salient.
    """

    info: DatasetInfo
    background: Population
    target: Population

    @property
    def images(self) -> Tensor:
        """All images, background first: the order in which vectors from elsewhere are expected."""
        return torch.cat([self.background.images, self.target.images])


def as_float(images: Tensor) -> Tensor:
    """uint8 images in [0, 255] as float32 in [0, 1], same shape and device, in channels-last memory.

    float32 rows (n, features) of a table come back as a copy, so that changing it does not change the data.
    """
    if images.ndim == 2:
        return images.clone()
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def float_batches(images: Tensor, device: torch.device, size: int = 500) -> Iterator[Tensor]:
    """The images, in order, as float batches of at most `size` on `device`. A fixed size keeps encodings repeatable."""
    for start in range(0, len(images), size):
        yield as_float(images[start : start + size].to(device))


def spaced(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows, evenly spaced over all of them."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]
