"""Matrices of .h5ad files: dense, or sparse by rows (CSR) or by columns (CSC), made dense in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from scipy.sparse import csr_array

from cabench.data.importing.h5ad.elements import ARRAY, SPARSE, encoding
from cabench.errors import UserError

PIECE = 1 << 26  # bytes of a dense piece; chunks of HDF5 are read once where they are not higher than that


class Matrix(NamedTuple):
    """A matrix that is still on disk.

    Attributes:
        place: its path from the root, such as "X" or "layers/counts".
        shape: (n, m).
        dtype: what it becomes: float32, or float64 where values would not fit.
        item: a dataset (n, m), or the group of a sparse matrix.
        by_rows: whether a sparse matrix is stored row by row (CSR) rather than column by column.
    """

    place: str
    shape: tuple[int, int]
    dtype: np.dtype
    item: h5py.Group | h5py.Dataset
    by_rows: bool

    def dense(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(k, d): the chosen rows and columns, each int64 indices without repeats, in this order.

        Memory is that of the result, and a constant.

        Raises:
            ValueError: for a sparse matrix whose parts do not fit together.
        """
        made = np.zeros((len(rows), len(columns)), self.dtype)
        if isinstance(self.item, h5py.Dataset):
            _fill_from_dense(made, self.item, rows, columns)
        elif self.by_rows:
            _fill_from_sparse(made, self.item, self.shape[1], rows, columns)
        else:
            _fill_from_sparse(made.T, self.item, self.shape[0], columns, rows)
        return made


def open_matrix(path: Path, item: h5py.Group | h5py.Dataset, rows: int, columns: int) -> Matrix:
    """A matrix of an .h5ad file, its shape and type looked at.

    Args:
        path: of the file, for messages.
        item: the element.
        rows: how many it must have.
        columns: likewise.

    Raises:
        UserError: for an encoding that is not read, values that are no numbers, and another shape.
    """
    place = item.name[1:]
    kind = encoding(path, item)
    values = item if isinstance(item, h5py.Dataset) else item["data"] if kind in SPARSE else None
    if kind not in (ARRAY, *SPARSE) or values is None or values.dtype.kind not in "buif":
        raise UserError(f"{path}: {place} is no matrix of numbers; name another with --layer.")
    shape = tuple(int(size) for size in (item.shape if isinstance(item, h5py.Dataset) else item.attrs["shape"]))
    if shape != (rows, columns):
        raise UserError(
            f"{path}: {place} is {' x '.join(map(str, shape))} but there are {rows:,} rows and {columns:,} columns."
        )
    return Matrix(place, (rows, columns), np.result_type(values.dtype, np.float32), item, kind == SPARSE[0])


def _fill_from_dense(made: np.ndarray, stored: h5py.Dataset, rows: np.ndarray, columns: np.ndarray) -> None:
    place = _places(rows, stored.shape[0])
    step = max(1, PIECE // max(stored.shape[1] * stored.dtype.itemsize, 1))
    height = stored.chunks[0] if stored.chunks else 1
    step = max(step // height * height, min(step, height))
    for start in range(0, stored.shape[0], step):
        here = place[start : start + step]
        if (here >= 0).any():
            made[here[here >= 0]] = stored[start : start + step][here >= 0][:, columns]


def _fill_from_sparse(made: np.ndarray, group: h5py.Group, width: int, lines: np.ndarray, across: np.ndarray) -> None:
    """Fill (k, d) from the chosen lines of a sparse matrix, which are rows of CSR and columns of CSC.

    Args:
        made: zeros, of which (i, j) becomes what line lines[i] holds at across[j].
        group: with data, indices and indptr.
        width: the length of a line.
        lines: int64 (k,).
        across: int64 (d,).
    """
    bounds = group["indptr"][:]
    _check_bounds(bounds, group)
    place = _places(lines, len(bounds) - 1)
    for start, end in _pieces(bounds.astype(np.int64), width):
        here = place[start:end]
        if not (here >= 0).any():
            continue
        first, last = int(bounds[start]), int(bounds[end])
        indices, values = group["indices"][first:last], group["data"][first:last]
        # SciPy does not look, and would write beside the array.
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < width:
            raise ValueError(f"{group.name} has indices beyond its shape")
        piece = csr_array((values.astype(made.dtype), indices, bounds[start : end + 1] - first), (end - start, width))
        made[here[here >= 0]] = piece[here >= 0].toarray()[:, across]


def _check_bounds(bounds: np.ndarray, group: h5py.Group) -> None:
    count = len(group["data"])
    if bounds.dtype.kind not in "iu" or group["indices"].dtype.kind not in "iu" or len(group["indices"]) != count:
        raise ValueError(f"the parts of {group.name} do not fit together")
    if not len(bounds) or bounds[0] != 0 or bounds[-1] != count or (bounds[1:] < bounds[:-1]).any():
        raise ValueError(f"{group.name}/indptr does not rise from 0 to the number of values")


def _pieces(bounds: np.ndarray, width: int) -> Iterator[tuple[int, int]]:
    """Lines that are read together: few enough for the memory of a piece, dense as well as sparse."""
    most_lines, most_values = max(1, PIECE // (8 * max(width, 1))), PIECE // 16
    start = 0
    while start < len(bounds) - 1:
        end = int(np.searchsorted(bounds, bounds[start] + most_values, "right")) - 1
        end = min(max(end, start + 1), start + most_lines, len(bounds) - 1)
        yield start, end
        start = end


def _places(chosen: np.ndarray, count: int) -> np.ndarray:
    """int64 (count,): where each index is among the chosen; -1 where it is not."""
    place = np.full(count, -1)
    place[chosen] = np.arange(len(chosen))
    return place
