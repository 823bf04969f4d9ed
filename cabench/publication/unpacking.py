"""Archives from elsewhere, unpacked without trusting them.

Nothing but regular files of the names in `cabench.publication.layout` is written, each where its name says, below one
folder. Sizes and numbers are looked at before anything is written, and what the archive declares is not exceeded:
neither by a bomb of zeros, nor by headers that are as long as a disk.
"""

from __future__ import annotations

import gzip
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from cabench.files.atomic import StorageError, storing
from cabench.files.bounds import TooLargeError
from cabench.files.tar import DAMAGED as TAR_DAMAGED
from cabench.files.tar import LONGEST_HEADER, reading_tar
from cabench.publication.archive import TAR
from cabench.publication.layout import MOST_BYTES, MOST_FILES, ROOT, belongs, largest

DAMAGED = (*TAR_DAMAGED, zipfile.BadZipFile)
"""What the libraries raise for damaged archives, passwords and unknown kinds of compression."""


class _Member(NamedTuple):
    """What an archive says of a member.

    Attributes:
        name: as it is written there.
        size: in bytes, when unpacked.
        kind: "file", "folder", or in words what else it is.
        content: for reading; None for what is not a file.
    """

    name: str
    size: int
    kind: str
    content: BinaryIO | None


class _RefusedError(Exception):
    """Of an archive of which nothing more is read; the message is a clause."""


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack what belongs to a published archive, into an empty folder.

    Args:
        archive: the file; by its suffix a zip, or else a compressed tar.
        folder: an empty one. Files come to stand there by their names below the root.

    Returns:
        Sentences on what was not unpacked, and why. After a size or number that is not allowed, or damage, what was
        unpacked before is there.

    Raises:
        StorageError: when the folder cannot be written to.
    """
    findings: list[str] = []
    room = min(MOST_BYTES, shutil.disk_usage(folder).free // 2)
    members = _tar_members if archive.name.endswith(TAR) else _zip_members
    try:
        for number, member in enumerate(members(archive)):
            if number == MOST_FILES:
                raise _RefusedError(f"it has more than {MOST_FILES:,} members")
            room -= _checked_size(member, room)
            if reason := _refusal(member, folder):
                findings.append(f"{archive.name}: the member {member.name[:200]!r} {reason}.")
            elif member.content is not None:
                _write(member.content, folder / _below_root(member.name))
    except StorageError:
        raise
    except (_RefusedError, TooLargeError) as reason:
        findings.append(f"{archive.name}: {reason}; nothing more of it was read.")
    except DAMAGED as error:
        findings.append(f"{archive.name} is damaged or cut short ({error or type(error).__name__}).")
    return findings


def _checked_size(member: _Member, room: int) -> int:
    """The size of a member that may be read.

    Raises:
        _RefusedError: for one that is too large for its name, or for the room that is left.
    """
    size, most = member.size, largest(member.name)
    if not 0 <= size <= most:
        raise _RefusedError(f"the member {member.name[:200]!r} declares {size:,} bytes, of {most:,} that are allowed")
    if size > room:
        raise _RefusedError("its members declare more bytes than are allowed, or than half of the room on disk")
    return size


def _refusal(member: _Member, folder: Path) -> str:
    """Why a member is not unpacked; "" for folders, and for files that are."""
    if member.kind == "folder":
        return ""
    if member.kind != "file":
        return f"is {member.kind}, and only regular files are unpacked"
    if not member.name.startswith(f"{ROOT}/") or not belongs(_below_root(member.name)):
        return "is no file of a published archive, and was left out"
    return "is there twice" if (folder / _below_root(member.name)).exists() else ""


def _below_root(name: str) -> str:
    return name.removeprefix(f"{ROOT}/")


def _write(content: BinaryIO, place: Path) -> None:
    with storing():
        place.parent.mkdir(parents=True, exist_ok=True)
        out = place.open("xb")
    with content, out:
        while piece := content.read(LONGEST_HEADER):
            with storing():
                out.write(piece)


def _tar_members(archive: Path) -> Iterator[_Member]:
    with gzip.open(archive) as stream, reading_tar(stream) as members:
        while (member := members.next()) is not None:
            yield _Member(member.name, member.size, _tar_kind(member), _tar_content(members, member))
        stream.read(LONGEST_HEADER)  # to the end, where gzip compares all of it with its checksum
        if stream.read(1):
            raise _RefusedError("it goes on behind its last member")


def _tar_content(members: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO | None:
    return cast("BinaryIO | None", members.extractfile(member)) if _tar_kind(member) == "file" else None


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.isdir():
        return "folder"
    if member.issym() or member.islnk():
        return "a link"
    is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    return "file" if is_plain else "a device, a pipe or of another kind"


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as members:
        if len(members.infolist()) > MOST_FILES:
            raise _RefusedError(f"it has more than {MOST_FILES:,} members")
        for member in members.infolist():
            kind = _zip_kind(member)
            # A size beyond what is allowed is refused before anything is opened.
            content = members.open(member) if kind == "file" and belongs(_below_root(member.filename)) else None
            yield _Member(member.filename, member.file_size, kind, cast("BinaryIO | None", content))


def _zip_kind(member: zipfile.ZipInfo) -> str:
    if member.is_dir():
        return "folder"
    written = stat.S_IFMT(member.external_attr >> 16)
    if written == stat.S_IFLNK:
        return "a link"
    if written not in (0, stat.S_IFREG):
        return "a device, a pipe or of another kind"
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "encrypted or compressed in another way"
    return "file"
