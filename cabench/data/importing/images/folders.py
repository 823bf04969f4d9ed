"""`cabench data import` of folders of images, with a CSV file of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import numpy as np
import pandas as pd

from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import check_output, write_arrays
from cabench.data.importing.csv_files import read_table, require
from cabench.data.importing.grouping import said_of_folders, said_of_identifiers
from cabench.data.importing.images.matching import match
from cabench.data.importing.images.notes import notes_on
from cabench.data.importing.images.reading import Folder, ImageForm, open_folder, read_folders
from cabench.data.importing.labels import Columns, Labels, labels_of
from cabench.data.importing.populations import Choice, chosen
from cabench.data.importing.splitting import Drawn
from cabench.data.importing.tables.selecting import looks_like_identifier
from cabench.errors import UserError
from cabench.files.names import told_apart


class LabelFile(NamedTuple):
    """A text table of what is known of images, with a column that names them, see `match` in `matching`.

    Attributes:
        path: the file.
        delimiter: between columns, as of `csv_files.open_table`.
        decimal: the decimal mark, "." or ",".
    """

    path: Path
    delimiter: str = ""
    decimal: str = "."


def import_folders(
    background: Path,
    target: Path,
    output: Path,
    form: ImageForm,
    labels: LabelFile | None,
    columns: Columns,
    drawn: Drawn,
) -> DatasetFile:
    """Make a data set file of two folders of images.

    Args:
        background: folder of background images.
        target: folder of target images.
        output: the file to write.
        form: what the images are made into.
        labels: with the columns of `columns`; or None.
        columns: what the columns mean; none may be declared without labels.
        drawn: how images are held out, unless a column says it.

    Raises:
        UserError: for anything that is missing, damaged or inconsistent; nothing is written then.
    """
    check_output(output)
    drawn.check()
    if labels is None and columns.used:
        raise UserError(f"The column {columns.used[0]!r} was named without a table; name its file with --labels.")
    if labels is not None and not columns.used:
        raise UserError(
            f"No column of {labels.path} was named; say what counts with --common, --salient, --nuisance, --group or "
            "--split."
        )
    folders = {"background": open_folder(background), "target": open_folder(target)}
    _check_apart(background, target)
    title = f"own images {', '.join(told_apart(background, target))}"
    if labels is None:
        paths = [name for folder in folders.values() for name in folder.names]
        said = said_of_folders(paths, f"--labels and --group {columns.file} --group-until /")
        return _written(folders, Labels(), output, form, drawn, title, said)
    table, said = _rows_of(labels, list(folders.values()), [columns.file, *columns.used])
    is_background = np.arange(len(table)) < len(folders["background"].names)
    known = _labels(labels, table, columns, is_background)
    return _written(folders, known, output, form, drawn, title, [*said, *_said_of_groups(table, columns)])


def import_folder(
    folder: Path,
    output: Path,
    form: ImageForm,
    labels: LabelFile | None,
    columns: Columns,
    choice: Choice,
    drawn: Drawn,
) -> DatasetFile:
    """Make a data set file of one folder of images, where a column of the labels tells background from target.

    Args:
        folder: of images of both populations, and of others, which are left out.
        output: the file to write.
        form: what the images are made into.
        labels: with the column of `choice`, and those of `columns`.
        columns: what the columns mean.
        choice: which images are background, and which are target.
        drawn: how images are held out, unless a column says it.

    Raises:
        UserError: for anything that is missing, damaged or inconsistent; nothing is written then.
    """
    check_output(output)
    drawn.check()
    if labels is None:
        raise UserError(f"The column {choice.column!r} was named without a table; name its file with --labels.")
    both = open_folder(folder)
    table, said = _rows_of(labels, [both], [columns.file, choice.column, *columns.used])
    rows = chosen(labels.path, table[choice.column], choice)
    folders = {
        "background": both._replace(names=[both.names[row] for row in rows.background]),
        "target": both._replace(names=[both.names[row] for row in rows.target], unread=Counter()),
    }
    table = table.iloc[np.concatenate([rows.background, rows.target])].reset_index(drop=True)
    is_background = np.arange(len(table)) < len(rows.background)
    known = _labels(labels, table, columns, is_background)
    said = [*said, *rows.said, *_said_of_groups(table.drop(columns=choice.column), columns)]
    return _written(folders, known, output, form, drawn, f"own images {folder.absolute().name}", said)


def _check_apart(background: Path, target: Path) -> None:
    first, second = background.resolve(), target.resolve()
    if first == second:
        raise UserError(
            f"{background} is given as background and as target; name two folders, or one with --input and "
            "--population."
        )
    if first in second.parents or second in first.parents:
        inner, outer = (background, target) if second in first.parents else (target, background)
        raise UserError(f"{inner} lies inside {outer}, whose images would be in both; name two separate folders.")


def _rows_of(labels: LabelFile, folders: Sequence[Folder], names: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The row of each image, through all folders in order, and what is said of other rows.

    Args:
        labels: the table.
        folders: of images.
        names: columns that must be there, of which the first names images.
    """
    table = read_table(labels.path, labels.delimiter)
    require(labels.path, list(table.columns), names)
    rows, said = match(labels.path, table[names[0]].tolist(), folders)
    return table.iloc[rows].reset_index(drop=True), said


def _labels(labels: LabelFile, table: pd.DataFrame, columns: Columns, is_background: np.ndarray) -> Labels:
    """What rows of the labels hold."""
    return labels_of(labels.path, table, columns, table[columns.file].tolist(), is_background, labels.decimal)


def _said_of_groups(table: pd.DataFrame, columns: Columns) -> list[str]:
    """What may say what was sampled, where no groups were declared."""
    if columns.group:
        return []
    paths = table[columns.file]
    identifiers = [str(name) for name in table.columns if name != columns.file and looks_like_identifier(name)]
    options = f"--group {quote(columns.file)} --group-until /"
    return said_of_identifiers({name: table[name] for name in identifiers}) or said_of_folders(paths, options)


def _written(
    folders: Mapping[str, Folder],
    known: Labels,
    output: Path,
    form: ImageForm,
    drawn: Drawn,
    title: str,
    said: Sequence[str],
) -> DatasetFile:
    """Read images whose labels are known, background first, and write them."""
    pixels = read_folders(folders, form)
    is_target = np.repeat([False, True], [len(folder.names) for folder in folders.values()])
    of_background, of_target = (
        known.examples(is_target == (population == "target"), pixels[population].images, folder.names)
        for population, folder in folders.items()
    )
    unread = [folder.said() for folder in folders.values() if folder.unread]
    return write_arrays(
        output,
        of_background,
        of_target,
        attributes=known.attributes,
        test_fraction=drawn.test_fraction,
        seed=drawn.seed,
        title=title,
        notes=[*said, *known.said, *unread, *notes_on(pixels, form, known.groups)],
    )
