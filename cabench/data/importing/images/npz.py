"""`cabench data import` of an .npz file of images and labels; `medmnist` beside it has the layout."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import check_output, write_arrays
from cabench.data.importing.as_text import cells_of
from cabench.data.importing.csv_files import require
from cabench.data.importing.grouping import said_of_identifiers
from cabench.data.importing.images.fitting import LARGEST_SIZE, SMALLEST_SIZE, fit_arrays
from cabench.data.importing.images.medmnist import LABEL, LABELS, WHOLE, Part, Splits, read_splits, without_copies
from cabench.data.importing.images.notes import said_of_cut_off
from cabench.data.importing.images.reading import ImageForm
from cabench.data.importing.labels import Columns, labels_of
from cabench.data.importing.populations import Choice, chosen
from cabench.data.importing.splitting import Drawn
from cabench.data.importing.tables.selecting import looks_like_identifier
from cabench.data.layout import counted
from cabench.errors import UserError

UNKNOWN_PATIENTS = "Patients are not identified; images of one patient may be in both train and test."
_WEIGHTS = np.array([19_595, 38_470, 7_471], np.uint32)[:, None, None]  # of ITU-R 601 in 65,536ths, as Pillow has them


def import_npz(
    path: Path, choice: Choice, output: Path, form: ImageForm, columns: Columns, drawn: Drawn
) -> DatasetFile:
    """Make a data set file of an .npz file of images and labels.

    `val` becomes the validation split. A training image that is tested on or validated on too is left out.

    Args:
        path: the file.
        choice: which labels are background and which are target.
        output: the file to write.
        form: what the images are made into.
        columns: the meaning of the arrays beside images.
        drawn: how images are held out where the file has no split.

    Raises:
        UserError: for anything that is missing, damaged or inconsistent; nothing is written then.
    """
    check_output(output)
    drawn.check()
    splits = read_splits(path)
    has_split = WHOLE not in splits.parts
    if has_split and columns.split:
        raise UserError(f"{path} has a split, in the names of its arrays; leave --split out.")
    table = _table(path, splits, [choice.column, *columns.used])
    picked = chosen(path, table[choice.column], choice)
    background, target = (_take(splits.parts, rows, form) for rows in picked[:2])
    rows = np.concatenate([background.rows, target.rows])
    part_of, names = _rows(splits.parts)
    is_background = np.arange(len(rows)) < len(background.rows)
    kept = table.iloc[rows].reset_index(drop=True)
    labels = labels_of(path, kept, columns, names[rows].tolist(), is_background)
    if has_split:
        labels = replace(labels, is_test=part_of[rows] == "test", is_validation=part_of[rows] == "val")
    dropped = sum(len(part) for part in picked[:2]) - len(rows)
    return write_arrays(
        output,
        labels.examples(is_background, background.images, names[background.rows].tolist()),
        labels.examples(~is_background, target.images, names[target.rows].tolist()),
        attributes=labels.attributes,
        test_fraction=drawn.test_fraction,
        seed=drawn.seed,
        title=f"own images {path.name}",
        notes=[
            *picked.said,
            *labels.said,
            *said_of_cut_off(_sizes(splits.parts), form),
            *_notes(splits, dropped),
            *([] if columns.group else _said_of_groups(path, splits, rows, choice)),
        ],
    )


def _table(path: Path, splits: Splits, names: list[str]) -> pd.DataFrame:
    """Some columns of all parts together, as text."""
    for name in names:
        array = LABELS if name.startswith(LABEL) and LABELS in splits.unread else name
        if array in splits.unread:
            raise UserError(f"The array {array!r} of {path} cannot be used: {splits.unread[array]}.")
    first = next(iter(splits.parts.values()))
    require(path, list(first.columns), names)
    try:
        return pd.DataFrame(
            {name: np.concatenate([cells_of(part.columns[name]) for part in splits.parts.values()]) for name in names},
            dtype=object,
        )
    except ValueError as error:
        raise UserError(f"{path} holds text that is not UTF-8 ({error}); save it as such.") from error


def _rows(parts: Mapping[str, Part]) -> tuple[np.ndarray, np.ndarray]:
    """Of every image, the name of its part and its own: its number, after the part's name where there are parts."""
    part_of = np.repeat(list(parts), [len(part) for part in parts.values()]).astype(object)
    names = [f"{name} {row}".strip() for name, part in parts.items() for row in range(len(part))]
    return part_of, np.array(names, object)


class _Taken(NamedTuple):
    """Images of one population, uint8 (n, c, h, w), and which rows (n,) of the file they are."""

    images: np.ndarray
    rows: np.ndarray


def _take(parts: Mapping[str, Part], rows: np.ndarray, form: ImageForm) -> _Taken:
    """Read the images of some rows (ascending), without those that an earlier part has too."""
    images = np.empty((len(rows), *_shape(next(iter(parts.values())), form)), np.uint8)
    ends = np.cumsum([len(part) for part in parts.values()])
    is_wanted = np.zeros(ends[-1], np.bool_)
    is_wanted[rows] = True
    wanted = dict(zip(parts, np.split(is_wanted, ends[:-1]), strict=True))
    first = dict(zip(parts, [0, *ends[:-1]], strict=True))
    kept: list[int] = []
    for name, row, image in without_copies(parts, wanted, partial(_formed, form=form)):
        images[len(kept)] = image
        kept.append(first[name] + row)
    return _Taken(images[: len(kept)], np.array(kept, np.int64))


def _sizes(parts: Mapping[str, Part]) -> list[tuple[int, int]]:
    """(width, height) of every image."""
    return [part.image_shape[:0:-1] for part in parts.values() for _ in range(len(part))]


def _shape(part: Part, form: ImageForm) -> tuple[int, int, int]:
    """(channels, height, width) of what images are made into."""
    channels, height, width = _formed(np.zeros((1, *part.image_shape), np.uint8), form).shape[1:]
    if not SMALLEST_SIZE <= min(height, width) <= max(height, width) <= LARGEST_SIZE:
        raise UserError(
            f"{part.images.path} has images of {height} x {width} pixels; a side has {SMALLEST_SIZE} to "
            f"{LARGEST_SIZE}. Scale them with --size, such as --size 64."
        )
    return channels, height, width


def _formed(images: np.ndarray, form: ImageForm) -> np.ndarray:
    """uint8 (n, c, h, w) in the channels and the size asked for."""
    if form.channels == "grey" and images.shape[1] == 3:
        grey: np.ndarray = ((images * _WEIGHTS).sum(axis=1, keepdims=True, dtype=np.uint32) + 0x8000) >> 16
        images = grey.astype(np.uint8)
    elif form.channels == "colour":
        images = np.broadcast_to(images, (len(images), 3, *images.shape[2:]))
    return images if form.size is None else fit_arrays(images, form.size, form.fit)


def _notes(splits: Splits, dropped: int) -> list[str]:
    notes = [f"The array {name!r} is not read: {reason}." for name, reason in splits.unread.items()]
    if dropped:
        notes.append(f"Left out, as the same image is for testing or validation too: {counted(dropped, 'image')}.")
    return notes


def _said_of_groups(path: Path, splits: Splits, rows: np.ndarray, choice: Choice) -> list[str]:
    """What may say what was sampled, or that nothing does."""
    cells = {}
    for name in next(iter(splits.parts.values())).columns:
        if name != choice.column and looks_like_identifier(name):
            with suppress(UserError):  # nobody named this column; it may be unreadable
                cells[name] = _table(path, splits, [name])[name].iloc[rows]
    return said_of_identifiers(cells) or [UNKNOWN_PATIENTS]
