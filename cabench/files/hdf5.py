"""HDF5 files that appear whole or not at all, also where the disk is full.

The HDF5 library does not survive a failed write: it prints pages of its inner state, and closing the file ends the
process with a segmentation fault. So it writes to a file object that reports only the first failure.
"""

from __future__ import annotations

import io
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from cabench.errors import UserError
from cabench.files.atomic import replacing_nameless
from cabench.files.bounds import most_unpacked
from cabench.files.json import check_tree
from cabench.files.uninterrupted import ctrl_c_waits, uninterrupted

UNREADABLE = (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError, ArithmeticError)
"""What h5py raises for a damaged file, or one with something else where an array, a group or a text is expected."""
PIECE = 1 << 22  # bytes of an array that are read at a time
DEEPEST = 4  # links from the root to an array
TEXT = h5py.string_dtype()  # UTF-8 of any length
TEXTS = ("names", "groups")  # names of arrays that may hold text
LONGEST_TEXT = 4096  # bytes, the limit of a path
_POINTER = np.dtype([("length", "<u4"), ("collection", "<u8"), ("index", "<u4")])  # what an array holds for a text
LARGEST_RATIO = 1100  # of bytes in memory to bytes in the file; deflate, the densest common filter, reaches 1032


class _TellsOnce(io.FileIO):
    """A file that raises at the first failed write, and from then on only pretends to write."""

    failure: OSError | None = None

    @uninterrupted
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
    with replacing_nameless(path) as handle, _opened(handle, "w+") as file:
        yield file


@contextmanager
def changing_copy_of_hdf5(source: Path, path: Path) -> Iterator[h5py.File]:
    """Give a copy of an HDF5 file to change; put it in place of `path`, which may be `source`, likewise.

    Raises:
        StorageError: when it cannot be copied or written.
    """
    with replacing_nameless(path) as handle:
        with source.open("rb") as original, open(handle, "wb", closefd=False) as copy:
            shutil.copyfileobj(original, copy)
        with _opened(handle, "r+") as file:
            yield file


@contextmanager
def _opened(handle: int, mode: Literal["w+", "r+"]) -> Iterator[h5py.File]:
    with ctrl_c_waits(), _TellsOnce(handle, mode, closefd=False) as plain:
        try:
            file = _open(plain, mode)
            try:
                yield file
            finally:
                _close(file)
        finally:
            if plain.failure is not None:
                raise plain.failure


@uninterrupted
def _open(plain: _TellsOnce, mode: Literal["w+", "r+"]) -> h5py.File:
    return h5py.File(plain, mode.replace("w+", "w"))


@uninterrupted
def _close(file: h5py.File) -> None:
    file.close()


@contextmanager
def reading_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give an HDF5 file, open for reading.

    What the system refuses says nothing of the content, and is told apart from what the library finds wrong with it.

    Raises:
        UserError: when another process holds it open for writing, and when the system does not let it be opened.
        OSError: as h5py, for a file that is no HDF5, cut short or damaged.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if isinstance(error, BlockingIOError) or "unable to lock file" in str(error):
            raise UserError(
                f"{path} is in use: another program holds it open for writing. Close it there, or wait until that "
                "program has ended, and try again."
            ) from error
        if "already open for write" in str(error):  # by a mark in the file, which a killed program leaves
            raise UserError(
                f"{path} is marked as open for writing: another program writes to it, or was killed while it did. Wait "
                "until that program has ended; where there is none, HDF5's tool `h5clear -s` takes the mark away."
            ) from error
        if error.errno is not None:
            raise UserError(f"{path} cannot be opened: {os.strerror(error.errno)}.") from error
        raise
    with file:
        yield file


