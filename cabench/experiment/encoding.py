"""Vectors of images under a fitted method: of a cell's own data, of a folder of images, or of another data set file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cabench.data.dataset import SPACES, ContrastiveDataset, Space, float_batches
from cabench.data.file import DatasetFile, Rows
from cabench.data.importing.images.fitting import Fit, Size
from cabench.data.importing.images.notes import said_of_cut_off
from cabench.data.importing.images.reading import ImageForm, open_folder, read_folders
from cabench.data.layout import SPLITS, texts
from cabench.errors import UserError
from cabench.evaluation.encoded import EVERYONE, EncodedPopulation, EncodedSplit
from cabench.experiment.fitted_rows import FittedRows
from cabench.files.atomic import replacing
from cabench.files.csv import csv_lines
from cabench.files.hdf5 import TEXTS, UNREADABLE, check_whole, reading_hdf5
from cabench.files.regular import is_regular, plain
from cabench.method import ContrastiveAnalysisMethod, NetworkMethod

FORMATS = (".csv", ".npz")
MOST_ROWS = 1_000_000  # of a cell's vectors, which may have no length: with their names they take 190 bytes each


class EncodedImages(NamedTuple):
    """Vectors with what each row is of.

    Attributes:
        rows: (n,) text by column: `name`, and of a data set also `split`, `population` and `group`.
        spaces: float32 (n, d) by space.
        said: sentences on what was made of the images.
    """

    rows: Mapping[str, np.ndarray]
    spaces: Mapping[Space, np.ndarray]
    said: Sequence[str] = ()


def encode_images(method: ContrastiveAnalysisMethod, images: Tensor, device: torch.device) -> dict[Space, np.ndarray]:
    """Float32 (n, d) by space, in batches of a fixed size, so that encoding again gives the same bits.

    Args:
        method: fitted.
        images: uint8 (n, channels, height, width), or float32 (n, features) of a table.
        device: where batches are moved to.

    Raises:
        ValueError: when the method gives another number of vectors than there are images.
    """
    batches = [method.encode(batch) for batch in float_batches(images, device)]
    spaces = {
        space: np.concatenate([getattr(batch, space).float().cpu().numpy() for batch in batches]) for space in SPACES
    }
    for space, vectors in spaces.items():
        if len(vectors) != len(images):
            raise ValueError(f"{method.name} gives {len(vectors)} {space} vectors for {len(images)} images.")
    return spaces


def encode_split(
    method: ContrastiveAnalysisMethod, split: ContrastiveDataset, rows: Sequence[Rows], device: torch.device
) -> EncodedSplit:
    """Encode both populations of a split, as `encode_images` does.

    Args:
        method: fitted.
        split: as it is given to the method, see `FittedRows`.
        rows: names and groups of the rows of background and target.
        device: where to encode.
    """
    placed = _on(method, device)
    background, target = (
        EncodedPopulation(encode_images(placed, part.images, device), part.attributes, told.groups)
        for part, told in zip((split.background, split.target), rows, strict=True)
    )
    return EncodedSplit(background, target)


def encode_folder(
    method: ContrastiveAnalysisMethod,
    shape: tuple[int, ...],
    folder: Path,
    fit: Fit,
    value_range: tuple[int, int] | None,
    device: torch.device,
) -> EncodedImages:
    """Encode all images below a folder, made into what the method was fitted on.

    Args:
        method: fitted.
        shape: (channels, height, width) of the images that it was fitted on.
        folder: PNG, JPEG, TIFF or BMP files.
        fit: how images of other sizes are brought to that one, as in `cabench data import`.
        value_range: of 16-bit images, the values that become black and white, likewise; None takes all.
        device: where to encode.

    Raises:
        UserError: for a method of tables, and for images that cannot be read.
    """
    if len(shape) != 3:
        raise UserError(
            f"{method.name} was fitted on examples of shape {shape}, which a folder of images cannot be made into; "
            "give a data set file, such as --images new.h5."
        )
    found = open_folder(folder)
    form = ImageForm(Size(*shape[1:]), fit, "grey" if shape[0] == 1 else "colour", value_range)
    pixels = read_folders({"images": found}, form)["images"]
    spaces = encode_images(_on(method, device), torch.from_numpy(pixels.images), device)
    sizes = [(header.width, header.height) for header in pixels.headers]
    said = [found.said()] if found.unread else []
    said += said_of_cut_off(sizes, form, "choose --fit as for the images that the method was fitted on")
    return EncodedImages({"name": np.array(found.names, object)}, spaces, said)


def encode_file(
    method: ContrastiveAnalysisMethod,
    shape: tuple[int, ...],
    data: DatasetFile,
    device: torch.device,
    fitted: FittedRows,
) -> EncodedImages:
    """Encode both splits of a data set, with the names and groups of its rows.

    Args:
        method: fitted.
        shape: of the examples that it was fitted on.
        data: the data set.
        device: where to encode.
        fitted: how the rows of a table were given to the method.

    Raises:
        UserError: for examples of another shape, and as `FittedRows.given_of`.
    """
    if data.info.image_shape != shape:
        raise UserError(
            f"{data.path} holds examples of shape {data.info.image_shape}, but {method.name} was fitted on {shape}; "
            "import them in that size."
        )
    parts, method = [], _on(method, device)
    for split in SPLITS:
        populations = fitted.given_of(data, split, method)[1:]
        for name, population, told in zip(EVERYONE, populations, data.read_rows(split), strict=True):
            spaces = encode_images(method, population.images, device)
            parts.append(_part(split, name, told.names, told.groups, spaces))
    return _joined(parts)


def stored_vectors(path: Path) -> EncodedImages:
    """The vectors that a finished cell keeps of its own data, in the order of the splits, background first.

    Args:
        path: the cell's `representations.h5`.

    Raises:
        UserError: when it is missing, a link or damaged.
    """
    if not is_regular(plain(path, below=path.parent)):
        raise UserError(f"{path.parent} is not the folder of a finished cell: it keeps no {path.name}.")
    parts, rows = [], 0
    try:
        with reading_hdf5(path) as stored:
            check_whole(stored)
            for split in SPLITS:
                for population in EVERYONE:
                    group = stored[f"{split}/{population}"]
                    spaces = {space: group[space][:] for space in SPACES if space in group}
                    count = len(next(iter(spaces.values())))
                    rows += count
                    if rows > MOST_ROWS:
                        raise ValueError(f"it has more than {MOST_ROWS:,} rows")
                    names, groups = (texts(group, kind, count) for kind in TEXTS)
                    parts.append(_part(split, population, names, groups, spaces))
            return _joined(parts)
    except (*UNREADABLE, StopIteration) as error:
        raise UserError(f"{path} cannot be used ({error}); the cell must be computed again.") from error


def table_of(encoded: EncodedImages) -> pd.DataFrame:
    """One row an image: what it is, then common_0, common_1, ..., salient_0, ..."""
    columns: dict[str, np.ndarray] = dict(encoded.rows)
    for space, vectors in encoded.spaces.items():
        columns |= {f"{space}_{index}": column for index, column in enumerate(vectors.T)}
    return pd.DataFrame(columns)


def check_output(path: Path) -> None:
    """Refuse, before any work, a file of another kind.

    Raises:
        UserError: naming the kinds.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"The output {str(path)!r} must end in {' or '.join(FORMATS)}.")


