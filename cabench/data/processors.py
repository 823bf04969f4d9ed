"""What this process may use of the machine."""

from __future__ import annotations

import os


def workers() -> int:
    """How many processors this process may use, which `taskset` and the like restrict."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
