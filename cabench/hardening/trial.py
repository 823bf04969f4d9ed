"""HDF5 files from elsewhere: another process reads each of them before this one does.

The HDF5 library trusts what it reads. Of a thousand files with one to eight damaged bytes, about one ends the process
with a segmentation fault, and about one is read for ever (HDF5 2.0). Neither raises an exception, so a whole grid would
be lost to one file. Files that cabench wrote into its own folders are not tried.

Texts may all point to one, and so be a thousand times as long as the file: where the other process runs out of the
memory that it is allowed, nobody else reads the file.

Of files that other programs write for their own ends, only the places are read that will be used.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import h5py
import psutil

from cabench.errors import UserError
from cabench.files.bounds import most_unpacked
from cabench.files.foreign_hdf5 import Item, items_below
from cabench.files.hdf5 import UNREADABLE, arrays, check_contents, pieces
from cabench.hardening.import_path import import_path

ALL = "--all"  # in place of a path: paths are read from standard input
CPU_S = 10  # processor time for the file's structure, which takes milliseconds
ROOM = 3  # times what a file of its length may unpack to at once: a filter copies it
TOO_MUCH = 3  # exit status of a process that ran out of memory
BYTES_PER_S = 20e6  # least speed of reading arrays; deflate is ten times as fast on any processor of today


def try_reading(path: Path, places: tuple[str, ...] = ()) -> None:
    """Have another process read all of a file, once for every state in which this process meets it.

    What the library reports itself, such as that the file is no HDF5, is left to whoever reads the file next.

    Args:
        path: a data set file; or another HDF5 file, where places are named.
        places: what will be read of it, as paths from the root.

    Raises:
        UserError: when the other process died or ran out of processor time or memory over it.
    """
    if not path.is_file():
        return
    status = path.stat()
    code = _exit_code(path, (status.st_ino, status.st_mtime_ns, status.st_size), places)
    if code < 0:
        raise UserError(
            f"{path} is damaged: a process that read it as a trial was ended by {signal.Signals(-code).name}. "
            "Write the file again, or get another copy."
        )
    if code == TOO_MUCH:
        raise UserError(
            f"{path} takes more memory than a file of {status.st_size:,} bytes may: what it holds unpacks to more than "
            f"{ROOM * most_unpacked(status.st_size):,} bytes at once. Write it again with smaller chunks and shorter "
            "texts."
        )


def lived_through(paths: Sequence[Path]) -> bool:
    """Whether another process read all of some files, one after another, and lived; a process for each takes longer.

    Where it did not, `try_reading` tells of each whether that was the one.

    Args:
        paths: of regular files.
    """
    return not paths or _started([ALL], "\0".join(map(str, paths))) in (0, 1)


@functools.cache
def _exit_code(path: Path, stamp: tuple[int, ...], places: tuple[str, ...] = ()) -> int:
    return _started([str(path), *places], "")


def _started(arguments: Sequence[str], told: str) -> int:
    command = [sys.executable, "-P", "-m", __name__, *arguments]
    environment = os.environ | {"PYTHONPATH": import_path()}
    silent = subprocess.DEVNULL
    return subprocess.run(command, env=environment, input=os.fsencode(told), stdout=silent, stderr=silent).returncode


def _read_all(paths: Iterable[str]) -> None:
    for path in paths:
        try:
            _read(Path(path))
        except UNREADABLE as error:
            if _is_of_memory(error):
                raise


def _read(path: Path, *places: str) -> None:
    _allow(CPU_S)
    _allow_memory(ROOM * most_unpacked(path.stat().st_size))
    with h5py.File(path, "r") as file:
        items = items_below(file, places) if places else _own_arrays(file)
        found = [item for item in items if isinstance(item, h5py.Dataset)]
        _allow(CPU_S + int(sum(array.nbytes for array in found) / BYTES_PER_S))
        for holder in (file, *items):
            dict(holder.attrs)
        for array in found:
            for _ in pieces(array):
                pass


def _own_arrays(file: h5py.File) -> list[Item]:
    check_contents(file)
    return list(arrays(file))


def _allow(seconds: int) -> None:
    """Have SIGXCPU end this process once it has used so much more processor time. Windows has no such limit."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    seconds += int(time.process_time())  # for other files
    resource.setrlimit(resource.RLIMIT_CPU, (seconds if most == resource.RLIM_INFINITY else min(seconds, most), most))


def _allow_memory(size: int) -> None:
    """Have this process take so many bytes more than it has, where the system has such a limit."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    size += psutil.Process().memory_info().vms
    with suppress(OSError, ValueError):  # some systems know the limit and refuse to set it
        resource.setrlimit(resource.RLIMIT_AS, (size if most == resource.RLIM_INFINITY else min(size, most), most))


def _is_of_memory(error: Exception) -> bool:
    """Whether the library gives that as the reason, which stands in brackets; a path there is in quotes."""
    return re.search(r"\([^()']*alloc[^()']*\)", re.sub(r"name = '.*'", "", str(error))) is not None


if __name__ == "__main__":
    try:
        if sys.argv[1] == ALL:
            _read_all(os.fsdecode(sys.stdin.buffer.read()).split("\0"))
        else:
            _read(Path(sys.argv[1]), *sys.argv[2:])
    except MemoryError:
        sys.exit(TOO_MUCH)
    except UNREADABLE as error:
        sys.exit(TOO_MUCH if _is_of_memory(error) else 1)
