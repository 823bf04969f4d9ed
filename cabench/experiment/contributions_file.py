"""The file `contributions.h5` beside a record: what each block of test rows adds to each of its scores.

attribute key   64 bytes, that of the record
/values   float32 (scores, blocks), in the order of the record's scores; NaN for a metric without an influence
/rows     int32 (scores, blocks), how many rows of each block a score was taken of
/strata   int32 (scores, blocks), what is drawn apart, see `cabench.evaluation.grouped`
/block_rows, /block_strata   int32 (blocks,), the same of all test rows
/names    optional: (blocks,) text, the groups' names in the data
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from cabench.evaluation.contributions import Contributions, ContributionTable
from cabench.files.hdf5 import UNREADABLE, check_whole, reading_hdf5, replacing_hdf5
from cabench.files.regular import is_regular

NAME = "contributions.h5"


@dataclass(frozen=True)
class StoredContributions:
    """The contributions to so many scores of the record with this key, which are read when they are needed: those of
    thousands of records do not fit into memory together.
    """

    path: Path
    key: str
    scores: int

    def read(self) -> ContributionTable | None:
        """The content of the file; None and errors as `read_contributions`."""
        return read_contributions(self.path, self.key, self.scores)

    def check_free(self) -> None:
        """Make sure that no other program holds the file.

        Raises:
            UserError: as `read_contributions`.
        """
        if is_regular(self.path):
            with suppress(*UNREADABLE), reading_hdf5(self.path):
                pass


def write_contributions(path: Path, key: str, table: ContributionTable) -> None:
    """Write the contributions to the scores of the record with this key.

    Raises:
        StorageError: when that is not possible.
    """
    blocks = len(table.rows)
    unknown = np.full(blocks, np.nan)
    shape = len(table.scores), blocks
    values = np.array([unknown if part.values is None else part.values for part in table.scores], np.float32)
    counts = {
        "rows": np.array([part.rows for part in table.scores], np.int32),
        "strata": np.array([part.strata for part in table.scores], np.int32),
    }
    with replacing_hdf5(path) as file:
        file.attrs["key"] = np.bytes_(key)
        # Packed they keep two thirds of their size, and the file takes half as long again to read.
        file.create_dataset("values", data=values.reshape(shape))
        for name, array in counts.items():
            file.create_dataset(name, data=array.reshape(shape), chunks=_whole(shape), compression="gzip", shuffle=True)
        file.create_dataset("block_rows", data=table.rows.astype(np.int32))
        file.create_dataset("block_strata", data=table.strata.astype(np.int32))
        if any(table.names):
            file.create_dataset("names", data=list(table.names), dtype=h5py.string_dtype())


def _whole(shape: tuple[int, int]) -> tuple[int, int] | None:
    """Chunks that hold a whole array, which are found faster than many; None where there is nothing to hold."""
    return shape if all(shape) else None


def read_contributions(path: Path, key: str, scores: int) -> ContributionTable | None:
    """The contributions to so many scores of the record with this key; None where the file is missing, damaged or of
    another record.

    Raises:
        UserError: where it cannot be opened, as another process writes to it.
    """
    if not is_regular(path):
        return None
    try:
        with reading_hdf5(path) as file:
            arrays = check_whole(file)
            return _table(arrays, scores) if _key(file) == key else None
    except UNREADABLE:
        return None


def _key(file: h5py.File) -> str:
    """The key of the record. It is of fixed length: HDF5 may read a damaged text of any length for ever."""
    if file.attrs.get_id("key").dtype != np.dtype("S64"):
        raise ValueError("the attribute 'key' is no key")
    return bytes(file.attrs["key"]).decode()


def _table(arrays: Mapping[str, h5py.Dataset], scores: int) -> ContributionTable:
    """The contributions to so many scores.

    Raises:
        ValueError: for arrays of other shapes or types, and values that contributions cannot have.
    """
    blocks = len(arrays["block_rows"])
    names = arrays["names"].asstr()[:].tolist() if "names" in arrays else []
    values: np.ndarray = _array(arrays, "values", np.float32, (scores, blocks))[:]
    rows, strata = (_shared(_array(arrays, name, np.int32, (scores, blocks))) for name in ("rows", "strata"))
    all_rows, all_strata = (_array(arrays, name, np.int32, (blocks,))[:] for name in ("block_rows", "block_strata"))
    least = min(rows.least, all_rows.min(initial=0))
    if np.isinf(values).any() or least < 0 or len(names) not in (0, blocks):
        raise ValueError("it holds what contributions cannot be")
    unknown = np.isnan(values).any(axis=1)
    found = [
        Contributions(None if is_unknown else part, counts, kinds)
        for part, is_unknown, counts, kinds in zip(values, unknown, rows.parts, strata.parts, strict=True)
    ]
    return ContributionTable(found, all_rows.astype(np.int64), all_strata.astype(np.int64), names)


def _array(
    arrays: Mapping[str, h5py.Dataset], name: str, dtype: type[np.generic], shape: tuple[int, ...]
) -> h5py.Dataset:
    """An array of this type and shape, which are looked at before anything is read."""
    found = arrays[name]
    if found.shape != shape or not np.can_cast(found.dtype, dtype):
        raise ValueError(f"/{name} is {found.dtype} of shape {found.shape}; wanted is {dtype.__name__} of {shape}")
    return found


class _Counts(NamedTuple):
    """An array of counts or codes: int64, by score, for reading alone; and the least of them, at most 0."""

    parts: tuple[np.ndarray, ...]
    least: int


@dataclass(frozen=True)
class _Packed:
    """An array as it stands in a file: what is equal in all but the file is unpacked once."""

    layout: tuple[object, ...]
    content: tuple[tuple[int, bytes], ...]
    array: h5py.Dataset = field(compare=False)


def _shared(array: h5py.Dataset) -> _Counts:
    """An array of counts, one for all records of the same test rows: to unpack it takes longer than all the rest."""
    if array.chunks is None:
        return _unpacked.__wrapped__(_Packed((), (), array))
    stored = array.id
    places = [stored.get_chunk_info(number).chunk_offset for number in range(stored.get_num_chunks())]
    filters = array.compression, array.compression_opts, array.shuffle, array.fletcher32, array.scaleoffset
    layout = array.shape, array.dtype.str, array.chunks, filters, float(array.fillvalue), tuple(places)
    return _unpacked(_Packed(layout, tuple(stored.read_direct_chunk(place) for place in places), array))


@lru_cache(maxsize=16)  # as many as differ among records that are read in a row; large ones take 40 MB
def _unpacked(packed: _Packed) -> _Counts:
    values = packed.array[:].astype(np.int64)
    values.flags.writeable = False
    return _Counts(tuple(values), int(values.min(initial=0)))
