"""`cabench data import` of text tables: rows are examples, columns are features or declared.

Each file is read three times or less: once for what is declared, and once for the features of each population, which go
row by row into arrays of their final size.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import numpy as np
import pandas as pd

from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import check_output, write_arrays
from cabench.data.importing.csv_files import TextTable, open_table, require
from cabench.data.importing.grouping import said_of_identifiers
from cabench.data.importing.labels import Columns, Labels, labels_of
from cabench.data.importing.populations import Choice, chosen
from cabench.data.importing.splitting import Drawn
from cabench.data.importing.tables.feature_columns import read_features
from cabench.data.importing.tables.notes import notes_on
from cabench.data.importing.tables.selecting import looks_like_identifier, named, selected
from cabench.data.importing.values import Reading
from cabench.data.layout import listed
from cabench.errors import UserError


@dataclass(frozen=True)
class TableForm:
    """How text tables are read.

    Attributes:
        ignore: columns to leave out, names and patterns.
        features: columns that are features, likewise; none = all that have no other meaning.
        counts: whether features are counts.
        delimiter: a key of `csv_files.DELIMITERS`; "" for tabs in .tsv files, else commas.
        decimal: "." or ",".
    """

    ignore: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    counts: bool = False
    delimiter: str = ""
    decimal: str = "."

    def __post_init__(self) -> None:
        """Refuse a decimal mark that no table has, or that separates columns too."""
        if self.decimal not in (".", ","):
            raise UserError(f"--decimal {self.decimal!r} is not allowed; write . or ,")
        if self.decimal == self.delimiter:
            raise UserError("--decimal , needs another --delimiter, such as ';' or tab.")


class _Part(NamedTuple):
    """Rows of one population.

    Attributes:
        table: the file that holds them.
        rows: int64 (m,), in ascending order.
        texts: of all rows of the file, the columns that are read as text.
        names: of all rows of the file.
    """

    table: TextTable
    rows: np.ndarray
    texts: pd.DataFrame
    names: Sequence[str]

    @property
    def called(self) -> list[str]:
        """What messages call the rows (m)."""
        return [f"row {row + 1} of {self.table.path}" for row in self.rows]


def import_tables(
    background: Path, target: Path, output: Path, form: TableForm, columns: Columns, drawn: Drawn
) -> DatasetFile:
    """Make a data set file of two text tables, with one example a row.

    Args:
        background: file with a header and one row for each background example.
        target: likewise, with the same features in any order; a column of a salient attribute may be missing from
            `background`.
        output: the file to write.
        form: how they are read, and which columns are features.
        columns: the meaning of columns that are not features.
        drawn: how rows are held out, unless a column says it.

    Raises:
        UserError: for anything that is missing, not a number or inconsistent; nothing is written then.
    """
    check_output(output)
    drawn.check()
    if background.resolve() == target.resolve():
        raise UserError(f"{background} is given as background and as target; name two files, or one with --input.")
    tables = [open_table(path, form.delimiter) for path in (background, target)]
    lacking = {
        attribute.name
        for attribute in columns.attributes
        if attribute.space == "salient" and attribute.name not in tables[0].columns
    }
    declared = [[name for name in columns.used if name not in absent] for absent in (lacking, set())]
    for table, names in zip(tables, declared, strict=True):
        require(table.path, table.columns, names)
    of_columns = _choose(tables, columns.used, form)
    parts = []
    for table, names in zip(tables, declared, strict=True):
        texts = _texts(table, names, of_columns.left_out)
        texts = texts.assign(**{name: "" for name in columns.used if name not in names})
        parts.append(_Part(table, np.arange(len(texts)), texts, _names(table, texts, columns, of_columns.left_out)))
    title = f"own tables {background.name}, {target.name}"
    return _write(parts, of_columns, output, form, columns, drawn, title, [])


def import_table(
    path: Path, choice: Choice, output: Path, form: TableForm, columns: Columns, drawn: Drawn
) -> DatasetFile:
    """Make a data set file of one text table, of which a column says what is background and what is target.

    Args:
        path: file with a header and one row an example.
        choice: the column, which may be an attribute too, and its values.
        output: the file to write.
        form: how it is read, and which columns are features.
        columns: the meaning of columns that are not features.
        drawn: how rows are held out, unless a column says it.

    Raises:
        UserError: as of `import_tables`.
    """
    check_output(output)
    drawn.check()
    table = open_table(path, form.delimiter)
    declared = list(dict.fromkeys([*columns.used, choice.column]))
    require(path, table.columns, declared)
    of_columns = _choose([table], declared, form)
    texts = _texts(table, declared, of_columns.left_out)
    found = chosen(path, texts[choice.column], choice)
    names = _names(table, texts, columns, of_columns.left_out)
    parts = [_Part(table, rows, texts, names) for rows in (found.background, found.target)]
    return _write(parts, of_columns, output, form, columns, drawn, f"own table {path.name}", found.said)


def _write(
    parts: Sequence[_Part],
    of_columns: _ChosenColumns,
    output: Path,
    form: TableForm,
    columns: Columns,
    drawn: Drawn,
    title: str,
    said: Sequence[str],
) -> DatasetFile:
    labels = _labels(parts, columns, form)
    reading = Reading(columns.missing, form.decimal)
    is_target = np.repeat([False, True], [len(part.rows) for part in parts])
    examples = {
        population: labels.examples(
            is_target == (population == "target"),
            read_features(part.table, part.rows, of_columns.features, reading),
            [part.names[row] for row in part.rows],
        )
        for population, part in zip(("background", "target"), parts, strict=True)
    }
    notes = [
        *said,
        *_said_of_columns(parts, of_columns, columns),
        *labels.said,
        *notes_on(of_columns.features, examples, labels.attributes),
    ]
    return write_arrays(
        output,
        examples["background"],
        examples["target"],
        attributes=labels.attributes,
        test_fraction=drawn.test_fraction,
        seed=drawn.seed,
        title=title,
        notes=notes,
        features=of_columns.features,
        counts=form.counts,
    )


class _ChosenColumns(NamedTuple):
    """What becomes of the columns of all tables that are not declared.

    Attributes:
        features: those that are features, in their order in the first table.
        left_out: those that are not read, or only as what rows are called.
    """

    features: list[str]
    left_out: list[str]


def _choose(tables: Sequence[TextTable], declared: Collection[str], form: TableForm) -> _ChosenColumns:
    """Choose features.

    Raises:
        UserError: where no column is a feature, and where tables differ in features, naming what each lacks.
    """
    every = list(dict.fromkeys(name for table in tables for name in table.columns))
    ignored = named("--ignore", form.ignore, every)
    if both := [name for name in form.ignore if name in declared and name in every]:
        raise UserError(f"The column {both[0]!r} is declared, and named with --ignore too; choose one.")
    if both := [name for name in form.features if name in ignored]:
        raise UserError(f"The column {both[0]!r} is named with --features and with --ignore; choose one.")
    nameless = {name for table in tables for name in table.nameless}
    features = [name for name in selected(every, declared, form.features, ignored) if name not in nameless]
    if not features:
        raise UserError(f"{tables[0].path} has no column left as a feature; declare or ignore fewer columns.")
    lacking = []
    for table in tables:
        known = set(table.columns)
        lacking.append((table.path, [repr(name) for name in features if name not in known]))
    if sides := [f"{path} lacks {listed(names)}" for path, names in lacking if names]:
        raise UserError(
            f"Both tables need the same features, but {' and '.join(sides)}; rename columns, or leave them out with "
            "--ignore."
        )
    kept = {*features, *declared, *(nameless - set(ignored))}
    return _ChosenColumns(features, [name for name in every if name not in kept])


def _texts(table: TextTable, declared: Sequence[str], left_out: Sequence[str]) -> pd.DataFrame:
    """The columns that are read as text: declared ones, those without a name, and identifiers that are left out."""
    identifiers = [name for name in left_out if name in table.columns and looks_like_identifier(name)]
    return table.texts(list(dict.fromkeys([*declared, *table.nameless, *identifiers])))


def _names(table: TextTable, texts: pd.DataFrame, columns: Columns, left_out: Sequence[str]) -> list[str]:
    """The names of all rows: a column without a name, or the groups', if each row has one of its own; else numbers.

    Raises:
        UserError: for columns without a name that cannot be the rows' names, and are not empty, declared or ignored.
    """
    nameless = [name for name in table.nameless if (texts[name] != "").any()]
    unexplained = [name for name in nameless if name not in (*columns.used, *left_out)]
    for place, name in enumerate(unexplained):
        if place or not _is_unique(texts[name]):
            raise UserError(
                f"{table.path} has a column without a name, {name!r}, that is not the rows' names; leave it out with "
                f"--ignore {quote(name)}, or name it."
            )
    for name in (*unexplained, *filter(None, [columns.group])):
        if _is_unique(texts[name]):
            return [str(text) for text in texts[name]]
    return [str(row + 1) for row in range(len(texts))]


def _is_unique(cells: pd.Series) -> bool:
    return bool(cells.is_unique and (cells != "").all())


def _labels(parts: Sequence[_Part], columns: Columns, form: TableForm) -> Labels:
    """What is declared of the rows of all parts, background first."""
    together = pd.concat([part.texts.iloc[part.rows][columns.used] for part in parts], ignore_index=True)
    path = " and ".join(dict.fromkeys(str(part.table.path) for part in parts))
    called = [name for part in parts for name in part.called]
    background = np.arange(len(together)) < len(parts[0].rows)
    return labels_of(path, together, columns, called, background, form.decimal)


def _said_of_columns(parts: Sequence[_Part], of_columns: _ChosenColumns, columns: Columns) -> list[str]:
    """Which columns name the rows or are left out, and which of them may say what was sampled."""
    texts = [part.texts.iloc[part.rows] for part in parts]
    naming = [name for name in parts[0].table.nameless if (texts[0][name] != "").any()]
    naming = [name for name in naming if name not in (*columns.used, *of_columns.left_out)]
    said = [f"The column without a name ({name!r}) names the rows." for name in naming]
    if of_columns.left_out:
        said.append(f"Left out as features: {listed(of_columns.left_out)}.")
    if columns.group:
        return said
    identifiers = (*naming, *filter(looks_like_identifier, of_columns.left_out))
    cells = {name: [cell for part in texts if name in part for cell in part[name]] for name in identifiers}
    return [*said, *said_of_identifiers(cells)]
