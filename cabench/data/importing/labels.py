"""What is known of the examples: columns of a CSV file, each declared as an attribute."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pandas as pd

from cabench.data.dataset import OWNERS, Attribute, Owner
from cabench.data.importing.examples import Examples
from cabench.data.layout import VALIDATION, Split
from cabench.errors import UserError, unknown

FILE = "file"
SPLIT_WORDS: Mapping[str, Split] = {"train": "train", "test": "test", "val": "validation", "validation": "validation"}
FEWEST_PER_CLASS = 2  # rows, on average: with fewer a column names rows rather than classes


@dataclass(frozen=True)
class Columns:
    """The meaning of the columns of a table.

    Attributes:
        attributes: one for each declared column, their classes still empty.
        group: the column of groups that must stay on one side of the split, or "".
        split: the column that says "train", "test" or "val", or "".
        group_until: groups are what stands before the last of this text in their column, such as "mouse" in "mouse_3"
            before "_"; "" takes the whole cell.
        missing: texts that stand for a value that is not known; None for the usual ones, see
            `cabench.data.importing.values`.
        file: the column that names images.
    """

    attributes: tuple[Attribute, ...] = ()
    group: str = ""
    split: str = ""
    group_until: str = ""
    missing: tuple[str, ...] | None = None
    file: str = FILE

    @property
    def used(self) -> list[str]:
        """The names of all columns that are read."""
        return [*(attribute.name for attribute in self.attributes), *filter(None, (self.group, self.split))]


@dataclass(frozen=True)
class Labels:
    """What columns hold for n rows.

    Attributes:
        attributes: with their classes, in the order declared.
        values: by attribute, (n,) as in `cabench.data.dataset.Population`.
        groups: (n,) text, or None.
        is_test: bool (n,), or None.
        is_validation: bool (n,), or None.
    """

    attributes: tuple[Attribute, ...] = ()
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: np.ndarray | None = None
    is_test: np.ndarray | None = None
    is_validation: np.ndarray | None = None

    def examples(self, rows: np.ndarray, images: np.ndarray, names: Sequence[str]) -> Examples:
        """Some of the rows (bool, n), with their images or features and their names."""
        return Examples(
            images=images,
            values={name: column[rows] for name, column in self.values.items()},
            groups=None if self.groups is None else self.groups[rows],
            is_test=None if self.is_test is None else self.is_test[rows],
            is_validation=None if self.is_validation is None else self.is_validation[rows],
            names=names,
        )


def parse_columns(
    *,
    common: str = "",
    salient: str = "",
    nuisance: str = "",
    group: str = "",
    split: str = "",
    group_until: str = "",
    missing: str | None = None,
    file: str = FILE,
) -> Columns:
    """The meaning of columns, as the command line gives it.

    Args:
        common: columns separated by commas, each with ":class" or ":real" after its name, such as "sex,age:real". One
            with neither is a class.
        salient: likewise.
        nuisance: likewise.
        group: a column's name, or "".
        split: likewise.
        group_until: as of `Columns`.
        missing: texts separated by commas; "" = none but empty cells; None = the usual ones.
        file: a column's name.

    Raises:
        UserError: for a column that is named twice, or declared as anything else.
    """
    declared = dict(zip(OWNERS, (common, salient, nuisance), strict=True))
    attributes = tuple(
        _declared(owner, text.strip()) for owner, texts in declared.items() for text in texts.split(",") if text.strip()
    )
    marks = None if missing is None else tuple(text.strip() for text in missing.split(","))
    columns = Columns(attributes, group.strip(), split.strip(), group_until, marks, file.strip())
    for name in columns.used:
        if columns.used.count(name) > 1:
            raise UserError(f"The column {name!r} is named twice; each column has one meaning.")
        if name == columns.file:
            raise UserError(f"The column {name!r} names the images; it cannot be an attribute, group or split.")
    if columns.group_until and not columns.group:
        raise UserError("--group-until shortens the cells of --group, which names no column.")
    return columns


def _declared(owner: Owner, text: str) -> Attribute:
    name, _, kind = text.partition(":")
    if kind not in ("", "class", "real"):
        raise UserError(f"--{owner} {text!r} is not understood; write {name}:class or {name}:real.")
    return Attribute(name.strip(), owner, cast("Literal['class', 'real']", kind or "class"))


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file with a header, all cells as text; an empty cell is "".

    Raises:
        UserError: for a file that cannot be read, has no rows, or has a column twice.
    """
    try:
        # header=None, because pandas would rename a second column of the same name.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", header=None, compression=None)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a CSV file.") from error
    except ValueError as error:
        raise UserError(f"{path} cannot be read as a CSV file ({error}); save it as UTF-8 with commas.") from error
    table = table.apply(lambda column: column.str.strip())
    # Drops what spreadsheets leave after the last column and below the last row.
    table = table.loc[(table != "").any(axis=1), (table != "").any(axis=0)]
    if table.empty:
        raise UserError(f"{path} is empty; save it as UTF-8 with a header and commas.")
    header = table.iloc[0].tolist()
    if len(header) == 1 and ";" in header[0]:
        raise UserError(f"{path} has semicolons between its columns; save it with commas.")
    for name in header:
        if header.count(name) > 1:
            raise UserError(f"{path} has two columns called {name!r}; remove or rename one.")
    table = table.iloc[1:].reset_index(drop=True).set_axis(header, axis=1)
    if table.empty:
        raise UserError(f"{path} has no rows below its header.")
    return pd.DataFrame(table)


