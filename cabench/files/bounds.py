"""How large files may be: what a file is long, or declares, is compared with a bound before memory is taken for it.

The table of these bounds is in `docs/what-is-read.md`, under "Bounds".
"""

from __future__ import annotations

import os
from pathlib import Path

MIB = 1 << 20  # bytes
LARGEST_TEXT = 64 * MIB  # of a file of JSON, Markdown or figures, or a line of a table: it is read as a whole
LARGEST_SETTINGS = MIB  # of a TOML file
LARGEST_PICTURE = 64 * MIB  # of a cell's picture
_LEAST_UNPACKED, _MOST_UNPACKED = 64 * MIB, 16  # bytes, and times what is packed


class TooLargeError(ValueError):
    """A file is longer than what is read of its kind, or declares more; the text is a clause."""


def read_whole(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes, which may be a pipe.

    Raises:
        OSError: when it cannot be read.
        TooLargeError: when it is longer.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        _check(size, most)
        content = file.read(size or most + 1)  # of a pipe it is not known before
        _check(len(content), most)
        return content


def check_size(path: Path, most: int) -> None:
    """Raise TooLargeError for a file of more than `most` bytes, which another library will read; and OSError."""
    _check(path.stat().st_size, most)


def most_unpacked(packed: int) -> int:
    """How many bytes so many may unpack to where all are held at once: 64 MiB, or 16 times as many as there are.

    Deflate makes up to 1,032 times as many of zeros, and about twice as many of what is measured.
    """
    return max(_LEAST_UNPACKED, _MOST_UNPACKED * packed)


def _check(size: int, most: int) -> None:
    if size > most:
        raise TooLargeError(f"it has {size:,} bytes, and of its kind at most {most:,} are read")
