"""HDF5 files that appear whole or not at all, also where the disk is full.

The HDF5 library cannot bear a write that fails: it prints its inner state by the page and ends the process with a
segmentation fault when the file is closed. So it writes to a file object that keeps the first failure to itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cabench.files.atomic import replacing
from cabench.files.json import check_tree

UNREADABLE = (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError, ArithmeticError)
"""What h5py raises for a file that is damaged, or holds something else where an array, a group or a text is wanted."""
PIECE = 1 << 22  # bytes of an array that are read together
DEEPEST = 4  # links from the root to an array
LARGEST_RATIO = 1100  # of bytes in memory to bytes in the file; deflate, the densest common filter, reaches 1032


class _TellsOnce(io.FileIO):
    """A file that raises at the first write that fails, and from then on only looks as if it were written."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.failure is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.failure = error
                raise
        return size


@contextmanager
def replacing_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give an HDF5 file to fill; put it in place of `path` when the block ends without error.

    Raises:
        StorageError: when it cannot be written, at the end of the block.
    """
    with replacing(path) as temporary, _TellsOnce(temporary, "w+") as plain:
        try:
            with h5py.File(plain, "w") as file:
                yield file
        finally:
            if plain.failure is not None:
                raise plain.failure


def check_contents(file: h5py.File) -> None:
    """Check that a file holds groups and arrays of numbers, all of them its own, and no more than it can hold.

    Links and virtual or external arrays would read other files, whatever the one who made this file wanted to be read.

    Raises:
        ValueError: for a link, an array that is kept in other files, one of other values than numbers, a filter that is
            not installed, groups nested deeper than the layouts of cabench, and sizes that are declared but cannot be
            stored in a file of this length.
    """
    declared = sum(_bytes(dataset) for dataset in arrays(file))
    if declared > LARGEST_RATIO * file.id.get_filesize():
        raise ValueError(f"it declares {declared:,} bytes of arrays, far more than it has")


def pieces(dataset: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    """An array in pieces of a few megabytes: the index of the first row, and the rows, of one after another."""
    rows = max(1, PIECE * len(dataset) // max(dataset.nbytes, 1))
    for start in range(0, len(dataset), rows):
        yield start, dataset[start : start + rows]


def arrays(group: h5py.Group, place: str = "") -> list[h5py.Dataset]:
    """Every array below a group.

    Args:
        group: where to look.
        place: the group's path, "" for a file.

    Raises:
        ValueError: as `check_contents`, but for sizes.
    """
    found = []
    for name in group:
        here = f"{place}/{name}"
        check_tree(here)
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{here} is a link to somewhere else")
        item = group[name]
        if isinstance(item, h5py.Dataset):
            _check_array(item, here)
            found.append(item)
        elif isinstance(item, h5py.Group) and here.count("/") < DEEPEST:
            found += arrays(item, here)
        else:
            raise ValueError(f"{here} is neither an array nor a group of arrays")
    return found


def _check_array(dataset: h5py.Dataset, place: str) -> None:
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{place} is kept in other files")
    if dataset.dtype.kind not in "buif" or not dataset.shape:
        raise ValueError(f"{place} is no array of numbers, but {dataset.dtype} of shape {dataset.shape}")
    plan = dataset.id.get_create_plist()
    for code, *_ in map(plan.get_filter, range(plan.get_nfilters())):
        if not h5py.h5z.filter_avail(code):
            raise ValueError(f"{place} is compressed by filter {code}, which is not installed")


def _bytes(dataset: h5py.Dataset) -> int:
    return int(dataset.size * dataset.dtype.itemsize)