def require(path: Path | str, table: pd.DataFrame, names: Sequence[str]) -> None:
    """Raise UserError where a table lacks a column, with the closest match."""
    for name in names:
        if name not in table:
            raise unknown(f"column of {path}", name, map(str, table.columns))


def labels_of(
    path: Path | str, table: pd.DataFrame, columns: Columns, named: Sequence[str], background: np.ndarray
) -> Labels:
    """Read the declared columns. Cells of salient attributes are ignored in background rows.

    Args:
        path: of the table or tables, for messages.
        table: all cells as text, "" = undefined.
        columns: what to read.
        named: (n,) what messages call the rows.
        background: bool (n,), which rows are background.

    Raises:
        UserError: naming the first cell that does not fit the declaration.
    """
    require(path, table, columns.used)
    attributes, values = [], {}
    for attribute in columns.attributes:
        cells = table[attribute.name].mask(background, "") if attribute.space == "salient" else table[attribute.name]
        read = _read_real if attribute.kind == "real" else _read_class
        found, values[attribute.name] = read(path, attribute, cells, named)
        attributes.append(found)
    groups = _filled(path, table, columns.group, named) if columns.group else None
    if groups is not None and columns.group_until:
        groups = groups.map(lambda cell: cell.rpartition(columns.group_until)[0] or cell)
    splits = _filled(path, table, columns.split, named) if columns.split else None
    if splits is not None:
        wrong = ~splits.isin(list(SPLIT_WORDS))
        _refuse_first(path, columns.split, splits, named, wrong, f"write one of {', '.join(SPLIT_WORDS)}")
        splits = splits.map(SPLIT_WORDS)
    return Labels(
        attributes=tuple(attributes),
        values=values,
        groups=None if groups is None else groups.to_numpy(),
        is_test=None if splits is None else (splits == "test").to_numpy(),
        is_validation=None if splits is None else (splits == VALIDATION).to_numpy(),
    )


def _read_real(
    path: Path | str, attribute: Attribute, cells: pd.Series, named: Sequence[str]
) -> tuple[Attribute, np.ndarray]:
    numbers = pd.to_numeric(cells.where(cells != "", None), errors="coerce").astype("float64")
    wrong = (cells != "") & ~np.isfinite(numbers)
    _refuse_first(path, attribute.name, cells, named, wrong, "a real attribute takes finite numbers or empty cells")
    return attribute, numbers.to_numpy()


def _read_class(
    path: Path | str, attribute: Attribute, cells: pd.Series, named: Sequence[str]
) -> tuple[Attribute, np.ndarray]:
    defined = cells[cells != ""]
    classes = sorted(set(defined), key=_natural)
    if len(defined) < FEWEST_PER_CLASS * len(classes):
        raise UserError(
            f"{path}: the {len(defined)} values of {attribute.name!r} are {len(classes)} different ones, too many for "
            f"classes; declare it as {attribute.name}:real or leave it out."
        )
    if not classes:
        raise UserError(f"{path}: the column {attribute.name!r} is empty; leave it out.")
    codes = cells.map({label: index for index, label in enumerate(classes)}).fillna(-1).astype("int64")
    return replace(attribute, classes=tuple(classes)), codes.to_numpy()


def _natural(label: str) -> tuple[object, ...]:
    """The key of an order with numbers, by value, before text."""
    return (0, float(label), label) if re.fullmatch(r"[+-]?\d{1,300}(\.\d+)?", label) else (1, label)


def _filled(path: Path | str, table: pd.DataFrame, column: str, named: Sequence[str]) -> pd.Series:
    _refuse_first(path, column, table[column], named, table[column] == "", "fill it in for every row")
    return table[column]


def _refuse_first(
    path: Path | str, column: str, cells: pd.Series, named: Sequence[str], wrong: pd.Series, advice: str
) -> None:
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        given = repr(cells.iloc[row]) if cells.iloc[row] else "empty"
        raise UserError(f"{path}: {column} of {named[row]} is {given}; {advice}.")
