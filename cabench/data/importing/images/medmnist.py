"""MedMNIST's layout of .npz files (Yang et al., Scientific Data 10, 41, 2023; github.com/MedMNIST/MedMNIST).

The arrays are `train_images`, `train_labels`, and likewise for `val` and `test`. Images are uint8 (n, height, width) or
(n, height, width, 3), channels last; labels are (n, 1), or (n, l) where several may hold. Any other array with one row
an image, such as `train_age`, is a column as well. A file with `images` in place of `train_images` and `test_images`
has no split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cabench.data.importing.as_text import KINDS
from cabench.errors import UserError
from cabench.files.npz import StoredArray, stored_arrays

PARTS = ("test", "val", "train")
WHOLE = ""  # the only part of a file without a split
IMAGES, LABELS, LABEL = "images", "labels", "label"
MOST_COLUMNS = 1000  # of one array


class Part(NamedTuple):
    """One split of a file.

    Attributes:
        images: uint8 (n, height, width) or (n, height, width, 1 or 3), still on disk.
        columns: (n,) by name: numbers, truth values or text. Labels are `label`, or `label_0`, `label_1`, ...
    """

    images: StoredArray
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        """The number of images."""
        return self.images.shape[0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        height, width, *channels = self.images.shape[1:]
        return (channels[0] if channels else 1), height, width

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """The images in pieces of a few megabytes, in order: the index of the first, and uint8 (m, c, h, w).

        Raises:
            UserError: for a file that is damaged.
        """
        for start, rows in self.images.pieces():
            yield start, rows[:, None] if rows.ndim == 3 else rows.transpose(0, 3, 1, 2)


def without_copies(
    parts: Mapping[str, Part],
    wanted: Mapping[str, np.ndarray],
    formed: Callable[[np.ndarray], np.ndarray] = lambda images: images,
) -> Iterator[tuple[str, int, np.ndarray]]:
    """The images of some rows, but those that an earlier part has too. Copies inside one part stay.

    Args:
        parts: by name, in order.
        wanted: bool (n,) by part.
        formed: makes images (m, c, h, w) into those that are compared and given.

    Yields:
        The part's name, the row there, and the image, uint8 (c, h, w).
    """
    before: set[bytes] = set()
    for name, part in parts.items():
        here = set()
        for start, images in part.pieces():
            rows = np.flatnonzero(wanted[name][start : start + len(images)])
            for row, image in zip(rows, formed(images[rows]), strict=True):
                content = hashlib.blake2b(image.tobytes(), digest_size=16).digest()  # 16 bytes an image
                here.add(content)
                if content not in before:
                    yield name, start + int(row), image
        before |= here


class Splits(NamedTuple):
    """What a file holds.

    Attributes:
        parts: "test", "val" (which may be missing) and "train", in the order of `PARTS`; or `WHOLE` alone. Images of
            all parts have one shape, and all parts have the same columns.
        unread: why some arrays are no columns, by their names.
    """

    parts: Mapping[str, Part]
    unread: Mapping[str, str]


def read_splits(path: Path) -> Splits:
    """What an .npz file in MedMNIST's layout holds. Images stay on disk until they are asked for.

    Raises:
        UserError: for a file that cannot be read, has no images or images of another kind, or lacks a split.
    """
    parts, unread = _by_part(path)
    for members in parts.values():
        _check_images(members[IMAGES])
    shapes = {members[IMAGES].shape[1:] for members in parts.values()}
    if len(shapes) > 1:
        raise UserError(f"{path} has images of the shapes {' and '.join(map(str, sorted(shapes)))}; make them alike.")
    columns: dict[str, dict[str, np.ndarray]] = {part: {} for part in parts}
    for name in dict.fromkeys(name for members in parts.values() for name in members if name != IMAGES):
        if reason := _why_unread(name, parts):
            unread[name] = reason
            continue
        for part, members in parts.items():
            columns[part] |= _columns(name, members[name].read())
    return Splits({part: Part(members[IMAGES], columns[part]) for part, members in parts.items()}, unread)


def _by_part(path: Path) -> tuple[dict[str, dict[str, StoredArray]], dict[str, str]]:
    """The arrays of each part by their names without the part's, and why others are not read."""
    arrays = _without_empty_validation(stored_arrays(path))
    if IMAGES in arrays:
        return {WHOLE: arrays}, {}
    parts: dict[str, dict[str, StoredArray]] = {part: {} for part in PARTS if f"{part}_{IMAGES}" in arrays}
    if not {"test", "train"} <= parts.keys():
        raise UserError(
            f"{path} holds {', '.join(arrays) or 'no arrays'}; wanted are train_images and test_images, or images "
            "where the split is to be drawn."
        )
    unread = {}
    for name, array in arrays.items():
        part, _, short = name.partition("_")
        if part in parts and short:
            parts[part][short] = array
        else:
            unread[name] = "it belongs to no images"
    return parts, unread


def _without_empty_validation(arrays: dict[str, StoredArray]) -> dict[str, StoredArray]:
    """All arrays but the empty ones of an empty validation split, which is none."""
    images = arrays.get(f"val_{IMAGES}")
    if images is None or images.shape[:1] != (0,):
        return arrays
    return {name: array for name, array in arrays.items() if not (name.startswith("val_") and array.shape[:1] == (0,))}


def _check_images(images: StoredArray) -> None:
    """Refuse what is not images of 8 bits, channels last."""
    named = f"{images.name} of {images.path}"
    if images.dtype.kind in "fui" and images.dtype != np.uint8:
        raise UserError(
            f"{named} is {images.dtype}; save images as uint8 from 0 (black) to 255, such as "
            "(images * 255).round().astype(numpy.uint8) where they are from 0 to 1."
        )
    is_image = images.dtype == np.uint8 and (len(images.shape) == 3 or images.shape[3:] in [(1,), (3,)])
    if not is_image or 0 in images.shape:
        raise UserError(
            f"{named} is {images.dtype} of shape {images.shape}; wanted is uint8 (n, height, width) or (n, height, "
            "width, 3), the channels last."
        )
    if images.by_columns:
        raise UserError(f"{named} is stored in Fortran's order, not row by row; save numpy.ascontiguousarray of it.")


def _why_unread(name: str, parts: Mapping[str, Mapping[str, StoredArray]]) -> str:
    """Why an array is no column, in a clause; "" if it is one."""
    arrays = [members.get(name) for members in parts.values()]
    for part, array in zip(parts, arrays, strict=True):
        rows = parts[part][IMAGES].shape[0]
        if array is None:
            return f"{part} has no such array"
        if array.dtype.hasobject:
            return "it holds Python objects, which are never loaded: save it as text, with .astype(str)"
        if array.dtype.kind not in KINDS:
            return f"it is {array.dtype}"
        if array.shape[:1] != (rows,) or len(array.shape) > 2 or array.shape[1:] > (MOST_COLUMNS,):
            return f"it has the shape {array.shape}, where there are {rows:,} images"
    if len({array.shape[1:] for array in arrays if array is not None}) > 1:
        return "it has another number of columns in each split"
    if name == LABEL and any(LABELS in members for members in parts.values()):
        return f"the columns of {LABELS} have this name"
    return ""


def _columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """The columns (n,) of an array (n,), (n, 1) or (n, l), by name."""
    name = LABEL if name == LABELS else name
    if values.ndim == 1 or values.shape[1] == 1:
        return {name: values.reshape(-1)}
    return {f"{name}_{number}": column for number, column in enumerate(values.T)}
