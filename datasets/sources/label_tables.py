"""Tables of labels that come with image files, checked for allowed values and against the files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from cabench.datasets.sources.image_files import ImageFiles
from cabench.errors import UserError
from cabench.files.bounds import TooLargeError, check_size

# What pandas and openpyxl raise for a file that is damaged, cut short or of another kind.
_UNREADABLE = (OSError, ValueError, KeyError, SyntaxError, EOFError, zipfile.BadZipFile, zlib.error)

LARGEST_CSV = 1 << 28  # bytes; the largest, of CheXpert, has 30 million
_LARGEST_SHEETS, _LARGEST_OTHERS = 1 << 24, 1 << 18  # unpacked bytes, of cells and texts, and of each other part
_MOST_ROWS, _MOST_COLUMNS = 10_000, 64  # of a sheet; that of ODIR-5K has 3,500 and 15


def read_csv(path: Path, columns: Collection[str]) -> pd.DataFrame:
    """Those of `columns` that a CSV file with a header has; rows are in the file's order.

    Raises:
        UserError: naming a file that cannot be read.
    """
    try:
        check_size(path, LARGEST_CSV)
        return pd.read_csv(path, usecols=lambda name: name in columns, low_memory=False)
    except _UNREADABLE as error:
        raise unreadable(path, str(error)) from error


def read_excel(path: Path, columns: Collection[str]) -> pd.DataFrame:
    """Likewise for the first sheet of an .xlsx file."""
    try:
        _check_parts(path)
        _check_cells(path)
        return pd.read_excel(path, usecols=lambda name: name in columns, engine="openpyxl")
    except (*_UNREADABLE, TypeError, AttributeError, IndexError) as error:
        raise unreadable(path, str(error)) from error


def _check_parts(path: Path) -> None:
    """Raise TooLargeError for an .xlsx file of which a part is larger than any that is read; and others."""
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            holds_cells = part.filename.startswith("xl/worksheets/") or part.filename == "xl/sharedStrings.xml"
            most = _LARGEST_SHEETS if holds_cells else _LARGEST_OTHERS
            if part.file_size > most:
                raise TooLargeError(
                    f"its part {part.filename!r:.80} unpacks to {part.file_size:,} bytes, of {most:,} that are allowed"
                )


def _check_cells(path: Path) -> None:
    """Raise TooLargeError for a first sheet of more rows or columns than are read; and others.

    A row says its own number, and pandas makes all cells up to it.
    """
    from openpyxl import load_workbook  # Late: most data sets have no sheet.

    book = load_workbook(path, read_only=True)
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # to those of its rows
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            if number > _MOST_ROWS or len(row) > _MOST_COLUMNS:
                raise TooLargeError(f"its sheet has more than {_MOST_ROWS:,} rows or {_MOST_COLUMNS} columns")
    finally:
        book.close()


def unreadable(path: Path, reason: str) -> UserError:
    """The error for a table that is damaged, cut short or of another kind."""
    return UserError(f"{path} is damaged or not the table wanted ({reason}); replace it by an undamaged copy.")


def require_columns(path: Path, table: pd.DataFrame, columns: Collection[str]) -> None:
    """Raise UserError naming the columns that a table lacks."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            "replace it by the table as published."
        )


def numbers(path: Path, table: pd.DataFrame, column: str, named_by: str, allowed: Collection[float]) -> pd.Series:
    """A column as float64, each value one of `allowed`.

    Args:
        path: of the table, for messages.
        table: the table.
        column: the column to take.
        named_by: the column that names a row in messages.
        allowed: the values that may stand there; NaN among them allows empty cells.

    Raises:
        UserError: naming the first row with another value, be it text or empty.
    """
    values = pd.to_numeric(table[column], errors="coerce")
    check(path, table, column, named_by, values.isin(list(allowed)) & (values.notna() | table[column].isna()), allowed)
    return values.astype("float64")


def check(
    path: Path, table: pd.DataFrame, column: str, named_by: str, fits: pd.Series, allowed: Collection[str | float]
) -> None:
    """Raise UserError naming the first row of a column that does not fit, and what is allowed."""
    if not fits.all():
        row = int((~fits).to_numpy().argmax())
        given, named = table[column].iloc[row], table[named_by].iloc[row]
        name = f"row {row + 1}" if pd.isna(named) else named
        raise UserError(
            f"{path}: {column} of {name} is {_said(given)}; allowed is {', '.join(map(_said, allowed))}. "
            "Replace the table by the published one."
        )


def check_files(path: Path, labelled: pd.Series, images: ImageFiles) -> None:
    """Check that every row of a table has its file and every file its row.

    Args:
        path: of the table, for messages.
        labelled: the files' names, one a row.
        images: the files.

    Raises:
        UserError: naming the first label without a file, repeated label, or file without a label.
    """
    known = labelled.isin(images.names)
    if not known.all():
        name, count = labelled[~known].iloc[0], int((~known).sum())
        raise UserError(
            f"{path} has a label for {name}, which is not in {images.path} ({count:,} such labels); "
            "complete the images or replace the table."
        )
    if labelled.duplicated().any():
        raise UserError(f"{path} has more than one row for {labelled[labelled.duplicated()].iloc[0]}; replace it.")
    unlabelled = images.names.difference(labelled)
    if unlabelled:
        raise UserError(
            f"{images.called(min(unlabelled))} has no label in {path} ({len(unlabelled):,} such images); "
            "remove the images that were not published or replace the table."
        )


def _said(value: str | float) -> str:
    return "empty" if pd.isna(value) else str(value)
