"""Vectors of a finished cell written into a copy of the .h5ad file that its data came from, where scanpy finds them.

They become `obsm/X_METHOD_common` and `obsm/X_METHOD_salient`: arrays of anndata's "On-disk format", with one row for
each row of obs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from cabench.data.importing.h5ad.elements import reading_anndata, row_names
from cabench.errors import UserError
from cabench.experiment.encoding import EncodedImages
from cabench.files.hdf5 import UNREADABLE, changing_copy_of_hdf5

OBSM = "obsm"
SUFFIX = ".h5ad"
_ENCODED = {"encoding-type": "array", "encoding-version": "0.2.0"}
_ENCODED_GROUP = {"encoding-type": "dict", "encoding-version": "0.1.0"}


def export_anndata(path: Path, encoded: EncodedImages, method: str, output: Path, replace: bool) -> list[str]:
    """Write vectors into a copy of an .h5ad file, whole or not at all.

    Args:
        path: the file, which stays as it is unless it is the output.
        encoded: vectors, whose rows are called as those of obs.
        method: what the vectors are called by.
        output: the file to write.
        replace: whether vectors of this method that the file holds already are replaced; they are refused otherwise.

    Returns:
        What users of the file must know, in sentences.

    Raises:
        UserError: for a file that is damaged, names that do not match, and vectors that are there already.
    """
    with reading_anndata(path, (OBSM,)) as file:
        names, repeated = row_names(path, file["obs"])
        there = file.get(OBSM, {})
        if not isinstance(there, h5py.Group | dict):
            raise UserError(f"{path}: {OBSM} is no group. Open it once with anndata and save it again.")
        keys = {space: f"X_{method}_{space}" for space in encoded.spaces}
        taken = [key for key in keys.values() if key in there]
        if taken and not replace:
            raise UserError(f"{path} holds {taken[0]} in {OBSM} already; give --force to replace it.")
    rows = _rows(path, names, encoded.rows["name"])
    try:
        with changing_copy_of_hdf5(path, output) as file:
            _write(file, {keys[space]: _spread(v, rows, len(names)) for space, v in encoded.spaces.items()})
    except UNREADABLE as error:
        raise UserError(f"The vectors cannot be written to {output} ({error}); choose another --output.") from error
    said = []
    if repeated:
        said.append(f"{repeated:,} rows of obs share their names with others; they are matched by position.")
    if len(rows) < len(names):
        said.append(f"{len(names) - len(rows):,} of {len(names):,} rows of obs were not encoded; theirs are NaN.")
    return said


def _rows(path: Path, names: np.ndarray, encoded: np.ndarray) -> np.ndarray:
    """int64 (m,): the row of obs that each encoded row is."""
    place = {name: row for row, name in enumerate(names)}
    lacking = [name for name in encoded if name not in place]
    if lacking:
        raise UserError(
            f"{len(lacking):,} of the cell's {len(encoded):,} rows are not in obs of {path}, first {lacking[0]!r}; "
            "name the .h5ad file that its data were imported from."
        )
    rows = np.array([place[name] for name in encoded], np.int64)
    if len(np.unique(rows)) < len(rows):
        raise UserError(f"Some of the cell's rows have one name, so that they cannot be told apart in {path}.")
    return rows


def _spread(vectors: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Float32 (count, d): the vectors at their rows, NaN elsewhere."""
    spread = np.full((count, vectors.shape[1]), np.nan, np.float32)
    spread[rows] = vectors
    return spread


def _write(file: h5py.File, arrays: Mapping[str, np.ndarray]) -> None:
    if OBSM not in file:
        file.create_group(OBSM).attrs.update(_ENCODED_GROUP)
    for key, array in arrays.items():
        if key in file[OBSM]:
            del file[OBSM][key]
        file[OBSM].create_dataset(key, data=array).attrs.update(_ENCODED)
