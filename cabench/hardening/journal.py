"""The journal of one run: which cells its workers began and ended, for the workers that follow them."""

from __future__ import annotations

import os


class Journal:
    """Which cells the workers of one run began and ended, and whether the last one left, for those that follow them."""

    def __init__(self, number: int | None = None) -> None:
        """Use an open file, or none: then nothing is kept, and no other worker has been there before.

        Args:
            number: its file descriptor, open for appending and reading.
        """
        self._number = number

    def begun(self, key: str) -> None:
        """Note that the cell with this key is begun."""
        self._write(f"begun {key}\n")

    def ended(self, key: str) -> None:
        """Note that the cell with this key has a record by now."""
        self._write(f"ended {key}\n")

    def left(self) -> None:
        """Note that this worker comes to its own end, whatever its exit status. One that dies never does."""
        self._write("left\n")

    def all_ended(self) -> frozenset[str]:
        """The keys of the cells that ended in this run, well or not."""
        return frozenset(words[1] for words in self._entries() if words[0] == "ended")

    def count_begun(self) -> int:
        """How many times a worker has begun a cell."""
        return sum(words[0] == "begun" for words in self._entries())

    def has_left(self) -> bool:
        """Whether the last worker came to its own end."""
        return self._entries()[-1:] == [["left"]]

    def _write(self, line: str) -> None:
        if self._number is not None:
            os.write(self._number, line.encode())

    def _entries(self) -> list[list[str]]:
        if self._number is None:
            return []
        return [
            line.split() for line in os.pread(self._number, os.fstat(self._number).st_size, 0).decode().splitlines()
        ]
