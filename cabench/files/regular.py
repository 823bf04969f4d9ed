"""Files that may not be what they seem: only a regular one is opened, a link not followed and a pipe not waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from cabench.errors import UserError
from cabench.files.atomic import NO_LINK_NO_PIPE

_BYTES = getattr(os, "O_BINARY", 0)  # Windows would take lines apart


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        UserError: for anything else, and where it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | NO_LINK_NO_PIPE | _BYTES)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UserError(f"{path} is no regular file.")
    return os.fdopen(handle, "rb")
