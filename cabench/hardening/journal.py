"""The journal of one run: what its workers note for those that follow them.

It is a file without a name, so that nothing remains of it. Its lines are `started SECONDS`, `begun KEY` and `ended KEY`
of a cell, and `left` by a worker that comes to its own end, whatever its exit status. A worker that dies never writes
`left`.
"""

from __future__ import annotations

import os
import time


class Journal:
    """Which cells the workers of one run began and ended, and whether the last worker came to its own end."""

    def __init__(self, number: int | None = None) -> None:
        """Use the open file with this descriptor, for appending and reading; or none, and keep and know nothing."""
        self._number = number

    @property
    def number(self) -> int | None:
        """The descriptor of its open file, for a process that shall note in it too; None where it keeps nothing."""
        return self._number

    def started_s(self) -> float:
        """When a process of the run first asked for this; now, where the journal keeps nothing.

        In seconds on the monotonic clock, which all processes on a machine share.
        """
        if not (times := self._start_times()):
            self._write(f"started {time.monotonic()}")
            times = self._start_times()
        return times[0] if times else time.monotonic()

    def begun(self, key: str) -> None:
        """Note that the cell with this key is begun."""
        self._write(f"begun {key}")

    def ended(self, key: str) -> None:
        """Note that the cell with this key has a record by now."""
        self._write(f"ended {key}")

    def left(self) -> None:
        """Note that this worker comes to its own end."""
        self._write("left")

    def all_ended(self) -> frozenset[str]:
        """The keys of the cells that ended in this run, well or not."""
        return frozenset(words[1] for words in self._entries() if words[0] == "ended")

    def count_begun(self) -> int:
        """How many times a worker has begun a cell."""
        return sum(words[0] == "begun" for words in self._entries())

    def has_left(self) -> bool:
        """Whether the last worker came to its own end."""
        return self._entries()[-1:] == [["left"]]

    def _start_times(self) -> list[float]:
        return [float(words[1]) for words in self._entries() if words[0] == "started"]

    def _write(self, line: str) -> None:
        if self._number is not None:
            os.write(self._number, f"{line}\n".encode())

    def _entries(self) -> list[list[str]]:
        if self._number is None:
            return []
        text = os.pread(self._number, os.fstat(self._number).st_size, 0).decode()
        return [line.split() for line in text.splitlines()]
