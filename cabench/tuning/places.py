"""Where tuning is to write: looked at before any work, which may take hours."""

from __future__ import annotations

import os
from pathlib import Path

from cabench.errors import UserError


def check_place(folder: Path, option: str) -> None:
    """Refuse a folder that is none, or in which nothing can be written. One that is missing is not made.

    Args:
        folder: to write to later.
        option: which names it.

    Raises:
        UserError: saying what stands in the way.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file and no folder; choose another place with {option}.")
    if not os.access(there, os.W_OK):
        raise UserError(f"Nothing can be written in the folder {there}; choose another with {option}.")
