"""The file `contributions.h5` beside a record: what each block of test rows adds to each of its scores.

/values   float32 (scores, blocks), in the order of the record's scores; NaN for a metric without an influence
/rows     int32 (scores, blocks), how many rows of each block a score was taken of
/strata   int32 (scores, blocks), what is drawn apart, see `cabench.evaluation.grouped`
/block_rows, /block_strata   int32 (blocks,), the same of all test rows
/names    optional: (blocks,) text, the groups' names in the data
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from cabench.evaluation.contributions import Contributions, ContributionTable
from cabench.files.hdf5 import UNREADABLE, check_contents, replacing_hdf5

NAME = "contributions.h5"


def write_contributions(path: Path, key: str, table: ContributionTable) -> None:
    """Write the contributions to the scores of the record with this key.

    Raises:
        StorageError: when that is not possible.
    """
    blocks = len(table.rows)
    unknown = np.full(blocks, np.nan)
    columns = {
        "values": np.array([unknown if part.values is None else part.values for part in table.scores], np.float32),
        "rows": np.array([part.rows for part in table.scores], np.int32),
        "strata": np.array([part.strata for part in table.scores], np.int32),
    }
    with replacing_hdf5(path) as file:
        file.attrs["key"] = key
        for name, values in columns.items():
            file.create_dataset(name, data=values.reshape(len(table.scores), blocks), compression="gzip", shuffle=True)
        file.create_dataset("block_rows", data=table.rows.astype(np.int32))
        file.create_dataset("block_strata", data=table.strata.astype(np.int32))
        if any(table.names):
            file.create_dataset("names", data=list(table.names), dtype=h5py.string_dtype())


def read_contributions(path: Path, key: str, scores: int) -> ContributionTable | None:
    """The contributions to so many scores of the record with this key; None where the file is missing, damaged or of
    another record.
    """
    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r") as file:
            check_contents(file)
            if file.attrs["key"] != key:
                return None
            rows, strata = (file[name][:] for name in ("block_rows", "block_strata"))
            parts = [file[name][:] for name in ("values", "rows", "strata")]
            names = file["names"].asstr()[:].tolist() if "names" in file else []
    except UNREADABLE:
        return None
    wanted = (scores, len(rows))
    if any(part.shape != wanted for part in parts) or strata.shape != rows.shape or len(names) not in (0, len(rows)):
        return None
    if any(part.dtype.kind not in "iu" for part in (rows, strata, *parts[1:])) or np.isinf(parts[0]).any():
        return None
    known = ~np.isnan(parts[0]).any(axis=1)
    found = [
        Contributions(values.astype(np.float64) if there else None, counts.astype(np.int64), kinds.astype(np.int64))
        for values, counts, kinds, there in zip(*parts, known, strict=True)
    ]
    return ContributionTable(found, rows.astype(np.int64), strata.astype(np.int64), names)
