"""What is known of the examples: columns of a text table, each declared as an attribute, group or split.

What a cell stands for is said in `cabench.data.importing.values`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Literal, NamedTuple, cast

import numpy as np
import pandas as pd

from cabench.data.dataset import OWNERS, Attribute, Owner
from cabench.data.importing.csv_files import names_in, require
from cabench.data.importing.examples import Examples
from cabench.data.importing.grouping import grouped_until, grouping
from cabench.data.importing.values import (
    NotANumberError,
    Reading,
    missing_option,
    said_of_sentinels,
    same_identifier,
    same_label,
)
from cabench.data.layout import VALIDATION, Split
from cabench.errors import UserError

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
        """The names of all columns that are read, each once."""
        names = [*(attribute.name for attribute in self.attributes), *filter(None, (self.group, self.split))]
        return list(dict.fromkeys(names))


@dataclass(frozen=True)
class Labels:
    """What columns hold for n rows.

    Attributes:
        attributes: with their classes, in the order declared.
        values: by attribute, (n,) as in `cabench.data.dataset.Population`.
        groups: (n,) text, or None.
        is_test: bool (n,), or None.
        is_validation: bool (n,), or None.
        said: sentences on what may not be meant.
    """

    attributes: tuple[Attribute, ...] = ()
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: np.ndarray | None = None
    is_test: np.ndarray | None = None
    is_validation: np.ndarray | None = None
    said: tuple[str, ...] = ()

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
            with neither is a class. A name with a comma stands in double quotes, as in '"Age, years":real'.
        salient: likewise.
        nuisance: likewise.
        group: a column's name, or "".
        split: likewise.
        group_until: as of `Columns`.
        missing: texts separated by commas, likewise; "" = none but empty cells; None = the usual ones.
        file: a column's name.

    Raises:
        UserError: for a column that is named twice, or declared as anything else.
    """
    declared = dict(zip(OWNERS, (common, salient, nuisance), strict=True))
    attributes = tuple(_declared(owner, text) for owner, texts in declared.items() for text in names_in(texts))
    marks = None if missing is None else names_in(missing)
    columns = Columns(attributes, group.strip(), split.strip(), group_until, marks, file.strip())
    names = [attribute.name for attribute in attributes]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"The attribute {name!r} is named twice; each has one meaning.")
    if columns.split and columns.split in (*names, columns.group, columns.file):
        raise UserError(f"The column {columns.split!r} is named twice; the split has a column of its own.")
    if columns.file in names:
        raise UserError(f"The column {columns.file!r} names the images; it cannot be an attribute.")
    if columns.group_until and not columns.group:
        raise UserError("--group-until shortens the cells of --group, which names no column.")
    return columns


def _declared(owner: Owner, text: str) -> Attribute:
    name, found, kind = text.rpartition(":")
    name, kind = (name.strip(), kind.strip()) if found else (text, "class")
    if not name or kind not in ("class", "real"):
        raise UserError(
            f"--{owner} {text!r} is not understood; after a column's name stands :class or :real, such as "
            f"{text.partition(':')[0] or 'NAME'}:real. A name that holds a colon needs one of them too."
        )
    return Attribute(name, owner, cast("Literal['class', 'real']", kind))


def labels_of(
    path: Path | str,
    table: pd.DataFrame,
    columns: Columns,
    named: Sequence[str],
    background: np.ndarray,
    decimal: str = ".",
) -> Labels:
    """Read the declared columns. Cells of salient attributes are ignored in background rows.

    Args:
        path: of the table or tables, for messages.
        table: all cells as text, "" = undefined.
        columns: what to read.
        named: (n,) what messages call the rows.
        background: bool (n,), which rows are background.
        decimal: the decimal mark, "." or ",".

    Raises:
        UserError: naming the first cell that does not fit the declaration.
    """
    require(path, list(table.columns), columns.used)
    known = _Known(path, table, named, Reading(columns.missing, decimal))
    attributes: list[Attribute] = []
    values: dict[str, np.ndarray] = {}
    said: list[str] = []
    for attribute in columns.attributes:
        left_out = background if attribute.space == "salient" else np.zeros(len(table), np.bool_)
        # HDF5 would take a slash for a folder.
        stored = replace(attribute, name=attribute.name.replace("/", "_"))
        if attribute.kind == "real":
            read = known.reals(attribute.name, left_out)
            said += known.said_of_reals(attribute.name, read)
        else:
            classes, read = known.classes(attribute.name, left_out)
            stored = replace(stored, classes=classes)
        attributes.append(stored)
        values[stored.name] = read
    groups = known.groups(columns.group, columns.group_until) if columns.group else None
    if groups is None and columns.file in table:
        said += known.said_of_names(columns.file)
    elif groups is not None and not columns.group_until:
        said += known.said_of_groups(columns.group)
    splits = known.splits(columns.split) if columns.split else None
    return Labels(
        attributes=tuple(attributes),
        values=values,
        groups=groups,
        is_test=None if splits is None else splits == "test",
        is_validation=None if splits is None else splits == VALIDATION,
        said=tuple(said),
    )


