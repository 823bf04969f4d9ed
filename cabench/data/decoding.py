"""Decoding many small images on all processors of this machine."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

# What Pillow raises for content that is cut short or damaged.
UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
MOST_PIXELS = 1 << 25  # of an image, such as 5,792 x 5,792: Pillow takes 4 bytes for each, 130 MB
CHUNK = 250  # items done at a time; of images of 224 x 224 in colour, 38 MB

_Given = TypeVar("_Given")
_Done = TypeVar("_Done")


def workers() -> int:
    """How many processors this process may use, which `taskset` and the like restrict."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_pixels(image: Image.Image, most: int = MOST_PIXELS) -> None:
    """Raise ValueError for an image of more pixels, before it is decoded: its size is what its header says."""
    if image.width * image.height > most:
        raise ValueError(f"it has {image.width:,} x {image.height:,} pixels, and at most {most:,} in all are read")


def in_threads(do: Callable[[_Given], _Done], given: Sequence[_Given]) -> Iterator[tuple[slice, list[_Done]]]:
    """Do something to each of many items, with one thread for each processor that this process may use.

    Pillow lets other threads run while it decodes and resizes.

    Yields:
        Which items are done, at most `CHUNK` at a time, and their results, in order.
    """
    with ThreadPoolExecutor(workers()) as pool:
        for start in range(0, len(given), CHUNK):
            rows = slice(start, min(start + CHUNK, len(given)))
            yield rows, list(pool.map(do, given[rows]))
