"""A data set for choosing settings: four fifths of a training split to train on, and the last fifth to judge by.

The fifth is drawn in whole groups, as `cabench.data.split` says, and is the same for every method. It stands where a
test split stands, so that all that works on data sets works on this one; the test split itself cannot be reached
through it. Its content has a hash of its own: no cell on it is ever mistaken for one on the whole.

Columns of a table keep the scale that they have in the whole training split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from cabench.data.builder import DatasetProvider
from cabench.data.dataset import ContrastiveDataset, Population
from cabench.data.file import DatasetFile, Rows
from cabench.data.layout import Split
from cabench.data.split import Labelled, draw
from cabench.errors import UserError
from cabench.files.json import digest

FRACTION, SEED = 0.2, 0
POPULATIONS = ("background", "target")
SUFFIX = "-validation"
"""What is put behind a data set's label to name its part for choosing settings."""


@dataclass(frozen=True, kw_only=True)
class TuningFile(DatasetFile):
    """The training split of a data set file, divided once more; `info` describes the two parts.

    Attributes:
        whole: the file with all splits.
    """

    whole: DatasetFile

    def read(self, split: Split) -> ContrastiveDataset:
        """See `DatasetFile`; "test" is the part that settings are judged by."""
        train = self.whole.read("train")
        parts = [
            Population(part.images[chosen], {name: values[chosen] for name, values in part.attributes.items()})
            for part, chosen in zip((train.background, train.target), self._chosen(split), strict=True)
        ]
        return ContrastiveDataset(self.info, *parts)

    def read_attributes(self, split: Split) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """See `DatasetFile`."""
        background, target = (
            {name: values[chosen] for name, values in attributes.items()}
            for attributes, chosen in zip(self.whole.read_attributes("train"), self._chosen(split), strict=True)
        )
        return background, target

    def read_rows(self, split: Split) -> tuple[Rows, Rows]:
        """See `DatasetFile`."""
        background, target = (
            Rows(*(column[chosen] for column in rows))
            for rows, chosen in zip(self.whole.read_rows("train"), self._chosen(split), strict=True)
        )
        return background, target

    def check_content(self) -> None:
        """See `DatasetFile`: of the whole."""
        self.whole.check_content()

    def _chosen(self, split: Split) -> list[np.ndarray]:
        """Int64 (m,), ascending: the rows of a part among those of the background, and among those of the target."""
        if split not in ("train", "test"):
            raise UserError(f"There is no {split} split of {self.info.called} while settings are chosen.")
        return [np.flatnonzero(held == (split == "test")) for held in self._held_out]

    @cached_property
    def _held_out(self) -> list[np.ndarray]:
        """Bool (n,) for background and target: which rows settings are judged by."""
        return held_out_rows(self.whole)


def held_out_rows(whole: DatasetFile) -> list[np.ndarray]:
    """Bool (n,) for background and target rows of a training split: the fifth that settings are judged by.

    Raises:
        UserError: where a population would have no row on one of the two sides.
    """
    rows, attributes = whole.read_rows("train"), whole.read_attributes("train")
    groups = np.concatenate(
        [_named(population, each.groups) for population, each in zip(POPULATIONS, rows, strict=True)]
    )
    parts = {
        population: Labelled(len(each.groups), values)
        for population, each, values in zip(POPULATIONS, rows, attributes, strict=True)
    }
    chosen = draw(parts, groups, whole.info.attributes, FRACTION, SEED)
    found = np.split(chosen, [parts["background"].size])
    for population, held in zip(POPULATIONS, found, strict=True):
        if held.all() or not held.any():
            raise UserError(
                f"{whole.info.called} has too few {population} groups for training to hold a fifth of them out; "
                "settings cannot be chosen on it."
            )
    return found


def tuning_file(whole: DatasetFile) -> TuningFile:
    """The part of a data set for choosing settings; errors as `held_out_rows`."""
    counts: dict[str, Mapping[str, int]] = {"train": {}, "test": {}}
    for population, held in zip(POPULATIONS, held_out_rows(whole), strict=True):
        counts["train"] = {**counts["train"], population: int((~held).sum())}
        counts["test"] = {**counts["test"], population: int(held.sum())}
    content = whole.info.content_sha256
    info = replace(
        whole.info,
        content_sha256=digest({"whole": content, "held_out": FRACTION, "seed": SEED}),
        counts=counts,
        validation_of=content,
    )
    return TuningFile(whole.path, info, whole.verified, whole=whole)


class TuningProvider(DatasetProvider):
    """Provides the part for choosing settings of what another provider gives."""

    def __init__(self, whole: DatasetProvider) -> None:
        super().__init__(whole.config)
        self.whole = whole

    def find(self, root: Path | None) -> DatasetFile | None:
        """See `DatasetProvider`."""
        file = self.whole.find(root)
        return None if file is None else tuning_file(file)

    def obtain(self, root: Path | None) -> DatasetFile:
        """See `DatasetProvider`."""
        return tuning_file(self.whole.obtain(root))


def _named(population: str, groups: np.ndarray) -> np.ndarray:
    """(n,) text: the groups; a row without one is one of its own."""
    return np.array([group or f"{population} {row}" for row, group in enumerate(groups.tolist())], object)
