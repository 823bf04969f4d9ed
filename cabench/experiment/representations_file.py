"""`representations.h5`, which stands beside a record: training and test vectors, so that later probes need no training.

/<split>/<population>/<space>    float32 (n, d)
/<split>/<population>/names      (n,) text, and `groups`, of data whose rows have some
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from cabench.data.dataset import SPACES, Space
from cabench.data.file import DatasetFile, Rows
from cabench.data.layout import SPLITS, Split
from cabench.errors import UserError
from cabench.evaluation.encoded import EVERYONE, EncodedPopulation, EncodedSplit
from cabench.experiment.identity import Identity
from cabench.experiment.record import Record
from cabench.files.hdf5 import UNREADABLE, check_whole, reading_hdf5, replacing_hdf5
from cabench.files.regular import is_regular, plain

NAME = "representations.h5"


def write_representations(
    path: Path, cell: Identity, train: EncodedSplit, test: EncodedSplit, rows: Mapping[Split, Sequence[Rows]]
) -> None:
    """Write the vectors of a cell, with the names and groups of their rows.

    Raises:
        StorageError: when that is not possible.
    """
    with replacing_hdf5(path) as file:
        file.attrs.update(key=cell.key, content_sha256=cell.dataset["content_sha256"])
        for split, encoded in zip(SPLITS, (train, test), strict=True):
            for population, part, told in zip(EVERYONE, encoded, rows[split], strict=True):
                for kind, lines in told._asdict().items():
                    if any(lines):
                        file.create_dataset(f"{split}/{population}/{kind}", data=lines, dtype=h5py.string_dtype())
                for space, values in part.spaces.items():
                    file.create_dataset(f"{split}/{population}/{space}", data=values.astype(np.float32))


def read_representations(path: Path, record: Record, file: DatasetFile) -> tuple[EncodedSplit, EncodedSplit]:
    """Training and test representations of a cell that ended, with the attributes of their images.

    Raises:
        UserError: when they were not kept, are a link or damaged, or are of other images than the data set's.
    """
    if not is_regular(plain(path, below=path.parent)):
        raise UserError(f"{path} was not kept: the cell must be computed again.")
    try:
        with reading_hdf5(path) as stored:
            check_whole(stored)
            if stored.attrs["content_sha256"] != file.info.content_sha256:
                raise ValueError("it is of another data set's images")
            spaces = _spaces(stored, record)
            train, test = (_read_split(stored, split, spaces, file) for split in SPLITS)
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be used ({error}); the cell must be computed again.") from error
    return train, test


def _spaces(stored: h5py.File, record: Record) -> list[Space]:
    """The spaces that a cell has vectors of: one may be missing where the vectors were brought from elsewhere."""
    brought = record.method.get("origin") == "vectors"
    return [space for space in SPACES if not brought or f"train/target/{space}" in stored]


def _read_split(stored: h5py.File, split: Split, among: Sequence[Space], file: DatasetFile) -> EncodedSplit:
    parts = []
    for population, values, told in zip(EVERYONE, file.read_attributes(split), file.read_rows(split), strict=True):
        arrays = {space: stored[f"{split}/{population}/{space}"] for space in among}
        rows = {len(vectors) for vectors in (*arrays.values(), *values.values())}
        if len(rows) != 1:
            raise ValueError(f"/{split}/{population} has other numbers of rows than the data set")
        spaces = {space: array[:] for space, array in arrays.items()}
        parts.append(EncodedPopulation(spaces, values, told.groups))
    return EncodedSplit(*parts)