def write_encoded(encoded: EncodedImages, path: Path) -> None:
    """Write vectors, whole or not at all: as CSV, as `table_of` has them, or as arrays of an .npz file.

    Raises:
        UserError: when the file cannot be written.
    """
    try:
        with replacing(path) as temporary:
            if path.suffix == ".csv":
                with temporary.open("w", encoding="utf-8") as lines:
                    lines.writelines(csv_lines(table_of(encoded)))
            else:
                with temporary.open("wb") as file:
                    rows = {name: column.astype(str) for name, column in encoded.rows.items()}
                    np.savez(file, **rows, **encoded.spaces)  # type: ignore[arg-type]  # no array is called allow_pickle
    except OSError as error:
        raise UserError(f"The vectors cannot be written to {path} ({error}); choose another --output.") from error


def _on(method: ContrastiveAnalysisMethod, device: torch.device) -> ContrastiveAnalysisMethod:
    if isinstance(method, NetworkMethod):
        method.network.to(device)
    return method


def _part(
    split: str, population: str, names: np.ndarray, groups: np.ndarray, spaces: Mapping[Space, np.ndarray]
) -> EncodedImages:
    same = {"split": split, "population": population}
    rows = {name: np.full(len(names), text, object) for name, text in same.items()}
    return EncodedImages({"name": names, "group": groups, **rows}, spaces)


def _joined(parts: list[EncodedImages]) -> EncodedImages:
    rows = {name: np.concatenate([part.rows[name] for part in parts]) for name in parts[0].rows}
    return EncodedImages(rows, {space: np.concatenate([p.spaces[space] for p in parts]) for space in parts[0].spaces})
