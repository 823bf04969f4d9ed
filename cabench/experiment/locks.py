"""How the processes that share a results folder keep out of each other's cells: by flock(2), or by leases.

The system frees a flock when its holder dies. It reaches other machines where the file system passes it on between
its clients: NFS 4 does, Lustre mounted with `-o flock`, CephFS. Where it does not, a holder makes a file that only one
process can make (`O_EXCL`) and touches it every few seconds; who has watched it unchanged for a whole lease takes it
away. Only spans of time on one's own clock are compared.

Which of the two it is stands in `locks.toml` in the results folder, which `cabench check-store` writes where `flock`
does not reach. Every process that opens the folder obeys it; without the file it is flock.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil
from filelock import FileLock, LeaseSettingsMismatch, SoftFileLease, Timeout

from cabench.config import read_toml
from cabench.errors import UserError
from cabench.files.atomic import NO_LINK_NO_PIPE, StorageError, write_text
from cabench.files.regular import is_regular, plain

SETTINGS = "locks.toml"
# A client of NFS may show another's touch of a file up to 60 s late (acregmax), and a call of a library that holds
# Python's lock may keep the holder from touching it. Longer leases cost time where a machine dies, and nothing else.
LEASE_S = 120.0
TOUCHES = 6  # in the time of a lease
POLL_S = 0.5


class Locks(Protocol):
    """The kind of lock of a results folder."""

    @property
    def lease_s(self) -> float:
        """The seconds after which the lock of a holder that died on another machine is free."""

    def hold(self, path: Path, patience_s: float) -> AbstractContextManager[None]:
        """Hold the lock at a path in a folder that exists, inside the block.

        Args:
            path: of the lock; files beside it whose names start with its name may belong to it.
            patience_s: how long to wait for another process.

        Raises:
            filelock.Timeout: when another process holds it; at the end of the block, when another has taken it over
                meanwhile and `check_held` told so.
            UserError: when the folder cannot have such locks.
            OSError: when there can be no lock.
        """

    def is_held(self, path: Path) -> bool:
        """Whether a living process holds the lock, as far as can be known at once."""

    def check_held(self, path: Path) -> None:
        """Make sure that this process still holds the lock.

        Raises:
            StorageError: when its folder was removed, or the lock was lost.
        """


class LeaseLostError(StorageError):
    """This process was stopped, or its disk did not answer, for longer than its lease; another may hold it now."""


def locks_of(results: Path) -> Locks:
    """The locks of a results folder, as its `locks.toml` says.

    Raises:
        UserError: when that file is a link, cannot be read or says something else.
    """
    path = results / SETTINGS
    if not os.path.lexists(path):
        return Flock()
    try:
        if not is_regular(plain(path, below=results)):
            raise ValueError("it is no regular file")
        content = read_toml(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it, and start `cabench check-store`.") from error
    match content:
        case {"kind": "flock", **more} if not more:
            return Flock()
        case {"kind": "lease", "seconds": int() | float() as seconds, **more} if not more and 1 <= seconds <= 86_400:
            return Leases(float(seconds))
    raise UserError(
        f'{path} does not say how to lock; it may hold kind = "flock" alone, or kind = "lease" and seconds = 120, from '
        "1 to 86400. Correct it, or remove it and start `cabench check-store`."
    )


def write_leases(results: Path, seconds: float) -> None:
    """Have all processes that open a results folder from now on use leases of so many seconds.

    Raises:
        StorageError: when the folder cannot be written to.
    """
    write_text(
        results / SETTINGS,
        "# How processes that share this results folder lock its cells: written by `cabench check-store`, because\n"
        "# flock does not reach all of them. Change it only while no process works in the folder.\n"
        f'kind = "lease"\nseconds = {seconds:g}  # after which the cell of a machine that died is free\n',
    )


@dataclass(frozen=True)
class Flock:
    """Locks by flock(2), which the system frees."""

    lease_s = 0.0

    @contextmanager
    def hold(self, path: Path, patience_s: float) -> Iterator[None]:
        """See `Locks`."""
        # Without flock the library would fall back on a file that outlives a holder on another machine.
        lock = FileLock(path, timeout=patience_s, fallback_to_soft=False)
        try:
            lock.acquire()
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
                raise
            raise UserError(
                f"There are no locks by flock in {path.parent} ({error.strerror}); `cabench check-store` sets up "
                "leases in a results folder, which do without."
            ) from error
        try:
            _flocked[path] = _inode(path)
            yield
        finally:
            _flocked.pop(path, None)
            lock.release()

    def is_held(self, path: Path) -> bool:
        """See `Locks`. This takes the lock for a moment."""
        if not path.exists():
            return False
        try:
            with FileLock(path, timeout=0, fallback_to_soft=False):
                return False
        except Timeout:
            return True
        except OSError:  # a folder that can be read and not written, in which nobody can work from here
            return False

    def check_held(self, path: Path) -> None:
        """See `Locks`."""
        try:
            inode = _inode(path)
        except OSError as error:
            raise StorageError(f"{path} cannot be looked at: {error.strerror}") from error
        if inode is None or inode != _flocked.get(path):  # another process can hold what is there now
            raise StorageError(f"{path} was removed meanwhile")


@dataclass(frozen=True)
class Leases:
    """Locks by files that their holders touch.

    Two may hold one lease at a time, if the first was stopped for longer than it lasts; it then finds out at
    `check_held`, before each file that it writes. What is written into a cell's folder is whole, and with equal threads
    on a processor equal, whoever writes it.

    Attributes:
        lease_s: how long a lease lasts without a sign of life; all processes must agree on it.
    """

    lease_s: float

    @contextmanager
    def hold(self, path: Path, patience_s: float) -> Iterator[None]:
        """See `Locks`."""
        place = _place(path)
        lease = self._acquired(place, patience_s)
        _held[place] = lease
        try:
            yield
        except LeaseLostError as error:
            raise Timeout(str(place)) from error
        finally:
            del _held[place]
            lease.release()

    def is_held(self, path: Path) -> bool:
        """See `Locks`. What nobody touches counts as held until this process has watched it for a whole lease."""
        place = _place(path)
        mark = _Mark.read(place)
        return mark is not None and not self._is_abandoned(place, mark)

    def check_held(self, path: Path) -> None:
        """See `Locks`."""
        lease = _held.get(_place(path))
        if lease is None or lease.compromise is not None or not lease.is_lock_held_by_us:
            raise LeaseLostError(f"{path.parent} was taken over by another process meanwhile, or removed")

    def _acquired(self, place: Path, patience_s: float) -> SoftFileLease:
        lease = SoftFileLease(place, lease_duration=self.lease_s, heartbeat_interval=self.lease_s / TOUCHES)
        deadline = time.monotonic() + patience_s
        while True:
            left = deadline - time.monotonic()
            try:
                lease.acquire(timeout=min(max(left, 0.0), POLL_S))
                return lease
            except Timeout:
                if not self._is_taken_away(place) and left <= 0:
                    raise
            except LeaseSettingsMismatch as error:
                raise UserError(
                    f"Another process holds {place} for another time than {SETTINGS} says. Change that file only while "
                    "no process works in the folder."
                ) from error

    def _is_taken_away(self, place: Path) -> bool:
        """Remove the file of a lease whose holder is dead; gives whether that was done.

        filelock does this by exchanging two names, which NFS, Lustre, CephFS and most others cannot; there it never
        takes a lease over. Of several processes, one at a time looks at the file a second time and removes it.
        """
        mark, guard = _Mark.read(place), _place(place)
        if mark is None or not self._is_abandoned(place, mark):
            return False
        guarding = _Mark.read(guard)
        if guarding is not None and self._is_abandoned(guard, guarding):
            guard.unlink(missing_ok=True)
        with suppress(Timeout), SoftFileLease(guard, timeout=0, lease_duration=self.lease_s):
            if _Mark.read(place) == mark:
                place.unlink(missing_ok=True)
                return True
        return False

    def _is_abandoned(self, place: Path, mark: _Mark) -> bool:
        """Whether a lease's holder died on this machine, or has not touched it for a whole lease."""
        now = time.monotonic()
        first = _watched.get(place)
        if first is None or first[0] != mark:
            first = _watched[place] = mark, now
        return now - first[1] > self.lease_s or mark.holder_died_here()