class _Known(NamedTuple):
    """A table of cells as text, with what its rows are called, and how they are read."""

    path: Path | str
    table: pd.DataFrame
    named: Sequence[str]
    reading: Reading

    def reals(self, column: str, left_out: np.ndarray) -> np.ndarray:
        """Float64 (n,): numbers, NaN where they are unknown or left out (bool, n)."""
        cells = self.table[column].mask(left_out, "").tolist()
        try:
            return self.reading.numbers(cells)
        except NotANumberError as error:
            reason = error.reason or "and a real attribute takes numbers or empty cells"
            raise self._refused(column, error.index, reason) from error

    def classes(self, column: str, left_out: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        """The classes in order, and int64 (n,): indices of them, -1 where they are unknown or left out (bool, n)."""
        cells = self._cells(column).mask(left_out, "")
        self._ask(column, cells)
        defined = cells[cells != ""]
        labels = sorted(set(defined), key=_natural)
        if len(defined) < FEWEST_PER_CLASS * len(labels):
            raise UserError(
                f"{self.path}: the {len(defined)} values of {column!r} are {len(labels)} different ones, too many for "
                f"classes; declare it as {column}:real or leave it out."
            )
        if not labels:
            raise UserError(f"{self.path}: the column {column!r} is empty; leave it out.")
        self._refuse_alike(column, same_label(labels, self.reading.decimal), "one class")
        codes = cells.map({label: index for index, label in enumerate(labels)}).fillna(-1).astype("int64")
        return tuple(labels), codes.to_numpy()

    def groups(self, column: str, until: str) -> np.ndarray:
        """Text (n,): what rows belong to."""
        cells = self._cells(column)
        self._ask(column, cells)
        self._refuse_first(column, cells == "", "fill it in for every row")
        if until:
            if not cells.str.contains(until, regex=False).any():
                raise UserError(
                    f"{self.path}: no cell of {column!r} holds {until!r}; leave --group-until out or change it."
                )
            cells = cells.map(lambda cell: cell.rpartition(until)[0] or cell)
        self._refuse_alike(column, same_identifier(cells.unique(), self.reading.decimal), "one group")
        return cells.to_numpy()

    def splits(self, column: str) -> np.ndarray:
        """(n,): the split of each row."""
        words = self.table[column]
        self._refuse_first(column, ~words.isin(list(SPLIT_WORDS)), f"write one of {', '.join(SPLIT_WORDS)}")
        return words.map(SPLIT_WORDS).to_numpy()

    def said_of_reals(self, column: str, values: np.ndarray) -> list[str]:
        """Whether numbers among the values (n,) seem to stand for unknown."""
        return said_of_sentinels(column, values)

    def said_of_names(self, column: str) -> list[str]:
        """Whether several images are of one thing, as their names without suffixes say."""
        options = grouping(column, (re.sub(r"\.\w+$", "", name) for name in self.table[column]))
        if not options:
            return []
        return [f"Images seem to belong together by their names: if that is so, import again with {options}."]

    def said_of_groups(self, column: str) -> list[str]:
        """Whether the cells name rows of groups, rather than groups."""
        until = grouped_until(self.table[column])
        if not until:
            return []
        return [
            f"{column!r} is another in every row, but what stands before {until!r} repeats: if that is what was "
            f"sampled, import again with --group-until {quote(until)}."
        ]

    def _cells(self, column: str) -> pd.Series:
        cells = self.table[column]
        return cells.mask(cells.isin(self.reading.missing or ()), "")

    def _ask(self, column: str, cells: pd.Series) -> None:
        """Stop at a text that may stand for unknown, or be a value of its own."""
        doubtful = cells.map(self.reading.is_doubtful).astype(bool)
        if doubtful.any():
            row = int(doubtful.to_numpy().argmax())
            marks = missing_option(dict.fromkeys(cells[doubtful]))
            raise self._refused(
                column, row, f'give {marks} if that means unknown, or --missing "" if it is a value of its own'
            )

    def _refuse_alike(self, column: str, pair: tuple[str, str] | None, what: str) -> None:
        if pair:
            cells = self.table[column].tolist()
            first, second = (self.named[_row_of(text, cells)] for text in pair)
            raise UserError(
                f"{self.path}: {column} is {pair[0]!r} in {first} and {pair[1]!r} in {second}; write both alike if "
                f"they are {what}, or so that nobody takes them for it."
            )

    def _refuse_first(self, column: str, wrong: pd.Series, advice: str) -> None:
        if wrong.any():
            raise self._refused(column, int(wrong.to_numpy().argmax()), advice)

    def _refused(self, column: str, row: int, advice: str) -> UserError:
        cell = self.table[column].iloc[row]
        given = repr(cell) if cell else "empty"
        return UserError(f"{self.path}: {column} of {self.named[row]} is {given}; {advice}.")


def _row_of(text: str, cells: Sequence[str]) -> int:
    """The first row with a text; or that begins with it, as groups are the beginnings of cells."""
    return cells.index(text) if text in cells else next(n for n, cell in enumerate(cells) if cell.startswith(text))


def _natural(label: str) -> tuple[object, ...]:
    """The key of an order with numbers, by value, before text."""
    return (0, float(label), label) if re.fullmatch(r"[+-]?\d{1,300}(\.\d+)?", label, re.ASCII) else (1, label)
