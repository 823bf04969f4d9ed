"""Whether processes on several machines can share a results folder: two of them try it out together.

What a shared folder must do: make a file for one process alone, replace a file whole in the eyes of others, and show
them new and touched files within a lease. flock between machines is welcome: where it does not reach, the folder is
given leases, see `cabench.experiment.locks`. Clocks may differ, and files without a name (`O_TMPFILE`) are not needed.
"""

from __future__ import annotations

import math
import os
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from filelock import Timeout

from cabench.errors import UserError
from cabench.experiment.locks import LEASE_S, SETTINGS, Flock, Leases, write_leases
from cabench.experiment.meeting import Meeting
from cabench.experiment.store import ResultsStore
from cabench.files.atomic import write_text

FOLDER = ".check-store"
FILES = 200  # that both try to make
VERSIONS = 50  # of a file that is replaced
ROUNDS = 3  # of looking at new and touched files
SPARE = 4  # a lease is so many times what it takes to see that a file was touched
ROOM_GIB = 1.0  # below this, it is said
PATIENCE_S = 5.0  # until a lock that was given back is free

Tried = Literal["busy", "free", "none"]


@dataclass(frozen=True)
class Outcome:
    """What became of a check.

    Attributes:
        sentences: for the user.
        usable: whether processes on both machines can share the folder.
    """

    sentences: list[str]
    usable: bool


def check_shared_folder(store: ResultsStore, patience_s: float, say: Callable[[str], None]) -> Outcome:
    """Try a results folder out together with another process that calls this, and give it leases if it needs them.

    Args:
        store: the results folder; it is made.
        patience_s: how long to wait for the other process.
        say: told what is waited for.

    Raises:
        UserError: when the folder cannot be written to, nobody came, two others are checking it, or the other ended.
        StorageError: when the folder cannot be written to any more.
    """
    store.check_writable()
    say(
        f"Waiting {patience_s:g} s for another process: start the same command on another machine that shares "
        f"{store.folder}."
    )
    folder = store.folder / FOLDER
    with Meeting.arranged(folder, patience_s) as meeting:
        say(f"Met process {meeting.pid} on {meeting.host}; trying the folder out.")
        return _judge(store, meeting)


def _judge(store: ResultsStore, meeting: Meeting) -> Outcome:
    reaches = _flock_reaches(meeting)
    alone = _makes_files_for_one(meeting)
    whole = _replaces_files_whole(meeting)
    new_s, touched_s = _delay_s(meeting, "new"), _delay_s(meeting, "touched")
    here = socket.gethostname()
    where = f"on {here} and on {meeting.host}" if here != meeting.host else f"both on {here}"
    sentences = [
        f"Two processes tried {store.folder}, {where}: a new file is seen after {new_s:.2f} s, a touched one after "
        f"{touched_s:.2f} s.",
        f"There is room for {_free_gib(store.folder):.1f} GiB.",
    ]
    if not whole:
        sentences.append(
            "A file that is replaced may be read cut short for a moment: while others run, use neither --force nor "
            "`cabench evaluate` in it."
        )
    if not alone:
        sentences.append(
            "It cannot be shared: it gave one file to two processes that made it. Give each machine a results folder "
            "of its own, and put them together with `cabench merge`."
        )
        return Outcome(sentences, usable=False)
    said, usable = _settle(store, meeting, reaches, touched_s)
    if here == meeting.host:
        said += f" This is what two processes on {here} see; run the command on two machines to know about them."
    return Outcome([*sentences, said], usable)


def _settle(store: ResultsStore, meeting: Meeting, reaches: bool, touched_s: float) -> tuple[str, bool]:
    """See to it that the folder has locks that reach; gives what to say, and whether it has."""
    present = store.locks
    if isinstance(present, Leases):
        if present.lease_s < SPARE * touched_s:
            return (
                f"{store.folder / SETTINGS} says leases of {present.lease_s:g} s, but a process sees after "
                f"{touched_s:.2f} s only that another one lives: set seconds to {SPARE * touched_s:.0f} or more.",
                False,
            )
        return (
            f"{store.folder / SETTINGS} says leases of {present.lease_s:g} s, which need no flock: nothing to do.",
            True,
        )
    if reaches:
        return "flock reaches the other process: nothing to do.", True
    seconds = max(LEASE_S, 10 * math.ceil(SPARE * touched_s / 10))
    # Both look before one of them writes.
    in_use = any(store.is_worked_in(cell) for cell in store.folder.glob("*/*/seed*"))
    if meeting.exchange("in use", in_use) or in_use:
        return (
            "flock does not reach the other process, and processes work in the folder now. Let them end, and start "
            "this command again.",
            False,
        )
    if meeting.is_first:
        write_leases(store.folder, seconds)
    meeting.exchange("settled", True)
    return (
        f"flock does not reach the other process. {SETTINGS} in the folder now says that locks are leases of "
        f"{seconds:g} s, which do without; every process that opens the folder from now on obeys it.",
        True,
    )


