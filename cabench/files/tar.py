"""Reading tar archives from elsewhere, which Python's reader trusts to be as long as they say."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from typing import BinaryIO, Protocol, cast

from cabench.files.bounds import MIB, TooLargeError

LONGEST_HEADER = MIB  # of a member, with all that go before it and lengthen its name or add to it
DAMAGED = (
    *(tarfile.TarError, zlib.error, LZMAError, EOFError, OSError, ValueError, KeyError, IndexError, RuntimeError),
    *(OverflowError, NotImplementedError),
)
"""What Python's readers raise for damaged archives; too many headers before a member are a RecursionError."""


class _Stream(Protocol):
    """What gives bytes, can tell at which it is, and go to another."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, fewer at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a byte."""

    def tell(self) -> int:
        """Which byte comes next."""


class _Bounded:
    """A stream that gives no more than headers may have, which are read in a row, until it is told to go to a byte."""

    def __init__(self, stream: _Stream) -> None:
        self._stream, self._room = stream, LONGEST_HEADER
        self.tell = stream.tell

    def seek(self, offset: int) -> int:
        if offset < self._stream.tell():  # of a member of negative size: its header would be read for ever
            raise ValueError("a member ends before it begins")
        self._room = LONGEST_HEADER
        return self._stream.seek(offset)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._room:
            raise TooLargeError(f"a header declares {size:,} bytes, of {LONGEST_HEADER:,} that are allowed")
        self._room -= size
        return self._stream.read(size)


class _Archive(tarfile.TarFile):
    """An archive that forgets each header once the next is asked for, as of many files they fill the memory."""

    def next(self) -> tarfile.TarInfo | None:
        """The next member; None at the end."""
        self.members.clear()  # type: ignore[attr-defined]
        self.pax_headers = {}  # of all members, such as a comment
        self.fileobj.seek(self.fileobj.tell())  # the room for headers is full again
        return super().next()


@contextmanager
def reading_tar(stream: _Stream) -> Iterator[tarfile.TarFile]:
    """Give an unpacked archive, of which `next` gives member after member; contents are read a megabyte at a time.

    Args:
        stream: the unpacked content.

    Raises:
        TooLargeError: where headers declare more than a megabyte for a member.
        what `DAMAGED` holds: for an archive that is none.
    """
    with _Archive.open(fileobj=cast("BinaryIO", _Bounded(stream)), mode="r:") as archive:
        yield archive
