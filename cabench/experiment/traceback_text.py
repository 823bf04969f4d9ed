"""The traceback of a failed cell, as its record keeps it: without the folders of the machine that it failed on."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import cabench


def traceback_text(error: BaseException) -> str:
    """A traceback in which files are named from the folder that Python imports them from, others by their name alone.

    Records are sent to others, whom it does not concern where somebody keeps his files.
    """
    found = traceback.TracebackException.from_exception(error)
    for part in _parts(found):
        for frame in part.stack:
            frame.filename = _named(Path(frame.filename))
    return "".join(found.format())


def _parts(found: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """An exception, and those that led to it, however many."""
    left = [found]
    while left:
        part = left.pop()
        yield part
        others = (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ()))
        left += [other for other in others if other is not None]


def _named(file: Path) -> str:
    roots = [Path(cabench.__file__).parent.parent, *map(Path, filter(None, sys.path))]
    inside = [file.relative_to(root).as_posix() for root in roots if file.is_relative_to(root)]
    return min(inside, key=len, default=file.name)
