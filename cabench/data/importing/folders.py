"""`cabench data import` of two folders of images, with a CSV file of labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import check_output, write_arrays
from cabench.data.importing.images import FULL_RANGE, Folder, ImageForm, Pixels, open_folder, read_folders
from cabench.data.importing.labels import FILE, Columns, Labels, labels_of, read_table, require
from cabench.data.importing.splitting import Drawn
from cabench.errors import UserError

DIM = 4  # 16-bit images below a quarter of the range are nearly black once they have 8 bits


def import_folders(
    background: Path, target: Path, output: Path, form: ImageForm, labels: Path | None, columns: Columns, drawn: Drawn
) -> DatasetFile:
    """Make a data set file of two folders of images.

    A row of the labels names its image by the path from its folder. If both folders have an image of that name, the
    folder's name comes first, as in "healthy/1.png".

    Args:
        background: folder of background images.
        target: folder of target images.
        output: the file to write.
        form: what the images are made into.
        labels: CSV file with a column `file` and those of `columns`, or None.
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
    known = Labels() if labels is None else _read_labels(labels, columns, folders)
    pixels = read_folders(folders, form)
    is_target = np.repeat([False, True], [len(folder.names) for folder in folders.values()])
    of_background, of_target = (
        known.examples(is_target == (population == "target"), pixels[population].images, folder.names)
        for population, folder in folders.items()
    )
    return write_arrays(
        output,
        of_background,
        of_target,
        attributes=known.attributes,
        test_fraction=drawn.test_fraction,
        seed=drawn.seed,
        title=f"own images {background.name}, {target.name}",
        notes=_notes(folders, pixels, form),
    )


def _check_apart(background: Path, target: Path) -> None:
    first, second = background.resolve(), target.resolve()
    if first == second:
        raise UserError(f"{background} is given as background and as target; name two folders.")
    if first in second.parents or second in first.parents:
        inner, outer = (background, target) if second in first.parents else (target, background)
        raise UserError(f"{inner} lies inside {outer}, whose images would be in both; name two separate folders.")


def _read_labels(path: Path, columns: Columns, folders: dict[str, Folder]) -> Labels:
    """The labels of all images, background first, each population in the order of its folder."""
    table = read_table(path)
    require(path, table, [FILE, *columns.used])
    rows = _rows(path, table[FILE], folders)
    background = np.arange(len(rows)) < len(folders["background"].names)
    matched = table.iloc[rows].reset_index(drop=True)
    return labels_of(path, matched, columns, matched[FILE].tolist(), background)


def _rows(path: Path, named: pd.Series, folders: dict[str, Folder]) -> list[int]:
    """The row of each image's label, background first."""
    long = [f"{folder.path.resolve().name}/{name}" for folder in folders.values() for name in folder.names]
    short = [name for folder in folders.values() for name in folder.names]
    counts = Counter(short)
    images = {name: image for image, name in enumerate(long)}
    images |= {name: image for image, name in enumerate(short) if counts[name] == 1}
    rows: dict[int, int] = {}
    for row, name in enumerate(named):
        if name not in images:
            if counts[name] > 1:
                raise UserError(f"{path}: {name} is in both folders; write {long[short.index(name)]} or the other.")
            raise UserError(
                f"{path} has a label for {name!r}, which is in neither folder; name images by their path from there."
            )
        if images[name] in rows:
            raise UserError(f"{path} has two rows for {name}; remove one.")
        rows[images[name]] = row
    for image, name in enumerate(long):
        if image not in rows:
            missing = len(long) - len(rows)
            raise UserError(
                f"{name} has no label in {path} ({missing:,} such images); add its row, or move the image elsewhere."
            )
    return [rows[image] for image in range(len(long))]


def _notes(folders: dict[str, Folder], pixels: dict[str, Pixels], form: ImageForm) -> list[str]:
    notes = [
        f"{folder.others:,} files in {folder.path.name} that are no images were passed over."
        for folder in folders.values()
        if folder.others
    ]
    brightest = max(part.brightest for part in pixels.values())
    # Images of 8 bits have 255 here, and no range.
    if form.value_range == FULL_RANGE and 255 < brightest < FULL_RANGE[1] / DIM:
        notes.append(
            f"The brightest of the 16-bit values is {brightest} of {FULL_RANGE[1]}: most of the range is not used, and "
            f"the images are nearly black. Import them with --range 0 {brightest} to use it."
        )
    return notes
