"""The cache folder: built data sets, downloaded sources, and SHA-256 of files and folders.

Digests are kept because sources may be large: a folder of 11 GB is read once and not by every command.

Caches are shared: in one, nothing but plain files and folders is read or written, see `cabench.files.regular`. In
folders of raw data that a user names, linked files are read.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import platformdirs
from typing_extensions import TypedDict

from cabench.errors import UserError
from cabench.files.atomic import write_text
from cabench.files.json import canonical_json, digest, read_json
from cabench.files.regular import plain

# The coarsest time stamps in use, those of FAT, count in two seconds. A younger file may change again without a new
# time stamp, so its digest is not kept.
SETTLED_NS = 2_000_000_000


def cache_folder() -> Path:
    """The cache folder: `CABENCH_CACHE` if it is set, else the platform's user cache. It may not exist yet.

    Raises:
        UserError: when neither is there, as in a container whose user has no name and no home.
    """
    try:
        chosen = os.environ.get("CABENCH_CACHE") or platformdirs.user_cache_dir("cabench", appauthor=False)
    except RuntimeError as error:
        raise UserError(
            "This user has no home folder, so that there is no place for the cache; set CABENCH_CACHE to a folder that "
            "can be written to."
        ) from error
    return Path(chosen).absolute()


def download_folder() -> Path:
    """Where raw data is downloaded to when the user names no folder of their own. It may not exist yet."""
    return cache_folder() / "sources"


def checked(path: Path) -> Path:
    """A path, after a check of one that is in the cache folder.

    Raises:
        UserError: when it is a link there, or a link is on the way to it.
    """
    folder = cache_folder()
    if not path.is_relative_to(folder):
        return path
    try:
        return plain(path, below=folder)
    except UserError as error:
        raise UserError(f"{error} The cache as a whole may be a link, and CABENCH_CACHE moves it.") from error


def cache_warnings() -> list[str]:
    """A sentence where everybody on the machine can put files into the cache folder."""
    folders = [cache_folder(), cache_folder() / "datasets", download_folder()]
    return [
        f"Everybody on this machine can write to {folder}, and so decide what data sets hold; `chmod o-w` ends that."
        for folder in folders
        if sys.platform != "win32" and folder.is_dir() and folder.stat().st_mode & stat.S_IWOTH
    ][:1]


class Listed(NamedTuple):
    """A file in a listing, with what changes when somebody writes to it, or puts another in its place.

    Whoever writes to a file can set back when it was modified, and not when it was changed.

    Attributes:
        name: its path below the listed folder, with forward slashes; "" for a file that was listed itself.
        size: in bytes.
        modified_ns: nanoseconds since 1970.
        changed_ns: likewise; on Windows when it was made.
        inode: its number on the file system.
    """

    name: str
    size: int
    modified_ns: int
    changed_ns: int
    inode: int


class _Kept(TypedDict):
    """What the cache keeps of a path: its digest, a digest of the listing at that time, and one of all this."""

    path: str
    seen: str
    sha256: str
    seal: str


def listing(path: Path) -> list[Listed]:
    """The file itself, or every file below a folder, sorted by the parts of its path; linked folders are left out.

    Raises:
        OSError: for a path that cannot be read.
        UserError: for a link in the cache folder.
    """
    if not checked(path).is_dir():
        return [_listed("", path.stat())]
    linked = checked if path.is_relative_to(cache_folder()) else Path  # elsewhere a link is as good as a file
    # Text and scandir: with an object of pathlib for each file this takes five times as long.
    return sorted(_below(str(path), "", linked), key=lambda file: file.name.split("/"))


def content_digest(path: Path) -> str:
    """SHA-256 of a file's content, or of the names and contents of all files below a folder, as 64 hexadecimal digits.

    It is taken from the cache folder if every file still has the name, size, time stamps and inode that it had when the
    digest was computed; else the files are read. Several processes may ask at once; each then reads for itself.

    Raises:
        OSError, UserError: as `listing` does.
    """
    now = time.time_ns()
    files = listing(path)
    seen = _seen(files)
    kept = _kept_at(path)
    known = _known(kept, seen)
    if known is not None:
        return known
    computed = _computed(path, files)
    settled = all(max(file.modified_ns, file.changed_ns) < now - SETTLED_NS for file in files)
    if settled and _seen(listing(path)) == seen:
        content = {"path": str(path.resolve()), "seen": seen, "sha256": computed}
        # A cache that cannot be written to only costs time here; building a data set there reports it.
        with suppress(OSError):
            write_text(kept, canonical_json({**content, "seal": digest(content)}))
    return computed


def _listed(name: str, status: os.stat_result) -> Listed:
    return Listed(name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _below(folder: str, prefix: str, linked: Callable[[Path], object]) -> Iterator[Listed]:
    """Every file below a folder; `linked` is called with each link."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                linked(Path(entry.path))
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, f"{prefix}{entry.name}/", linked)
            elif entry.is_file():
                yield _listed(prefix + entry.name, entry.stat())


def _seen(files: Sequence[Listed]) -> str:
    return digest([list(file) for file in files])


def _kept_at(path: Path) -> Path:
    return checked(cache_folder() / "digests" / f"{digest(str(path.resolve()))[:32]}.json")


def _known(kept: Path, seen: str) -> str | None:
    """The digest that was kept for the files as they are now; None if there is none or it is damaged."""
    try:
        content = read_json(kept, _Kept)
    except (OSError, ValueError):
        return None
    sealed = {name: value for name, value in content.items() if name != "seal"}
    return content["sha256"] if content["seal"] == digest(sealed) and content["seen"] == seen else None


def _computed(path: Path, files: Sequence[Listed]) -> str:
    result = hashlib.sha256()
    for file in files:
        result.update(os.fsencode(file.name))
        with (path / file.name).open("rb") as stream:
            while block := stream.read(1 << 20):
                result.update(block)
    return result.hexdigest()
