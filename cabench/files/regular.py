"""Below a folder that others may have filled, nothing but plain files and folders is read or written.

A results folder comes by mail, and a cache is shared: a link in it leads where somebody else wants it to lead. The
folder itself may be reached by links, as its user named it. Paths below it come from `plain`; files are opened by
`open_regular`, or after `is_regular` by libraries that open for themselves.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cabench.errors import UserError
from cabench.files.atomic import NO_LINK_NO_PIPE

_BYTES = getattr(os, "O_BINARY", 0)  # Windows would take lines apart


def plain(path: Path, below: Path) -> Path:
    """A path on whose way from a folder there is no link, and nothing else that is neither file nor folder.

    Args:
        path: at or below the folder; it need not exist.
        below: the folder, which is not looked at.

    Returns:
        The path.

    Raises:
        UserError: naming what is there.
    """
    place = str(below)
    with suppress(OSError):  # nothing is there, or the reader's error says why it cannot be reached
        for part in path.parts[len(below.parts) :]:
            place = f"{place}{os.sep}{part}"  # pathlib takes thrice as long, for thousands of records
            mode = os.lstat(place).st_mode
            if stat.S_ISLNK(mode):
                raise UserError(
                    f"{place} is a link, and none is followed; remove it, or put what it leads to in its place."
                )
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UserError(f"{place} is neither a file nor a folder; remove it.")
    return path


def remove_links(folder: Path) -> None:
    """Remove every link below a folder, at any depth, and nothing of what they lead to.

    Raises:
        OSError: when the folder cannot be written to.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink():
                path.unlink()


def is_regular(path: Path) -> bool:
    """Whether there is a file at a path: no link to one, and no pipe, which would be waited for."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):  # ValueError: a name with NUL
        return False


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        UserError: for anything else, and where it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | NO_LINK_NO_PIPE | _BYTES)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):  # fails where another machine has removed the file
                raise UserError(f"{path} is no regular file.")
        except (OSError, UserError):
            os.close(handle)
            raise
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    return os.fdopen(handle, "rb")
