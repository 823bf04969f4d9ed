"""Notes of processes that died at a cell: how often in a row, so that one cell cannot end a grid for ever.

While a process works on a cell, `.begun` stands in the cell's folder. A process that ends by itself, well or not,
removes it; one that the kernel or a library kills does not. Deaths count from the last checkpoint on: a training run
that gets further each time is never given up.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NotRequired

from typing_extensions import TypedDict

from cabench.files.atomic import stamp, write_text
from cabench.files.json import canonical_json, read_json
from cabench.hardening.journal import Journal

MOST_DEATHS = 3  # in a row, without a checkpoint between, after which a cell counts as failed


class ProcessDiedError(RuntimeError):
    """Stands in a record for the error that the processes could not report."""

    def __init__(self, deaths: int) -> None:
        super().__init__(
            f"{deaths} processes in a row died at this cell without an error, as when the kernel ends them for want of "
            "memory; use smaller batches or images."
        )


class _Begun(TypedDict):
    """What `.begun` holds; the stamp is that of the checkpoint there was. `by` is for people, and new."""

    deaths: int
    checkpoint: str | None
    by: NotRequired[str]


def deaths_at(folder: Path) -> int:
    """How many processes in a row died at the cell of a folder since its last checkpoint.

    It means nothing while a process works on the cell. A note that cannot be read tells of one death.
    """
    try:
        note = read_json(folder / ".begun", _Begun)
    except FileNotFoundError:
        return 0
    except (OSError, ValueError):
        return 1
    return max(note["deaths"], 0) + 1 if note["checkpoint"] == _checkpoint_stamp(folder) else 1


def note_stamp(folder: Path) -> str | None:
    """A text that changes whenever a process begins the cell of a folder; None where none has, or the last one left."""
    return stamp(folder / ".begun")


def worker_at(folder: Path) -> str | None:
    """The process that works on the cell of a folder, and its machine, in words; None where none has said so.

    It means nothing while no process works on the cell.
    """
    try:
        return read_json(folder / ".begun", _Begun).get("by")
    except (OSError, ValueError):
        return None


def describe_deaths(count: int) -> str:
    """Who died, as the subject of a sentence."""
    return "a process" if count == 1 else f"{count} processes in a row"


@contextmanager
def noting_death(folder: Path, key: str, journal: Journal) -> Iterator[int]:
    """Note that a cell is begun, and take the note back when the block ends in any way but the process's death.

    For the holder of the cell's lock.

    Yields:
        How many processes in a row died at the cell before.
    """
    deaths = deaths_at(folder)
    by = f"process {os.getpid()} on {socket.gethostname()}"
    note = {"deaths": deaths, "checkpoint": _checkpoint_stamp(folder), "by": by}
    write_text(folder / ".begun", canonical_json(note))
    journal.begun(key)
    try:
        yield deaths
    finally:
        # It is another's, where the cell was taken over from this process while that was stopped.
        if worker_at(folder) == by:
            with suppress(OSError):
                (folder / ".begun").unlink(missing_ok=True)


def _checkpoint_stamp(folder: Path) -> str | None:
    return stamp(folder / "checkpoint" / "state.safetensors")
