"""A data set at a glance: how many images have which value, its groups, and pictures of some images."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cabench.data.dataset import Attribute, as_float, spaced
from cabench.data.drawing import labelled_rows
from cabench.data.file import DatasetFile
from cabench.data.groups import group_sizes
from cabench.data.layout import SPLITS, examples
from cabench.errors import UserError
from cabench.files.atomic import replacing
from cabench.files.hdf5 import reading_hdf5

PER_ROW = 10  # images in a row of the picture
MOST_ROWS = 12  # of target images, one a class

POPULATIONS = ("background", "target")
HEADERS = ("attribute", "value", *(f"{split}\n{population}" for split in SPLITS for population in POPULATIONS))
MOST_CLASSES = 20  # of one attribute that are counted separately
WIDEST = 22  # characters of a name; with them a line of the table has at most 100
LABEL = 20  # characters per line of a label beside the picture


def value_table(file: DatasetFile) -> list[list[str]]:
    """One row per class of every attribute, with the number of images that have it, by split and population.

    If an attribute has many classes, the last ones are counted together. A real attribute has rows with the number of
    images for which it is defined, their mean, minimum and maximum. Columns are those of `HEADERS`; an attribute is
    named in its first row, and long names are cut.
    """
    parts = [values for split in SPLITS for values in file.read_attributes(split)]
    rows: list[list[str]] = []
    for attribute in file.info.attributes:
        columns = [part[attribute.name] for part in parts]
        describe = _classes if attribute.kind == "class" else _numbers
        for number, (value, cells) in enumerate(describe(attribute, columns)):
            rows.append(["" if number else _cut(attribute.name), _cut(value), *cells])
    return rows


def group_lines(file: DatasetFile) -> dict[str, str]:
    """By split, how many groups each population has, and their sizes; "none" where no row has a group."""
    lines: dict[str, str] = {}
    for split, parts in file.read_all_rows().items():
        known = any(part.groups.any() for part in parts)
        told = [_told(name, group_sizes(part.groups)) for name, part in zip(POPULATIONS, parts, strict=True)]
        lines[split] = ", ".join(told) if known else "none"
    return lines


def picture(file: DatasetFile) -> Image.Image:
    """Some training images: two rows of background, and a row of targets for each class of the first salient attribute
    with classes, or two rows of targets if there is none.

    Raises:
        ValueError: for a table of features, which has no pictures.
    """
    if file.info.is_table:
        raise ValueError("a table of features has no pictures")
    with reading_hdf5(file.path) as stored:
        group = stored["train"]
        is_target = group["is_target"][:]
        kinds = [("background", np.flatnonzero(~is_target)), *_kinds_of_targets(file, np.flatnonzero(is_target))]
        shown = [
            (label, as_float(torch.from_numpy(examples(group)[np.sort(line)])))
            for label, chosen in kinds
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


def _told(population: str, sizes: np.ndarray) -> str:
    """E.g. "12 target (rows: 1 to 9, median 4)", of sizes (groups,) in order."""
    if not len(sizes):
        return f"0 {population}"
    smallest, largest = sizes[[0, -1]]
    span = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}, median {np.median(sizes):,g}"
    return f"{len(sizes):,} {population} (rows: {span})"


def _classes(attribute: Attribute, columns: list[np.ndarray]) -> Iterator[tuple[str, list[str]]]:
    counts = np.array([[(column == code).sum() for column in columns] for code in range(len(attribute.classes))])
    shown = len(counts) if len(counts) <= MOST_CLASSES else MOST_CLASSES - 1
    for label, row in zip(attribute.classes[:shown], counts[:shown], strict=True):
        yield label, _thousands(row)
    if shown < len(counts):
        yield f"({len(counts) - shown} other classes)", _thousands(counts[shown:].sum(axis=0))
    undefined = np.array([(column < 0).sum() for column in columns])
    if undefined.any():
        yield "(undefined)", _thousands(undefined)


def _numbers(attribute: Attribute, columns: list[np.ndarray]) -> Iterator[tuple[str, list[str]]]:
    known = [column[attribute.is_defined(column)] for column in columns]
    yield "(defined)", _thousands(np.array([len(values) for values in known]))
    for name, measure in (("mean", np.mean), ("minimum", np.min), ("maximum", np.max)):
        yield name, [f"{measure(values):.5g}" if len(values) else "" for values in known]


def _thousands(counts: np.ndarray) -> list[str]:
    return [f"{count:,}" for count in counts.tolist()]


def _cut(text: str) -> str:
    """A name, without its middle if it is too long: many names begin alike."""
    half = WIDEST // 2
    return text if len(text) <= WIDEST else f"{text[: half - 1]}…{text[-half:]}"


def _kinds_of_targets(file: DatasetFile, targets: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Labels for kinds of target images, and their rows in the training split."""
    attribute = next((a for a in file.info.attributes if a.space == "salient" and a.kind == "class"), None)
    if attribute is None:
        return [("target", targets)]
    codes = file.read_attributes("train")[1][attribute.name]
    kinds = {code: targets[codes == code] for code in range(len(attribute.classes))}
    chosen = [code for code, rows in kinds.items() if len(rows)][:MOST_ROWS]
    return [(_target_label(attribute.classes[code]), kinds[code]) for code in chosen] or [("target", targets)]


def _target_label(name: str) -> str:
    """The label of a row of the picture; a long name takes two lines and is cut."""
    lines = textwrap.wrap(name, LABEL)
    return "\n".join(["target", *lines[:1], *(_cut(" ".join(lines[1:])) for _ in lines[1:2])])


def _lines(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """Rows, evenly spaced, in at most `count` lines without empty ones."""
    return [line for line in np.array_split(spaced(rows, count * PER_ROW), count) if len(line)]


def _padded(images: torch.Tensor, count: int) -> torch.Tensor:
    """The images, followed by white ones up to `count`."""
    return torch.cat([images, images.new_ones(count - len(images), *images.shape[1:])])
