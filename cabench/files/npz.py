"""Arrays of an .npz file from elsewhere, read in pieces.

An .npz file is a zip archive of .npy streams (NumPy's format, versions 1.0 and 2.0: `numpy.lib.format`), so that it
cannot be mapped into memory. What it declares is checked against its size before anything is allocated, and no Python
object in it is ever loaded.
"""

from __future__ import annotations

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from cabench.errors import UserError
from cabench.files.hdf5 import LARGEST_RATIO, PIECE

SUFFIX = ".npy"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # as NumPy writes; other methods have no bound on what they hide
_UNREADABLE = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, EOFError, RuntimeError, ArithmeticError, SyntaxError),
    *(MemoryError, AttributeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""What zipfile and NumPy raise for damaged files."""


class StoredArray(NamedTuple):
    """An array that is still on disk.

    Attributes:
        path: the .npz file.
        name: of the array.
        shape: as its header declares it.
        dtype: likewise.
        by_columns: whether it is stored in Fortran's order, in which no row is in one place.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    by_columns: bool

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> np.ndarray:
        """All of it.

        Raises:
            UserError: for Python objects, and for a file that is damaged.
        """
        with _reading(self.path), zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}{SUFFIX}") as stream:
            values: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
            _check_end(stream)
            return values

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """It in pieces of a few megabytes, in order: the index of the first row, and the rows, read-only.

        Raises:
            UserError: for Python objects, an array in Fortran's order, and a file that is damaged.
        """
        with _reading(self.path), zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}{SUFFIX}") as stream:
            if self.by_columns or self.dtype.hasobject:
                raise ValueError(f"{self.name} is not stored row by row: write numpy.ascontiguousarray of it")
            _header(stream)
            count, row = self.shape[0], self.nbytes // max(self.shape[0], 1)
            rows = max(1, PIECE // max(row, 1))
            for start in range(0, count, rows):
                here = min(rows, count - start)
                yield start, np.frombuffer(_exactly(stream, here * row), self.dtype).reshape(here, *self.shape[1:])
            _check_end(stream)


def stored_arrays(path: Path) -> dict[str, StoredArray]:
    """Every array of an .npz file, by name, in the order of the file. Only headers are read.

    Raises:
        UserError: when it is missing or no .npz file of arrays, or declares more than it can hold.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; check the path.")
    with _reading(path), zipfile.ZipFile(path) as archive:
        found = {}
        for entry in archive.infolist():
            name = entry.filename.removesuffix(SUFFIX)
            if name == entry.filename or name in found or entry.compress_type not in _PACKED:
                raise ValueError(f"its entry {entry.filename!r} is no array as numpy.savez writes it")
            with archive.open(entry) as stream:
                found[name] = StoredArray(path, name, *_header(stream))
        size = path.stat().st_size
        packed = sum(entry.compress_size for entry in archive.infolist())
        declared = sum(array.nbytes for array in found.values())
        if packed > size or declared > LARGEST_RATIO * size:
            raise ValueError(f"it declares {declared:,} bytes of arrays, far more than it has")
        return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise UserError(
            f"{path} cannot be read as an .npz file ({str(error) or type(error).__name__}); write it with numpy.savez "
            "or get another copy."
        ) from error


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, dtype and whether the order is Fortran's, from the start of a stream.

    Raises:
        ValueError: for another version and for sizes below 0; and others of `_UNREADABLE`.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"it holds an array in version {version} of NumPy's format")
    shape, by_columns, dtype = _HEADERS[version](stream)
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise ValueError(f"it declares an array of shape {shape}")
    return shape, dtype, by_columns


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise EOFError("it ends too early")
    return content


def _check_end(stream: IO[bytes]) -> None:
    """Read to the end, where zipfile compares the content with its checksum."""
    if stream.read(1):
        raise ValueError("it holds more than it declares")
