"""HDF5 files from elsewhere: another process reads each of them before this one does.

The HDF5 library trusts what it reads. Of a thousand files with one to eight damaged bytes, about one ends the process
with a segmentation fault, and about one is read for ever (HDF5 2.0). Neither raises an exception, so a whole grid would
be lost to one file. Files that cabench wrote into its own folders are not tried.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py

from cabench.errors import UserError
from cabench.files.hdf5 import UNREADABLE, arrays, check_contents

PIECE = 1 << 22  # bytes of an array that are read at a time
CPU_S = 10  # processor time for the file's structure, which takes milliseconds
BYTES_PER_S = 20e6  # least speed of reading arrays; deflate is ten times as fast on any processor of today


def try_reading(path: Path) -> None:
    """Have another process read all of a file, once for every state in which this process meets it.

    What the library reports itself, such as that the file is no HDF5, is left to whoever reads the file next.

    Raises:
        UserError: when the other process died or ran out of processor time over it.
    """
    if not path.is_file():
        return
    status = path.stat()
    code = _exit_code(path, (status.st_ino, status.st_mtime_ns, status.st_size))
    if code < 0:
        raise UserError(
            f"{path} is damaged: a process that read it as a trial was ended by {signal.Signals(-code).name}. "
            "Write the file again, or get another copy."
        )


@functools.cache
def _exit_code(path: Path, stamp: tuple[int, ...]) -> int:
    command = [sys.executable, "-P", "-m", __name__, str(path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def _read(path: Path) -> None:
    _allow(CPU_S)
    with h5py.File(path, "r") as file:
        check_contents(file)
        found = arrays(file)
        _allow(CPU_S + int(sum(array.nbytes for array in found) / BYTES_PER_S))
        for holder in (file, *found):
            dict(holder.attrs)
        for array in found:
            rows = max(1, PIECE * len(array) // max(array.nbytes, 1))
            for start in range(0, len(array), rows):
                array[start : start + rows]


def _allow(seconds: int) -> None:
    """Have SIGXCPU end this process once it has used so much processor time. Windows has no such limit."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds if most == resource.RLIM_INFINITY else min(seconds, most), most))


if __name__ == "__main__":
    try:
        _read(Path(sys.argv[1]))
    except UNREADABLE:
        sys.exit(1)
