"""What a data set looks like at a glance: how many images have which value, and pictures of some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

from cabench.atomic import replacing
from cabench.dataset import Attribute, as_float
from cabench.dataset_file import SPLITS, DatasetFile, examples
from cabench.errors import UserError
from cabench.evaluation.silhouette import spaced
from cabench.generation import labelled_rows

PER_ROW = 10  # images in a row of the picture
MOST_ROWS = 12  # of target images, one a class

POPULATIONS = ("background", "target")
HEADERS = ("attribute", "value", *(f"{split} {population}" for split in SPLITS for population in POPULATIONS))


def value_table(file: DatasetFile) -> list[list[object]]:
    """One row a class of every attribute, with the number of images that have it, by split and population.

    A real attribute has one row with the number of images for which it is defined, and one with mean and range. Columns
    are those of `HEADERS`.
    """
    parts = [values for split in SPLITS for values in file.read_attributes(split)]
    rows: list[list[object]] = []
    for attribute in file.info.attributes:
        columns = [part[attribute.name] for part in parts]
        describe = _classes if attribute.kind == "class" else _numbers
        rows += [[attribute.name, value, *cells] for value, cells in describe(attribute, columns)]
    return rows


def picture(file: DatasetFile) -> Image.Image:
    """Some training images: two rows of background, and a row of targets of each class of the first salient attribute
    with classes, or two rows where there is none.

    Raises:
        ValueError: for a table of features, which cannot be looked at.
    """
    if file.info.is_table:
        raise ValueError("a table of features has no pictures")
    with h5py.File(file.path, "r") as stored:
        group = stored["train"]
        is_target = group["is_target"][:]
        rows = {"background": np.flatnonzero(~is_target), **_kinds_of_targets(file, np.flatnonzero(is_target))}
        shown = [
            (label, as_float(torch.from_numpy(examples(group)[np.sort(line)])))
            for label, chosen in rows.items()
            for line in _lines(chosen, 2 if label in POPULATIONS else 1)
        ]
    widest = max(len(images) for _, images in shown)
    return labelled_rows([(label, _padded(images, widest)) for label, images in shown])


def write_picture(file: DatasetFile, path: Path) -> None:
    """Write the picture as PNG, whole or not at all.

    Raises:
        UserError: when the file cannot be written.
        ValueError: as `picture` does.
    """
    drawn = picture(file)
    try:
        with replacing(path) as temporary:
            drawn.save(temporary, format="png")
    except OSError as error:
        raise UserError(f"The picture cannot be written to {path} ({error}); choose another with --picture.") from error


def _classes(attribute: Attribute, columns: list[np.ndarray]) -> Iterator[tuple[str, list[int]]]:
    for code, label in enumerate(attribute.classes):
        yield label, [int((column == code).sum()) for column in columns]
    undefined = [int((column < 0).sum()) for column in columns]
    if any(undefined):
        yield "(undefined)", undefined


def _numbers(attribute: Attribute, columns: list[np.ndarray]) -> Iterator[tuple[str, list[object]]]:
    known = [column[attribute.is_defined(column)] for column in columns]
    yield "(defined)", [len(values) for values in known]
    yield (
        "mean (range)",
        [f"{values.mean():.3g} ({values.min():.3g} to {values.max():.3g})" if len(values) else "" for values in known],
    )


def _kinds_of_targets(file: DatasetFile, targets: np.ndarray) -> Mapping[str, np.ndarray]:
    """The rows of target images in the training split, by what the picture calls them."""
    attribute = next((a for a in file.info.attributes if a.space == "salient" and a.kind == "class"), None)
    if attribute is None:
        return {"target": targets}
    codes = file.read_attributes("train")[1][attribute.name]
    kinds = {f"target\n{label}": targets[codes == code] for code, label in enumerate(attribute.classes)}
    return dict([(label, rows) for label, rows in kinds.items() if len(rows)][:MOST_ROWS]) or {"target": targets}


def _lines(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """`count` lines of rows from all over, none of them empty."""
    return [line for line in np.array_split(spaced(rows, count * PER_ROW), count) if len(line)]


def _padded(images: torch.Tensor, count: int) -> torch.Tensor:
    """The images with white ones behind, `count` in all."""
    return torch.cat([images, images.new_ones(count - len(images), *images.shape[1:])])
