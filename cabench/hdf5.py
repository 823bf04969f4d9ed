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

from cabench.atomic import replacing


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
