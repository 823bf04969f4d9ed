"""Archives from elsewhere: what their headers declare is bounded, and damage is raised as what is known."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence

import pytest

from cabench.files.bounds import MIB, TooLargeError
from cabench.files.tar import DAMAGED, reading_tar


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def header_of_size(size: int) -> bytes:
    """Of a regular file, in GNU's binary form, which numbers below 0 have."""
    content = bytearray(header(tarfile.REGTYPE, 0))
    content[124:136] = (256**12 + size).to_bytes(12, "big")[-12:]
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content)
    return bytes(content)


def long_name(size: int) -> bytes:
    return header(tarfile.GNUTYPE_LONGNAME, size) + b"n" * size + bytes(-size % 512)


def names(content: bytes) -> Sequence[str]:
    found = []
    with reading_tar(io.BytesIO(content + bytes(1024))) as archive:
        while (member := archive.next()) is not None:
            found.append(member.name)
    return found


def test_members_come_one_by_one_and_are_forgotten() -> None:
    content = header(tarfile.REGTYPE, 600, "first") + bytes(1024) + header(tarfile.REGTYPE, 3, "second") + bytes(512)
    with reading_tar(io.BytesIO(content + bytes(1024))) as archive:
        first = archive.next()
        assert first is not None
        assert len(archive.extractfile(first).read()) == 600  # type: ignore[union-attr]
        second = archive.next()
        assert second is not None
        assert (first.name, second.name) == ("first", "second")
        assert len(archive.members) == 1  # type: ignore[attr-defined]
        assert archive.next() is None


def test_many_empty_members_are_no_long_header() -> None:
    assert len(names(header(tarfile.DIRTYPE, 0) * 3000)) == 3000


def test_a_content_longer_than_a_header_is_read() -> None:
    content = header(tarfile.REGTYPE, 3 * MIB) + bytes(3 * MIB)
    with reading_tar(io.BytesIO(content + bytes(1024))) as archive:
        member = archive.next()
        assert member is not None
        file = archive.extractfile(member)
        assert file is not None
        assert [len(file.read(MIB)) for _ in range(4)] == [MIB, MIB, MIB, 0]


def test_comments_of_all_members_are_forgotten() -> None:
    comment = b"900000 comment=".ljust(899_999, b"x") + b"\n"
    pair = header(tarfile.XGLTYPE, len(comment)) + comment + bytes(-len(comment) % 512) + header(tarfile.DIRTYPE, 0)
    with reading_tar(io.BytesIO(pair * 3 + bytes(1024))) as archive:
        while archive.next() is not None:
            assert sum(map(len, archive.pax_headers.values())) < 1_000_000


def test_a_long_name_is_read() -> None:
    assert names(long_name(5000) + header(tarfile.REGTYPE, 0)) == ["n" * 5000]


@pytest.mark.parametrize(
    "content",
    [
        header(tarfile.XHDTYPE, 1500 * MIB),
        header(tarfile.XGLTYPE, 1500 * MIB),
        header(tarfile.GNUTYPE_LONGNAME, 1500 * MIB),
        long_name(MIB // 3) * 5,
    ],
    ids=["of a member", "of all members", "a name", "several in a row"],
)
def test_headers_of_more_than_a_megabyte_are_refused_unread(content: bytes) -> None:
    with pytest.raises(TooLargeError, match=r"a header declares .* bytes, of 1,048,576 that are allowed"):
        names(content)


@pytest.mark.parametrize(
    "content",
    [
        long_name(9) * 1000,
        b"no archive",
        header(tarfile.DIRTYPE, 0) + header_of_size(-512),
        header(tarfile.XHDTYPE, 30) + b"26 GNU.sparse.map=abc\n".ljust(512, b"\0") + header(tarfile.REGTYPE, 0),
        header(tarfile.XHDTYPE, 30) + b"25 GNU.sparse.size=abc\n".ljust(512, b"\0") + header(tarfile.REGTYPE, 0),
    ],
    ids=["headers without end", "none", "a size below 0", "a map", "a size"],
)
def test_damage_is_raised_as_what_is_known(content: bytes) -> None:
    with pytest.raises(DAMAGED):
        names(content)
