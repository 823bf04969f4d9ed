"""Archives whose bytes follow from their content alone: names in order, no times, no owners, the same modes.

Compressed bytes also depend on zlib: another release of it may pack the same content otherwise.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from cabench.errors import UserError
from cabench.files.atomic import replacing_nameless
from cabench.publication.layout import ROOT
from cabench.publication.manifest import FileEntry, opened, pieces

TAR, ZIP = ".tar.gz", ".zip"
SUFFIXES = (TAR, ZIP)
LEVEL = 6  # of compression
MODE = 0o644  # of every file
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the first that zip knows
_Add = Callable[[str, BinaryIO, int], None]


def check_suffix(path: Path) -> None:
    """Refuse a name that tells no kind of archive.

    Raises:
        UserError: saying which there are.
    """
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"The archive {str(path)!r} must end in {' or '.join(SUFFIXES)}.")


def write_archive(path: Path, contents: Mapping[str, Path | bytes], entries: Mapping[str, FileEntry]) -> None:
    """Write an archive, whole or not at all, over what is there.

    Args:
        path: the archive; its suffix says of which kind.
        contents: by name below the root, a file or what is to become one.
        entries: by the same names, what each must be.

    Raises:
        UserError: for a file that cannot be read, or is no longer what its entry says.
        StorageError: when the archive cannot be written.
    """
    check_suffix(path)
    adding = _adding_to_tar if path.name.endswith(TAR) else _adding_to_zip
    with replacing_nameless(path) as handle, open(handle, "wb", closefd=False) as file, adding(file) as add:
        for name in sorted(contents):
            with opened(contents[name]) as stream:
                hashing = _Hashing(stream, entries[name]["size"])
                add(f"{ROOT}/{name}", cast("BinaryIO", hashing), entries[name]["size"])
                if not hashing.is_as(entries[name]):
                    raise UserError(f"{contents[name]!s} changed while it was published; publish once nobody writes.")


class _Hashing:
    """Gives a file of known size as it is read, and nothing beyond that size; a shorter one is filled up."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._left, self._found = stream, size, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end."""
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._stream.read(wanted)
        self._found.update(piece)
        self._left -= wanted
        return piece + bytes(wanted - len(piece))

    def is_as(self, entry: FileEntry) -> bool:
        """Whether the file was what its entry says."""
        return self._found.hexdigest() == entry["sha256"] and not self._stream.read(1)


@contextmanager
def _adding_to_tar(file: BinaryIO) -> Iterator[_Add]:
    with (
        gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):

        def add(name: str, stream: BinaryIO, size: int) -> None:
            member = tarfile.TarInfo(name)  # which has time and owners 0
            member.size, member.mode = size, MODE
            archive.addfile(member, stream)

        yield add


@contextmanager
def _adding_to_zip(file: BinaryIO) -> Iterator[_Add]:
    with zipfile.ZipFile(file, "w", compresslevel=LEVEL) as archive:

        def add(name: str, stream: BinaryIO, size: int) -> None:
            member = zipfile.ZipInfo(name, ZIP_TIME)
            member.file_size, member.compress_type = size, zipfile.ZIP_DEFLATED
            member.create_system, member.external_attr = 3, (0o100000 | MODE) << 16  # a regular file, as Unix has it
            with archive.open(member, "w") as out:
                for piece in pieces(stream):
                    out.write(piece)

        yield add
