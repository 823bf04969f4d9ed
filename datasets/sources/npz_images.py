"""Images in an .npz archive, read in pieces: an archive can be larger than memory, and numpy reads a member whole."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PIECE = 1 << 24  # bytes of images read at a time


def image_pieces(path: Path, member: str) -> Iterator[np.ndarray]:
    """The images of one array of an archive, in order, in pieces of about 16 MB.

    The formats: zip, and in it numpy's .npy, a header before the values
    (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).

    Args:
        path: the .npz file.
        member: the array's name; uint8, (n, height, width) of grey images, (n, height, width, 3) of coloured ones.

    Yields:
        uint8 (m, channels, height, width).

    Raises:
        ValueError: for an array of another kind, or one that is cut short.
        KeyError: where the archive has no such array.
        zipfile.BadZipFile: for a damaged archive.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{member}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read_header(stream)
        if dtype != np.uint8 or in_columns or len(shape) not in (3, 4):
            raise ValueError(f"{member} is {dtype} {shape}, not uint8 images row by row")
        size = math.prod(shape[1:])
        rows = max(1, PIECE // size)
        for start in range(0, shape[0], rows):
            count = min(rows, shape[0] - start)
            images = np.frombuffer(stream.read(count * size), np.uint8).reshape(count, *shape[1:])
            yield images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