def _flock_reaches(meeting: Meeting) -> bool:
    """Whether a lock of one process keeps the other out, both ways."""
    turns = [True, False] if meeting.is_first else [False, True]
    found = [_holds(meeting, str(n)) if ours else _tries(meeting, str(n)) for n, ours in enumerate(turns)]
    return all(found)


def _holds(meeting: Meeting, turn: str) -> bool:
    with suppress(UserError):
        with Flock().hold(_trial(meeting, f"flock {turn}"), 0):
            meeting.exchange(f"held {turn}", True)
            during = meeting.exchange(f"tried {turn}", "")
        meeting.exchange(f"given back {turn}", True)
        after = meeting.exchange(f"tried again {turn}", "")
        return (during, after) == ("busy", "free")
    for subject in ("held", "tried", "given back", "tried again"):
        meeting.exchange(f"{subject} {turn}", "none")
    return False


def _tries(meeting: Meeting, turn: str) -> bool:
    path = _trial(meeting, f"flock {turn}")
    meeting.exchange(f"held {turn}", "")
    during = _tried(path, 0)
    meeting.exchange(f"tried {turn}", during)
    meeting.exchange(f"given back {turn}", "")
    after = _tried(path, PATIENCE_S)
    meeting.exchange(f"tried again {turn}", after)
    return (during, after) == ("busy", "free")


def _tried(path: Path, patience_s: float) -> Tried:
    try:
        with Flock().hold(path, patience_s):
            return "free"
    except Timeout:
        return "busy"
    except (UserError, OSError):
        return "none"


def _makes_files_for_one(meeting: Meeting) -> bool:
    """Whether of two processes that make a file at the same time, one alone succeeds."""
    meeting.exchange("ready to make files", True)
    made = [number for number in range(FILES) if _is_made(_trial(meeting, f"made {number}"))]
    theirs = meeting.exchange("made", made)
    return not set(made) & set(theirs)


def _is_made(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _replaces_files_whole(meeting: Meeting) -> bool:
    """Whether one process finds one version or the next of a file that the other replaces, and nothing else."""
    path = _trial(meeting, "replaced")
    texts = [f"{version:03}" * (1000 + 10 * version) for version in range(VERSIONS)]
    if meeting.is_first:
        write_text(path, texts[0])
        meeting.exchange("replacing", True)
        for text in texts:
            write_text(path, text)
        return bool(meeting.exchange("replaced", True))
    meeting.exchange("replacing", True)
    seen: list[str] = []

    def is_last() -> bool:
        try:
            seen.append(path.read_text(encoding="utf-8"))
        except OSError:
            seen.append("")
        return seen[-1] == texts[-1]

    meeting.wait_until(is_last)
    whole = set(seen) <= set(texts) and seen == sorted(seen)
    meeting.exchange("replaced", whole)
    return whole


def _delay_s(meeting: Meeting, what: Literal["new", "touched"]) -> float:
    """The most seconds after which one process sees that the other has made, or touched, a file.

    It is half of what two ways take, so that no clocks are compared.
    """
    longest = 0.0
    for number in range(ROUNDS):
        there, back = (_trial(meeting, f"{what} {number} {way}") for way in ("there", "back"))
        ours, theirs = (there, back) if meeting.is_first else (back, there)
        if what == "touched":
            ours.touch()
        meeting.exchange(f"{what} {number}", True)
        before = _modified_ns(theirs) if what == "touched" else None
        meeting.exchange(f"{what} {number}, go", True)
        started = time.monotonic()
        if meeting.is_first:
            ours.touch()
        meeting.wait_until(partial(_has_changed, theirs, before))
        if not meeting.is_first:
            ours.touch()
        taken_s = (time.monotonic() - started) / 2
        longest = max(longest, *(meeting.exchange(f"{what} {number}, taken", taken_s), taken_s))
    return longest


def _has_changed(path: Path, before: int | None) -> bool:
    return _modified_ns(path) != before


def _modified_ns(path: Path) -> int | None:
    """The time stamp of a file, as other processes see it that open it; None where they see no file."""
    if not path.exists():  # as a run looks for records
        return None
    with suppress(OSError), path.open("rb") as file:
        return os.fstat(file.fileno()).st_mtime_ns
    return None


def _trial(meeting: Meeting, name: str) -> Path:
    pair = min(meeting.name, meeting.partner)  # new names each time, of which no file system remembers anything
    return meeting.folder / f"{pair}-{name.replace(' ', '-')}.trial"


def _free_gib(folder: Path) -> float:
    return shutil.disk_usage(folder).free / 2**30
