"""`cabench data import` of folders of images, with a CSV file of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import check_output, write_arrays
from cabench.data.importing.csv_files import read_table, require
from cabench.data.importing.images.matching import match
from cabench.data.importing.images.notes import notes_on
from cabench.data.importing.images.reading import Folder, ImageForm, open_folder, read_folders
from cabench.data.importing.labels import Columns, Labels, labels_of
from cabench.data.importing.populations import Choice, chosen
from cabench.data.importing.splitting import Drawn
from cabench.errors import UserError


def import_folders(
    background: Path, target: Path, output: Path, form: ImageForm, labels: Path | None, columns: Columns, drawn: Drawn
) -> DatasetFile:
    """Make a data set file of two folders of images.

    Args:
        background: folder of background images.
        target: folder of target images.
        output: the file to write.
        form: what the images are made into.
        labels: CSV file with a column that names images, see `cabench.data.importing.images.matching`, and those of
            `columns`; or None.
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
            f"No column of {labels} was named; say what counts with --common, --salient, --nuisance, --group or "
            "--split."
        )
    folders = {"background": open_folder(background), "target": open_folder(target)}
    _check_apart(background, target)
    known = Labels() if labels is None else _labels(labels, columns, folders)
    title = f"own images {background.name}, {target.name}"
    return _written(folders, known, output, form, drawn, title, [])


def import_folder(
    folder: Path, output: Path, form: ImageForm, labels: Path | None, columns: Columns, choice: Choice, drawn: Drawn
) -> DatasetFile:
    """Make a data set file of one folder of images, where a column of the labels tells background from target.

    Args:
        folder: of images of both populations, and of others, which are left out.
        output: the file to write.
        form: what the images are made into.
        labels: CSV file with a column that names images, the one of `choice`, and those of `columns`.
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
    table = read_table(labels)
    require(labels, list(table.columns), [columns.file, choice.column, *columns.used])
    table = table.iloc[match(labels, table[columns.file].tolist(), [both])].reset_index(drop=True)
    rows = chosen(labels, table[choice.column], choice)
    folders = {
        "background": both._replace(names=[both.names[row] for row in rows.background]),
        "target": both._replace(names=[both.names[row] for row in rows.target], unread=Counter()),
    }
    table = table.iloc[np.concatenate([rows.background, rows.target])].reset_index(drop=True)
    is_background = np.arange(len(table)) < len(rows.background)
    known = labels_of(labels, table, columns, table[columns.file].tolist(), is_background)
    return _written(folders, known, output, form, drawn, f"own images {folder.name}", rows.said)


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


def _labels(path: Path, columns: Columns, folders: Mapping[str, Folder]) -> Labels:
    """The labels of all images, background first, each population in the order of its folder."""
    table = read_table(path)
    require(path, list(table.columns), [columns.file, *columns.used])
    rows = match(path, table[columns.file].tolist(), list(folders.values()))
    background = np.arange(len(rows)) < len(folders["background"].names)
    matched = table.iloc[rows].reset_index(drop=True)
    return labels_of(path, matched, columns, matched[columns.file].tolist(), background)


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
