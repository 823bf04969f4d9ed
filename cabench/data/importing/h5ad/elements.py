"""Elements of .h5ad files, AnnData in HDF5, read through h5py alone.

The format is that of anndata's "On-disk format" document: files that anndata 0.8 and later write, whose elements say
what they are (`encoding-type`, `encoding-version`), and those of 0.7, whose columns of classes refer to a group
`__categories`. Older ones keep obs as a compound and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from cabench.data.importing.as_text import KINDS, cells_of
from cabench.errors import UserError, unknown
from cabench.files.foreign_hdf5 import is_text, items_below
from cabench.files.hdf5 import UNREADABLE, reading_hdf5
from cabench.hardening.trial import try_reading

ARRAY, SPARSE = "array", ("csr_matrix", "csc_matrix")
VERSIONS = {
    **{
        "anndata": ("0.1.0",),
        ARRAY: ("0.2.0",),
        "string-array": ("0.2.0",),
        "categorical": ("0.2.0",),
        "dataframe": ("0.1.0", "0.2.0"),
    },
    **dict.fromkeys((*SPARSE, "raw", "nullable-integer", "nullable-boolean", "nullable-string-array"), ("0.1.0",)),
}
"""The encodings that are read, and their versions."""
NULLABLE = ("nullable-integer", "nullable-boolean", "nullable-string-array")
FRAMES = ("obs", "var")


@contextmanager
def reading_anndata(path: Path, places: Sequence[str]) -> Iterator[h5py.File]:
    """Give an .h5ad file, open for reading, after another process has read the places that will be used.

    Args:
        path: the file.
        places: paths from the root, such as "X"; obs and var are always read.

    Raises:
        UserError: for a file that is no .h5ad file, is older than anndata 0.7, or is damaged, also while the block
            reads it.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; check the path.")
    if not h5py.is_hdf5(path):
        raise UserError(f"{path} is not an HDF5 file. A .zarr folder must be converted with anndata first.")
    wanted = (*FRAMES, *places)
    try_reading(path, wanted)
    try:
        with reading_hdf5(path) as file:
            _check_generation(path, file)
            items_below(file, wanted)
            yield file
    except (*UNREADABLE, MemoryError) as error:
        raise UserError(
            f"{path} cannot be read ({str(error) or type(error).__name__}); open it with anndata and save it again, or "
            "get another copy."
        ) from error


def column_names(frame: h5py.Group) -> list[str]:
    """The columns of obs or var, in order."""
    order = frame.attrs.get("column-order", ())
    # Of no columns, anndata writes an empty array of numbers.
    return [_text(name) for name in order] if len(order) else []


def row_names(path: Path, frame: h5py.Group) -> tuple[np.ndarray, int]:
    """Text (n,) as objects: what rows of obs or var are called; and how many share their name with others.

    Names that repeat get the number of the row, from 0, so that each is there once.

    Raises:
        UserError: for names that are stored in another way than anndata does.
    """
    names = cells_of_column(path, frame, _text(frame.attrs["_index"]))
    _, inverse, counts = np.unique(names.astype(str), return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts[inverse] > 1)
    names[repeated] = [f"{names[row]} (row {row})" for row in repeated]
    return names, len(repeated)


def column(path: Path, frame: h5py.Group, name: str) -> np.ndarray:
    """Text (n,) as objects: a column of obs or var, "" = missing.

    Raises:
        UserError: where there is no such column, with the closest match, and for a kind that is not read.
    """
    names = column_names(frame)
    if name not in names:
        raise unknown(f"column of {frame.name[1:]} in {path}", name, names)
    return cells_of_column(path, frame, name)


def cells_of_column(path: Path, frame: h5py.Group, name: str) -> np.ndarray:
    """As `column`, of any element in a group."""
    item = frame[name]
    kind = encoding(path, item)
    if kind == "categorical":
        return _of_categories(item["codes"][:], cells_of_column(path, item, "categories"))
    if kind in NULLABLE:
        return np.where(item["mask"][:], "", cells_of_column(path, item, "values"))
    if not isinstance(item, h5py.Dataset) or item.ndim != 1 or not (item.dtype.kind in KINDS or is_text(item)):
        raise UserError(f"{path}: {item.name} is no column of numbers, truth values or text; leave it out.")
    if "categories" in item.attrs:  # of anndata 0.7: a reference to what has this name
        return _of_categories(item[:], cells_of_column(path, frame["__categories"], name))
    return cells_of(item.asstr()[:] if is_text(item) else item[:])


def encoding(path: Path, item: h5py.Group | h5py.Dataset) -> str:
    """How an element says that it is stored; `ARRAY` for an array that says nothing.

    Raises:
        UserError: for an encoding or version that is not read.
    """
    kind, version = (_text(item.attrs.get(f"encoding-{what}", "")) for what in ("type", "version"))
    if not kind and isinstance(item, h5py.Dataset):
        return ARRAY
    if version not in VERSIONS.get(kind, ()):
        known = ", ".join(f"{name} {' or '.join(versions)}" for name, versions in VERSIONS.items())
        raise UserError(
            f"{path}: {item.name} is stored as {f'{kind} {version}'.strip() or 'a group'}; read are {known}."
        )
    return kind


def _of_categories(codes: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """The text of each code; "" for -1."""
    if codes.dtype.kind not in "iu" or (codes < -1).any() or (codes >= len(categories)).any():
        raise ValueError("it has codes that name no category")
    cells: np.ndarray = np.append(categories, "").astype(object)[codes]
    return cells


def _check_generation(path: Path, file: h5py.File) -> None:
    lacking = [name for name in FRAMES if name not in file]
    if lacking:
        raise UserError(f"{path} has no {' and no '.join(lacking)}: it is HDF5 but not an AnnData file.")
    if not all(isinstance(file[name], h5py.Group) for name in FRAMES):
        raise UserError(f"{path} was written by anndata before 0.7. Open it once with anndata and save it again.")
    for item in (file, *(file[name] for name in FRAMES)):
        if "encoding-type" in item.attrs:  # which the files of 0.7 lack at the root
            encoding(path, item)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