def check_contents(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Check that a file holds groups and arrays of numbers, all inside the file, and of a size that it can hold.

    Gives the arrays by their paths from the root, such as "train/target/common".

    Arrays named as in `TEXTS` may hold text.

    Links and virtual or external arrays would read other files, chosen by whoever made this one.

    Raises:
        ValueError: for a link, an array kept in other files or of other values, a text that is too long, a filter that
            is not installed, a chunk that unpacks to too much, groups that are there twice or nested deeper than the
            layouts of cabench, and declared sizes that a file of this length cannot hold.
    """
    return _checked(file, LARGEST_RATIO * file.id.get_filesize())


def check_whole(file: h5py.File) -> dict[str, h5py.Dataset]:
    """As `check_contents`, of a file whose arrays are read whole, which may hold what `most_unpacked` says."""
    return _checked(file, most_unpacked(file.id.get_filesize()))


def _checked(file: h5py.File, most: int) -> dict[str, h5py.Dataset]:
    found = arrays(file)
    declared = sum(map(_bytes, found))
    if declared > most:
        raise ValueError(f"it declares {declared:,} bytes of arrays, far more than it has")
    return {dataset.name.removeprefix("/"): dataset for dataset in found}


def pieces(dataset: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    """An array in pieces of a few megabytes, or of whole chunks, in order: the index of the first row, and the rows."""
    rows = max(1, PIECE * len(dataset) // max(dataset.nbytes, 1))
    if dataset.id.get_create_plist().get_nfilters():  # a chunk that is packed is unpacked as a whole
        rows = max(rows // dataset.chunks[0], 1) * dataset.chunks[0]
    for start in range(0, len(dataset), rows):
        yield start, dataset[start : start + rows]


def arrays(file: h5py.File) -> list[h5py.Dataset]:
    """Every array of a file.

    Raises:
        ValueError: as `check_contents`, except for declared sizes.
    """
    return _arrays_below(file, "", set())


def _arrays_below(group: h5py.Group, place: str, seen: set[int]) -> list[h5py.Dataset]:
    """Every array below the group at a place; `seen` holds the addresses of the groups on all ways there."""
    address = h5py.h5o.get_info(group.id).addr
    if address in seen:  # links to the same groups make more ways than can be walked
        raise ValueError(f"{place} is a group that is there twice")
    seen.add(address)
    found = []
    for name in group:
        here = f"{place}/{name}"
        check_tree(here)
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{here} is a link to somewhere else")
        item = group[name]
        if isinstance(item, h5py.Dataset):
            _check_array(item, here)
            found.append(item)
        elif isinstance(item, h5py.Group) and here.count("/") < DEEPEST:
            found += _arrays_below(item, here, seen)
        else:
            raise ValueError(f"{here} is neither an array nor a group of arrays")
    return found


def _check_array(dataset: h5py.Dataset, place: str) -> None:
    check_storage(dataset, place)
    if _is_text(dataset):
        _check_texts(dataset, place)
    elif dataset.dtype.kind not in "buif" or not dataset.shape:
        raise ValueError(f"{place} is no array of numbers, but {dataset.dtype} of shape {dataset.shape}")


def check_storage(dataset: h5py.Dataset, place: str) -> None:
    """Raise ValueError for an array that cannot be read alone, or safely.

    That is one kept in other files, compressed by a filter that is not installed, or with chunks that unpack to more
    than `most_unpacked` of the file: a chunk is unpacked as a whole, may be larger than the array, and is unpacked
    once where all chunks of the same rows are read together, as `pieces` does.
    """
    plan = dataset.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise ValueError(f"{place} is kept in other files")
    for code, *_ in map(plan.get_filter, range(plan.get_nfilters())):
        if not h5py.h5z.filter_avail(code):
            raise ValueError(f"{place} is compressed by filter {code}, which is not installed")
    if plan.get_nfilters():
        chunk, most = dataset.chunks, most_unpacked(dataset.file.id.get_filesize())
        held = max(math.prod(chunk), chunk[0] * math.prod(dataset.shape[1:])) * dataset.dtype.itemsize
        if held > most:
            raise ValueError(f"{place} has chunks that unpack to {held:,} bytes at once, of {most:,} that are allowed")


def _is_text(dataset: h5py.Dataset) -> bool:
    """Whether a column may hold text, and does: strings of variable length, as h5py writes them."""
    kind = h5py.check_string_dtype(dataset.dtype)
    return kind is not None and kind.length is None and dataset.ndim == 1 and dataset.name.rpartition("/")[2] in TEXTS


def _check_texts(dataset: h5py.Dataset, place: str) -> None:
    """Check the lengths of texts without the library, which would allocate whatever is declared.

    Their sum is checked too, because many entries may point to one text.
    """
    rows, start, size = len(dataset), dataset.id.get_offset(), dataset.id.get_storage_size()
    path, before = Path(dataset.file.filename), dataset.file.userblock_size
    if not rows or start is None or before or size != rows * _POINTER.itemsize or start + size > path.stat().st_size:
        raise ValueError(f"{place} holds texts that are not kept in one piece, uncompressed")
    lengths = np.fromfile(path, _POINTER, rows, offset=start)["length"]
    if lengths.max() > LONGEST_TEXT:
        raise ValueError(f"{place} holds a text of more than {LONGEST_TEXT:,} bytes")
    if lengths.sum(dtype=np.int64) > path.stat().st_size:
        raise ValueError(f"{place} declares more text than the file has bytes")


def _bytes(dataset: h5py.Dataset) -> int:
    return int(dataset.size * dataset.dtype.itemsize)
