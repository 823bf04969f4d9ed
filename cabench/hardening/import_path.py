"""Where this process imports from, for the processes that it starts."""

from __future__ import annotations

import os
import sys


def import_path() -> str:
    """The value of PYTHONPATH with which a process imports from where this one does.

    What Python itself passes over in `sys.path`, entries that are no text, is left out.
    """
    return os.pathsep.join(entry for entry in sys.path if isinstance(entry, str))
