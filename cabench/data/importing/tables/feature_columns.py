"""The numbers of a text table's feature columns, row by row into one array."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, islice, product
from shlex import quote

import numpy as np

from cabench.data.importing.csv_files import TextTable
from cabench.data.importing.grouping import grouping
from cabench.data.importing.values import NotANumberError, Reading
from cabench.data.layout import MOST_NAMED, listed
from cabench.errors import UserError

CELLS = 1 << 16  # parsed at a time: 8 MB of text
MOST_OF_LONG = 3  # columns of a long table that nobody declared: identifier, variable, value


def read_features(table: TextTable, rows: np.ndarray, features: Sequence[str], reading: Reading) -> np.ndarray:
    """Read some rows of the feature columns, in one pass over the file.

    Args:
        table: the file.
        rows: int64 (m,), in ascending order, from 0.
        features: names of its columns.
        reading: how cells are read.

    Returns:
        Float64 (m, features), NaN = missing.

    Raises:
        UserError: naming column, row and value of the first cell that is no number, and what to do about it.
    """
    width = len(features)
    values = np.empty((len(rows), width))
    wanted = np.zeros(rows.max(initial=-1) + 1, np.bool_)
    wanted[rows] = True
    places = table.places(features)
    picked = ([row[place] for place in places] for row in compress(table.rows(), wanted))
    done = 0
    while piece := list(islice(picked, max(1, CELLS // width))):
        try:
            read = reading.numbers([cell for row in piece for cell in row])
        except NotANumberError as error:
            row, column = divmod(error.index, width)
            place = f"{features[column]} of row {rows[done + row] + 1} of {table.path} is {piece[row][column]!r:.60}"
            advice = error.reason or _advice(table, piece[row], features, column, reading)
            raise UserError(f"{place}, {advice}.") from error
        values[done : done + len(piece)] = read.reshape(len(piece), width)
        done += len(piece)
    if done < len(values):
        raise UserError(f"{table.path} became shorter while it was read; import it again.")
    return values


def _advice(table: TextTable, cells: Sequence[str], features: Sequence[str], column: int, reading: Reading) -> str:
    """What to do about a row of features (d) whose cell in a column is the first that is no number."""
    name = features[column]
    if long := _pivot(table, name, features, reading):
        return long
    others = [name for name, cell in zip(features, cells, strict=True) if not _is_number(cell, reading)]
    ignored = quote(",".join(others)) if len(others) <= MOST_NAMED else "and patterns such as 'X*'"
    group = grouping(name, table.texts([name])[name])
    meaning = group or "--common, --salient, --nuisance, --group or --split"
    return (
        f"and features are numbers; leave out {listed(others)} with --ignore {ignored}, or declare "
        f"{name!r} with {meaning}"
    )


def _pivot(table: TextTable, variable: str, features: Sequence[str], reading: Reading) -> str:
    """What to do with a long table: one row for each value, of which a column says the variable; "" for others.

    In a long table every pair of identifier and variable is there once, and both repeat.
    """
    if len(features) > MOST_OF_LONG:
        return ""
    texts = table.texts(table.columns)
    values = [name for name in features if all(_is_number(cell, reading) for cell in texts[name])]
    repeating = [name for name in texts if texts[name].nunique() <= len(texts) / 2]
    for identifier, value in product(repeating, values):
        is_long = variable in repeating and len({identifier, variable, value}) == 3
        if is_long and not texts.duplicated([identifier, variable]).any():
            return (
                "and the table seems to be long, with a row for each value; make each variable a column, such as with "
                f"pandas: table.pivot(index={identifier!r}, columns={variable!r}, values={value!r})"
            )
    return ""


def _is_number(cell: str, reading: Reading) -> bool:
    try:
        reading.numbers([cell])
    except NotANumberError:
        return False
    return True
