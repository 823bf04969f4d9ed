"""Which rows of one source are background and which are target, as a column says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from cabench.data.importing.csv_files import names_in
from cabench.data.importing.values import same_label
from cabench.errors import UserError, unknown

MOST_SHOWN = 12  # values in one message


class Choice(NamedTuple):
    """The column that tells populations, and the values of each.

    Attributes:
        column: its name.
        background: the cells of background rows.
        target: the cells of target rows; rows with other cells are left out.
    """

    column: str
    background: tuple[str, ...]
    target: tuple[str, ...]

    @classmethod
    def parsed(cls, column: str, background: str, target: str) -> Choice:
        """The choice that the command line gives, values separated by commas.

        Raises:
            UserError: where a column or a population is missing, or a value is in both.
        """
        values = [names_in(given) for given in (background, target)]
        if not column:
            raise UserError("One source holds both populations: name the column that tells them with --population.")
        if not all(values):
            raise UserError(
                f"Say which values of {column!r} are background and which are target, such as --background healthy "
                "--target ill."
            )
        if both := set(values[0]) & set(values[1]):
            raise UserError(f"The value {min(both)!r} of {column!r} is given as background and as target; choose one.")
        return cls(column, *values)


class Chosen(NamedTuple):
    """The rows of both populations.

    Attributes:
        background: int64 (m,), rows of the source, in order.
        target: likewise.
        said: sentences on rows that belong to neither.
    """

    background: np.ndarray
    target: np.ndarray
    said: list[str]


def chosen(path: object, cells: pd.Series, choice: Choice) -> Chosen:
    """Choose rows by the cells of a column.

    Args:
        path: of the source, for messages.
        cells: (n,) text; "" = not known.
        choice: what is wanted.

    Raises:
        UserError: for a value that no cell has, with the closest match, and those that there are; and for two cells
            that may be meant as one value.
    """
    there = list(dict.fromkeys(cells[cells != ""]))
    if alike := same_label(there):
        raise UserError(
            f"{path}: {choice.column} is {alike[0]!r} in some rows and {alike[1]!r} in others; write both alike if "
            "they are one value, or so that nobody takes them for it."
        )
    for value in (*choice.background, *choice.target):
        if value not in there:
            shown = [repr(text)[1:-1] for text in there[:MOST_SHOWN]]
            raise unknown(f"value of {choice.column!r} in {path}", value, shown)
    background, target = (np.flatnonzero(cells.isin(values)) for values in (choice.background, choice.target))
    counts = cells[~cells.isin([*choice.background, *choice.target])].value_counts()
    said = [
        f"{count:,} rows are left out, as {choice.column!r} is {f'{value!r}' if value else 'empty'}."
        for value, count in counts.head(MOST_SHOWN).items()
    ]
    if len(counts) > MOST_SHOWN:
        rest = counts.iloc[MOST_SHOWN:]
        said.append(f"{rest.sum():,} rows are left out, as {choice.column!r} has {len(rest)} other values there.")
    return Chosen(background, target, said)
