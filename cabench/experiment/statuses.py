"""Whether cells are done or failed, by their records, each read once as long as nothing writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cabench.errors import UserError
from cabench.experiment.many_records import in_processes
from cabench.experiment.record import Record
from cabench.files.atomic import stamp

PART = 500  # record files that a process reads at a time


class _Seen(NamedTuple):
    """What a record said.

    Attributes:
        stamp: of its file, before it was read.
        status: of the cell.
    """

    stamp: str
    status: str


class Statuses:
    """What record files say of their cells."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._seen: dict[Path, _Seen] = {}

    def of(self, path: Path) -> str:
        """The status that a record gives its cell: "ok" or "failed".

        Raises:
            UserError: when it cannot be read.
        """
        seen = self._seen.get(path)
        return seen.status if seen and seen.stamp == stamp(path) else self.load(path, Record.load).status

    def load(self, path: Path, load: Callable[[Path], Record]) -> Record:
        """The record at a path; its status is known from now on. Errors are those of `load`."""
        now = stamp(path)  # before it is read: what is written meanwhile changes it
        record = load(path)
        if now is not None:
            self._seen[path] = _Seen(now, record.status)
        return record

    def read_ahead(self, paths: Iterable[Path]) -> None:
        """Read many records, by several processes where that takes less time. What cannot be read, `of` says later.

        Raises:
            UserError: where a process died.
        """
        unread = [path for path in paths if path not in self._seen]
        for seen in in_processes(_seen_of, [unread[at : at + PART] for at in range(0, len(unread), PART)]):
            self._seen |= seen


def _seen_of(paths: Sequence[Path]) -> dict[Path, _Seen]:
    """What records say that are there and can be read."""
    found: dict[Path, _Seen] = {}
    for path in paths:
        now = stamp(path)
        with suppress(UserError):
            if now is not None:
                found[path] = _Seen(now, Record.load(path).status)
    return found
