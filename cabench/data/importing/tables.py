"""`cabench data import --table` of two CSV files of features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import check_output, write_arrays
from cabench.data.importing.labels import Columns, labels_of, read_table, require
from cabench.data.importing.splitting import Drawn
from cabench.errors import UserError


def import_tables(background: Path, target: Path, output: Path, columns: Columns, drawn: Drawn) -> DatasetFile:
    """Make a data set file of two CSV files, with one example per row.

    Columns that are declared are attributes, group and split; all others are features, which both files must have.

    Args:
        background: CSV file with a header and one row for each background example.
        target: likewise; a column of a salient attribute may be missing from `background`.
        output: the file to write.
        columns: the meaning of the columns that are not features.
        drawn: how rows are held out, unless a column says it.

    Raises:
        UserError: for anything that is missing, not a number or inconsistent; nothing is written then.
    """
    check_output(output)
    drawn.check()
    if background.resolve() == target.resolve():
        raise UserError(f"{background} is given as background and as target; name two files.")
    tables = {path: read_table(path) for path in (background, target)}
    for attribute in columns.attributes:
        if attribute.space == "salient" and attribute.name not in tables[background]:
            tables[background] = tables[background].assign(**{attribute.name: ""})
    features = [str(name) for name in tables[background] if name not in columns.used]
    for path, table in tables.items():
        require(path, table, [*columns.used, *features])
        for name in table:
            if name not in (*features, *columns.used):
                raise UserError(f"{path} has a column {name!r} that {background} lacks; both need the same features.")
    if not features:
        raise UserError(f"{background} has no columns besides those declared; there are no features.")
    names = [f"row {row + 1} of {path}" for path, table in tables.items() for row in range(len(table))]
    together = pd.concat(tables.values(), ignore_index=True)
    is_background = np.arange(len(together)) < len(tables[background])
    labels = labels_of(f"{background} and {target}", together, columns, names, is_background)
    values = _numbers(together[features], names)
    of_background, of_target = (
        labels.examples(rows, values[rows], [str(row + 1) for row in range(rows.sum())])
        for rows in (is_background, ~is_background)
    )
    return write_arrays(
        output,
        of_background,
        of_target,
        attributes=labels.attributes,
        test_fraction=drawn.test_fraction,
        seed=drawn.seed,
        title=f"own tables {background.name}, {target.name}",
    )


def _numbers(table: pd.DataFrame, names: list[str]) -> np.ndarray:
    """float32 (n, d) of cells that are text.

    Raises:
        UserError: naming the first cell that is not a finite number.
    """
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused below
        numbers: np.ndarray = table.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64).astype(np.float32)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise UserError(
            f"{table.columns[column]} of {names[row]} is {table.iloc[row, column]!r}; features are finite numbers, and "
            "other columns are declared with --common, --salient, --nuisance, --group or --split."
        )
    return numbers