class _Mark(NamedTuple):
    """What changes in the file of a lease when another process takes it, or its holder touches it.

    Attributes:
        token: of the holder's claim; "" where the file cannot be read.
        pid: of the holder.
        host: of the holder, in the spelling of filelock.
        boot: of the holder's machine, 0 where it is not known.
        modified_ns: the file's time stamp.
    """

    token: str
    pid: int
    host: str
    boot: int
    modified_ns: int

    @classmethod
    def read(cls, place: Path) -> _Mark | None:
        """What stands at a place; None where there is no file."""
        try:
            # Of a file that is opened, network file systems show what is there now; of others, what they remember.
            # They may say only afterwards that another machine has removed it.
            handle = os.open(place, os.O_RDONLY | NO_LINK_NO_PIPE)
            try:
                modified_ns = os.fstat(handle).st_mtime_ns
            finally:
                os.close(handle)
        except OSError as error:
            return cls("", 0, "", 0, 0) if place.is_symlink() or error.errno == errno.EACCES else None
        owner = SoftFileLease(place).owner
        if owner is None:
            return cls("", 0, "", 0, modified_ns)
        return cls(owner.token or "", owner.pid, owner.hostname, (owner.start or 0) >> 64, modified_ns)

    def holder_died_here(self) -> bool:
        """Whether the holder was a process of this machine, since it last booted, that is no more."""
        if self.pid == 0 or psutil.pid_exists(self.pid):
            return False
        ours = _own_mark()
        return ours is not None and self.boot != 0 and (self.host, self.boot) == (ours.host, ours.boot)


# Inodes of files that this process holds by flock. While they are open, no other file gets them.
_flocked: dict[Path, int | None] = {}
# Files of leases that this process holds, and what it has seen since when of those that others hold.
_held: dict[Path, SoftFileLease] = {}
_watched: dict[Path, tuple[_Mark, float]] = {}


def _inode(path: Path) -> int | None:
    """Of what is at a path; None where there is nothing."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return path.lstat().st_ino
    return None


def _place(path: Path) -> Path:
    """The file of a lease. It is not that of flock, which stays where no process holds it."""
    return path.with_name(f"{path.name}.lease")


@cache
def _own_mark() -> _Mark | None:
    """What filelock writes of this process."""
    with tempfile.TemporaryDirectory() as folder, SoftFileLease(Path(folder) / "own"):
        return _Mark.read(Path(folder) / "own")
