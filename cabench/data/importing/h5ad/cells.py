"""`cabench data import` of an .h5ad file: cells as rows of a table, genes as features, columns of obs as labels."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd

from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import check_output, write_arrays
from cabench.data.importing.grouping import said_of_identifiers
from cabench.data.importing.h5ad.elements import column, column_names, reading_anndata, row_names
from cabench.data.importing.h5ad.matrix import Matrix, open_matrix
from cabench.data.importing.labels import Columns, labels_of
from cabench.data.importing.populations import Choice, chosen
from cabench.data.importing.splitting import Drawn
from cabench.data.importing.tables.notes import notes_on_measurements
from cabench.data.importing.tables.selecting import looks_like_identifier
from cabench.errors import UserError, unknown
from cabench.files.hdf5 import UNREADABLE

RAW = "raw"  # the name that stands for the matrix of this group
TRUE, FALSE = ("True", "1"), ("False", "0", "")
PIECE = 1 << 24  # bytes looked at at a time
GB = 1e9


class Selection(NamedTuple):
    """What is taken of an .h5ad file.

    Attributes:
        layer: the name of a layer, "raw" for the raw matrix, "" for X.
        genes: a column of var that is true for genes to keep; "" keeps all.
        max_gb: the largest dense matrix, in 10^9 bytes.
        counts: whether the matrix holds counts, for methods that model them.
    """

    layer: str = ""
    genes: str = ""
    max_gb: float = 8.0
    counts: bool = False

    @property
    def place(self) -> str:
        """Where the matrix is, as a path from the root."""
        return {"": "X", RAW: "raw/X"}.get(self.layer, f"layers/{self.layer}")

    @property
    def var(self) -> str:
        """Where its genes are."""
        return "raw/var" if self.layer == RAW else "var"


def import_h5ad(
    path: Path, choice: Choice, output: Path, columns: Columns, drawn: Drawn, selection: Selection
) -> DatasetFile:
    """Make a data set file of an .h5ad file.

    Rows are called as in obs; a name that repeats gets the number of its row. Memory is that of the dense matrix of the
    cells and genes chosen, and a constant.

    Args:
        path: the file.
        choice: the column of obs that tells populations.
        output: the file to write.
        columns: the meaning of other columns of obs.
        drawn: how cells are held out, unless a column says it.
        selection: the matrix, and its genes.

    Raises:
        UserError: for anything that is missing, damaged or inconsistent, values that are not finite, and a matrix that
            is too large; nothing is written then.
    """
    check_output(output)
    drawn.check()
    with reading_anndata(path, (selection.place, selection.var)) as file:
        names, repeated = row_names(path, file["obs"])
        wanted = dict.fromkeys([choice.column, *columns.used])
        table = pd.DataFrame(
            {name: column(path, file["obs"], name) for name in wanted}, range(len(names)), dtype=object
        )
        picked = chosen(path, table[choice.column], choice)
        identifiers = {} if columns.group else _identifiers(path, file["obs"], choice.column)
        matrix, genes = _matrix(path, file, len(names), selection)
        kept = _kept_genes(path, file[selection.var], selection.genes) if selection.genes else np.arange(len(genes))
        rows = np.concatenate(picked[:2])
        _check_size(path, matrix, len(rows), len(kept), selection.max_gb)
        features = matrix.dense(rows, kept)
    is_background = np.arange(len(rows)) < len(picked.background)
    labels = labels_of(path, table.iloc[rows].reset_index(drop=True), columns, names[rows].tolist(), is_background)
    said = _look_at(path, matrix.place, features, names[rows], genes[kept], selection)
    said += said_of_identifiers({name: cells[rows] for name, cells in identifiers.items()})
    if repeated:
        said.append(f"{repeated:,} cells share their names with others; these are told apart by their rows.")
    background = len(picked.background)
    parts = {
        "background": labels.examples(is_background, features[:background], names[rows[:background]].tolist()),
        "target": labels.examples(~is_background, features[background:], names[rows[background:]].tolist()),
    }
    called = genes[kept].tolist()
    said += notes_on_measurements(called, parts, labels.attributes, "--genes")
    return write_arrays(
        output,
        parts["background"],
        parts["target"],
        attributes=labels.attributes,
        test_fraction=drawn.test_fraction,
        seed=drawn.seed,
        title=f"own cells {path.name}",
        notes=[*picked.said, *labels.said, *said],
        features=called,
        counts=selection.counts,
    )


def _identifiers(path: Path, obs: h5py.Group, population: str) -> dict[str, np.ndarray]:
    """Text (n,) by name: the columns of obs that are called like identifiers, but the one that tells populations."""
    cells = {}
    for name in column_names(obs):
        if name != population and looks_like_identifier(name):
            with suppress(UserError, *UNREADABLE):  # nobody named this column; it may be unreadable
                cells[name] = column(path, obs, name)
    return cells


def _matrix(path: Path, file: h5py.File, rows: int, selection: Selection) -> tuple[Matrix, np.ndarray]:
    """The matrix chosen, and the names of its columns."""
    layers = sorted(file["layers"]) if "layers" in file else []
    others = [*layers, *([RAW] if RAW in file else [])]
    if selection.layer not in ("", RAW) and selection.layer not in layers:
        raise unknown(f"layer of {path}", selection.layer, others)
    if selection.place not in file:
        what = (
            "no X. Name a layer with --layer" if not selection.layer else "no raw matrix. Leave --layer out or name one"
        )
        raise UserError(f"{path} has {what}: {', '.join(others) or 'there is none'}.")
    genes, _ = row_names(path, file[selection.var])
    if not len(genes):
        raise UserError(f"{path} has no genes in {selection.var}.")
    return open_matrix(path, file[selection.place], rows, len(genes)), genes


def _kept_genes(path: Path, var: h5py.Group, name: str) -> np.ndarray:
    """int64 (d,): the genes that a column keeps."""
    cells = column(path, var, name)
    if wrong := set(cells) - {*TRUE, *FALSE}:
        raise UserError(f"{path}: {name} of var holds {min(wrong)!r}; --genes takes a column of true and false.")
    kept = np.flatnonzero(np.isin(cells.astype(str), TRUE))
    if not len(kept):
        raise UserError(f"{path}: {name} is true for no gene; choose another column with --genes.")
    return kept


def _check_size(path: Path, matrix: Matrix, rows: int, columns: int, max_gb: float) -> None:
    size = rows * columns * matrix.dtype.itemsize / GB
    if not size <= max_gb:
        raise UserError(
            f"{path}: {rows:,} x {columns:,} is {size:.3g} GB as {matrix.dtype}; choose genes (--genes "
            "highly_variable) or raise --max-gb."
        )


def _look_at(
    path: Path, place: str, features: np.ndarray, cells: np.ndarray, genes: np.ndarray, selection: Selection
) -> list[str]:
    """What the values are like, in a sentence or two.

    Raises:
        UserError: for values that are not finite; and for negative or fractional ones, where counts were declared.
    """
    zeros, infinite, are_whole = 0, 0, True
    least, most, first = np.inf, -np.inf, None
    step = max(1, PIECE // features[0].nbytes)
    for start in range(0, len(features), step):
        rows = features[start : start + step]
        wrong = ~np.isfinite(rows)
        if first is None and wrong.any():
            row, column = np.argwhere(wrong)[0]
            first = f"cell {cells[start + row]}, gene {genes[column]}"
        infinite += int(wrong.sum())
        zeros += int((rows == 0).sum())
        least, most = min(least, float(rows.min())), max(most, float(rows.max()))
        are_whole = are_whole and bool((np.floor(rows) == rows).all())
    if first is not None:
        raise UserError(f"{path}: {place} has {infinite:,} values that are not finite, first at {first}; mend them.")
    if selection.counts and not (are_whole and least >= 0):
        raise UserError(
            f"{path}: {place} has negative or fractional values, which are no counts. Name the matrix that has them "
            "with --layer, such as --layer counts, or leave --counts out."
        )
    said = [
        f"{place} of {path.name} was used: {len(features):,} cells x {len(genes):,} genes, from {least:g} to {most:g}, "
        f"{zeros / features.size:.0%} zeros, {'all' if are_whole else 'not all'} whole numbers."
    ]
    if are_whole and least >= 0 and not selection.counts:
        said.append(f"{place} looks like counts; with --counts they are kept as such.")
    return said
