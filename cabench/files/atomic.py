"""Files that appear whole or not at all: each is written under a temporary name in its folder, then renamed.

A file that takes the place of another gets its permissions; a new one those that the umask leaves.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

import safetensors

# Of `os.open`: a link is refused, a pipe not waited for.
NO_LINK_NO_PIPE = os.O_NOFOLLOW | os.O_NONBLOCK if sys.platform != "win32" else 0


class StorageError(OSError):
    """A file could not be written: the disk is full, or the folder read-only or gone. The content is not at fault."""


@contextmanager
def storing() -> Iterator[None]:
    """Turn a failure to write inside the block into a `StorageError`.

    Raises:
        StorageError: for an OSError, and for the error that safetensors raises in its place.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        known = error.errno is not None
        raise StorageError(*(error.errno, error.strerror, error.filename) if known else error.args) from error
    except safetensors.SafetensorError as error:
        raise StorageError(str(error)) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; put it in place of `path` when the block ends without error.

    Content and name are flushed to disk, in this order: a crash at any moment leaves the old file or the new one, and
    files are replaced in the order of the calls. A block that raises leaves the old file and no temporary one; a killed
    process leaves a temporary one, see `remove_left_behind`.

    Raises:
        StorageError: when the folder cannot be written to.
    """
    with storing():
        _make_folder(path.parent)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=_SUFFIX, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _flush(temporary)
            permissions = _permissions(path)  # of a new file, for which mkstemp lets its owner alone in, the umask's
            temporary.chmod(0o666 & ~_umask() if permissions is None else permissions)
            temporary.replace(path)
            _flush_names(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_nameless(path: Path) -> Iterator[int]:
    """Likewise, but give the descriptor of an empty file that gets a name when the block ends without error.

    So a killed process leaves nothing. Where system or disk have no files without a name, it has a temporary one.

    Raises:
        StorageError: when the folder cannot be written to.
    """
    with storing():
        _make_folder(path.parent)
        try:
            handle = os.open(path.parent, os.O_TMPFILE | os.O_RDWR, 0o666)
        except (AttributeError, OSError):  # no such files here, or nothing can be written: `replacing` says which
            with replacing(path) as temporary, temporary.open("r+b") as file:
                yield file.fileno()
            return
        temporary = path.with_name(f"{_prefix(path)}{secrets.token_hex(8)}{_SUFFIX}")
        try:
            yield handle
            if (permissions := _permissions(path)) is not None:  # a new file has those that the folder gives it
                os.fchmod(handle, permissions)
            os.fsync(handle)
            # Giving a name does not replace a file, renaming does. With a folder's descriptor, links are followed.
            os.link(f"/proc/self/fd/{handle}", temporary, src_dir_fd=handle, follow_symlinks=True)
            temporary.replace(path)
            _flush_names(path.parent)
        finally:
            os.close(handle)
            temporary.unlink(missing_ok=True)


def remove_left_behind(path: Path) -> None:
    """Delete the temporary files of processes killed while replacing `path`. No process may be replacing it now.

    Raises:
        OSError: when the folder cannot be written to.
    """
    for left in path.parent.glob(f"{escape(_prefix(path))}*{_SUFFIX}"):
        left.unlink()


def remove_all_left_behind(folder: Path) -> None:
    """Delete the temporary files of killed processes in a folder, which need not exist."""
    for left in folder.glob(f".*{_SUFFIX}"):
        left.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all: the same bytes on every system."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, which is made if it is missing. A kill may cut the line short.

    Raises:
        StorageError: when that is not possible, or `path` is a link, whose target may not be ours.
    """
    with storing():
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_LINK_NO_PIPE, 0o666)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def stamp(path: Path) -> str | None:
    """A text that changes when a file is replaced, whatever the clock says; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"


_SUFFIX = ".tmp"


def _prefix(path: Path) -> str:
    return f".{path.name}."


def _make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, flushed to disk from the top."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_names(folder.parent)


def _flush(path: Path) -> None:
    """Wait until a file's content is on the disk. Windows flushes only what is open for writing."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Windows opens no folders."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _permissions(path: Path) -> int | None:
    """Those of the file that is there; None where there is none."""
    with suppress(OSError):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            return mode & 0o777
    return None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
