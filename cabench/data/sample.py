"""A part of a data set: at most so many rows of each population, for runs that take seconds on data of any size.

A sample is a data set of its own: its content has another hash than the whole, so that no cell on it is ever mistaken
for one on all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cabench.data.builder import DatasetProvider
from cabench.data.dataset import Attribute, ContrastiveDataset, Population, spaced
from cabench.data.file import DatasetFile, Rows
from cabench.data.layout import Split, examples
from cabench.files.hdf5 import reading_hdf5
from cabench.files.json import digest

MostRows = Mapping[str, int]
"""By split, the most rows of each population that are taken; a split that is not named is taken whole."""


@dataclass(frozen=True, kw_only=True)
class SampledFile(DatasetFile):
    """A data set file of which a part is read; `info` describes that part.

    Attributes:
        whole: the file with all rows.
    """

    whole: DatasetFile

    def read(self, split: Split) -> ContrastiveDataset:
        """See `DatasetFile`; of the images, only those of the sample are read."""
        with reading_hdf5(self.path) as file:
            stored, is_target = examples(file[split]), file[split]["is_target"][:]
            images = [
                torch.from_numpy(np.stack([stored[row] for row in np.flatnonzero(is_target == flag)[chosen]]))
                for flag, chosen in zip((False, True), self._chosen(split), strict=True)
            ]
        return ContrastiveDataset(self.info, *map(Population, images, self.read_attributes(split)))

    def read_attributes(self, split: Split) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """See `DatasetFile`."""
        background, target = (
            {name: values[chosen] for name, values in attributes.items()}
            for attributes, chosen in zip(self.whole.read_attributes(split), self._chosen(split), strict=True)
        )
        return background, target

    def read_rows(self, split: Split) -> tuple[Rows, Rows]:
        """See `DatasetFile`."""
        background, target = (
            Rows(*(column[chosen] for column in rows))
            for rows, chosen in zip(self.whole.read_rows(split), self._chosen(split), strict=True)
        )
        return background, target

    def check_content(self) -> None:
        """See `DatasetFile`: of all rows."""
        self.whole.check_content()

    def _chosen(self, split: Split) -> list[np.ndarray]:
        """Int64 (m,), ascending: the rows of the sample among those of the background, and among those of the target.

        They are evenly spaced over the rows in the order of their classes, so that each class keeps its share.
        """
        kinds = [attribute for attribute in self.info.attributes if attribute.kind == "class"]
        counts, most = self.whole.info.counts[split], self.info.most_rows.get(split)
        orders = zip(counts.values(), self.whole.read_attributes(split), strict=True)
        return [np.sort(spaced(_by_class(count, values, kinds), most or count)) for count, values in orders]


def sampled(file: DatasetFile, most: MostRows) -> DatasetFile:
    """At most so many rows of each population; the file itself where it has no more.

    Args:
        file: with all rows.
        most: as `MostRows`, each 1 or more.
    """
    counts = {
        split: {population: min(count, most.get(split, count)) for population, count in populations.items()}
        for split, populations in file.info.counts.items()
    }
    if counts == file.info.counts:
        return file
    taken = {split: most[split] for split in counts if split in most}
    told = " and ".join(f"{count:,} rows of the {split} split" for split, count in taken.items())
    info = replace(
        file.info,
        content_sha256=digest({"whole": file.info.content_sha256, "most_rows": taken}),
        counts=counts,
        most_rows=taken,
        notes=(*file.info.notes, f"Of each population, at most {told} are used, evenly spaced over its classes."),
    )
    return SampledFile(file.path, info, file.verified, whole=file)


class SampleProvider(DatasetProvider):
    """Provides samples of what another provider gives."""

    def __init__(self, whole: DatasetProvider, most: MostRows) -> None:
        super().__init__(whole.config)
        self.whole = whole
        self.most = most

    def find(self, root: Path | None) -> DatasetFile | None:
        """See `DatasetProvider`."""
        file = self.whole.find(root)
        return None if file is None else sampled(file, self.most)

    def obtain(self, root: Path | None) -> DatasetFile:
        """See `DatasetProvider`."""
        return sampled(self.whole.obtain(root), self.most)


def _by_class(count: int, values: Mapping[str, np.ndarray], kinds: list[Attribute]) -> np.ndarray:
    """Int64 (count,): the rows of one population in the order of their classes, the first attribute's first."""
    columns = [values[attribute.name] for attribute in reversed(kinds)]
    return np.lexsort([np.arange(count), *columns])
