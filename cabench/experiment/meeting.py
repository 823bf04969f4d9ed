"""Two processes that meet in a folder and speak with each other through files in it, and through nothing else.

Each keeps one file there, its note: who it is, whom it has met, and all that it has said. It writes the note anew at
least every half second, so that others tell it from the note of a process that was killed.
"""

from __future__ import annotations

import math
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from typing_extensions import TypedDict

from cabench.errors import UserError
from cabench.files.atomic import remove_left_behind, write_text
from cabench.files.json import canonical_json, read_json
from cabench.files.regular import plain

BEAT_S = 0.5
LOOK_S = 0.005
SILENCE_S = 90.0  # longer than a network file system keeps what it has seen
GONE_S = 30.0  # that a note cannot be read: where sizes are remembered, one that is replaced is cut short for a moment
LONGEST_S = 300.0


class _Note(TypedDict):
    """What a process writes: `beat` counts, `partner` is the name of another note or "", `said` is by subject."""

    host: str
    pid: int
    beat: int
    partner: str
    said: dict[str, Any]


class Meeting:
    """One of two processes that have met.

    Attributes:
        folder: of the notes.
        name: of this process's note.
        partner: of the other's.
        host: the other's machine.
        pid: the other's process id.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = secrets.token_hex(8)
        self.partner = ""
        self.host, self.pid = "", 0
        self._said: dict[str, Any] = {}
        self._beat = 0
        self._written = -BEAT_S
        self._heard: dict[str, tuple[int, float]] = {}  # by note: its last beat, and when that was heard

    @classmethod
    @contextmanager
    def arranged(cls, folder: Path, patience_s: float) -> Iterator[Self]:
        """Meet another process, which calls this too, and part at the end of the block.

        Args:
            folder: for the notes and what is tried alone; it is made, and removed when both part.
            patience_s: how long to wait for the other.

        Raises:
            UserError: when nobody came, two others have met already, or the folder is a link.
            StorageError: when the folder cannot be written to.
        """
        plain(folder, below=folder.parent)
        meeting = cls(folder)
        try:
            meeting._meet(patience_s)
            yield meeting
            meeting._part()
        finally:
            with suppress(OSError):
                (folder / meeting.name).unlink(missing_ok=True)
                remove_left_behind(folder / meeting.name)  # by a request to stop while the note was begun
                folder.rmdir()  # if nothing else is in it

    @property
    def is_first(self) -> bool:
        """True for one of the two, so that they can take turns."""
        return self.name < self.partner

    def exchange(self, subject: str, value: Any) -> Any:
        """Say something on a subject, and wait for what the other says on it. Both go on at about the same time.

        Raises:
            UserError: when the other has ended.
        """
        self._said[subject] = value
        self._write()
        heard: list[Any] = []  # at once: a note that can be read now cannot always be read again

        def is_heard() -> bool:
            heard.extend(value for told, value in self._said_by_partner().items() if told == subject)
            return bool(heard)

        self.wait_until(is_heard)
        return heard[0]

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Look again and again whether something is so.

        Raises:
            UserError: when the other process ends before, or it takes longer than is sensible.
        """
        started = heard = time.monotonic()
        while not is_so():
            self._keep_alive()
            now = time.monotonic()
            note = self._read(self.partner)
            heard = now if note is not None else heard
            if now - heard > GONE_S or (note is not None and not self._lives(self.partner, note)):
                raise UserError("The other process ended before the check did; start both again.")
            if now - started > LONGEST_S:
                raise UserError(
                    f"What one process writes in {self.folder} is not seen by the other within {LONGEST_S:g} s: "
                    "machines cannot share it. Give each one of its own, and put them together with `cabench merge`."
                )
            time.sleep(LOOK_S)

    def _said_by_partner(self) -> Mapping[str, Any]:
        note = self._read(self.partner)
        return note["said"] if note else {}

    def _meet(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        while True:
            self._keep_alive()
            others = self._others()
            if self.partner in others and others[self.partner]["partner"] == self.name:
                self.host, self.pid = others[self.partner]["host"], others[self.partner]["pid"]
                return
            pairs = [note for name, note in others.items() if _partner_of(others, note["partner"]) == name]
            if pairs:
                who = " and ".join(f"process {note['pid']} on {note['host']}" for note in pairs)
                raise UserError(f"Two others are checking this folder: {who}. Start again when they have ended.")
            free = sorted(name for name, note in others.items() if note["partner"] in ("", self.name))
            if self.partner not in free:  # else it stays so: the other may have met us already
                self.partner = free[0] if free else ""
                self._write()
            if time.monotonic() > deadline:
                raise UserError(
                    f"Nobody else came within {patience_s:g} s; start the same command on another machine while this "
                    "one waits. Both must name the same folder."
                )
            time.sleep(BEAT_S / 5)

    def _others(self) -> dict[str, _Note]:
        """The notes of other processes that live."""
        names = [path.name for path in self.folder.iterdir() if path.name != self.name and path.suffix == ""]
        notes = {name: note for name in names if (note := self._read(name)) is not None}
        return {name: note for name, note in notes.items() if self._lives(name, note)}

    def _lives(self, name: str, note: _Note) -> bool:
        """Whether a note was written anew not long ago, while this process looked at it."""
        beat, since = self._heard.setdefault(name, (note["beat"], -math.inf))
        if beat != note["beat"]:
            since = time.monotonic()
            self._heard[name] = note["beat"], since
        return time.monotonic() - since < SILENCE_S

    def _read(self, name: str) -> _Note | None:
        with suppress(OSError, ValueError):
            return read_json(self.folder / name, _Note)
        return None

    def _keep_alive(self) -> None:
        if time.monotonic() - self._written >= BEAT_S:
            self._write()

    def _write(self) -> None:
        self._beat += 1
        self._written = time.monotonic()
        note: _Note = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "beat": self._beat,
            "partner": self.partner,
            "said": self._said,
        }
        write_text(self.folder / self.name, canonical_json(note))

    def _part(self) -> None:
        """End once both have heard all. The first of the two then removes what killed processes left in the folder."""
        if not self.is_first:
            self.wait_until(lambda: "goodbye" in self._said_by_partner())
            return
        self._said["goodbye"] = True
        self._write()
        deadline = time.monotonic() + SILENCE_S
        while (self.folder / self.partner).exists() and time.monotonic() < deadline:
            self._keep_alive()
            time.sleep(LOOK_S)
        for path in self.folder.iterdir():
            with suppress(OSError):
                path.unlink()


def _partner_of(notes: Mapping[str, _Note], name: str) -> str:
    return notes[name]["partner"] if name in notes else ""
