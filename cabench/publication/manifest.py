"""The manifest of an archive: SHA-256 and size of each of its files, and in short what cells there are.

It finds what was damaged or forgotten. Whoever changes an archive can change the manifest too; that is found by the
checks of `cabench.publication.verify`, and by the hash of the archive, which its publisher tells.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.files.json import read_json
from cabench.files.regular import open_regular

SCHEMA = 1
LIBRARIES = ("cabench", "h5py", "numpy", "scikit-learn", "scipy", "torch", "torchvision")
PIECE = 1 << 20  # bytes that are read at a time

_nothing_else = with_config(ConfigDict(extra="forbid"))


@_nothing_else
class FileEntry(TypedDict):
    """A file: SHA-256 in hexadecimal digits, and size in bytes."""

    sha256: str
    size: int


@_nothing_else
@dataclass(frozen=True, kw_only=True)
class Summary:
    """What cells there are.

    Attributes:
        cells: how many, by the labels of data set and method.
        failed: how many of them failed.
        datasets: by label, the content hashes of the data that cells were computed on.
    """

    cells: Mapping[str, Mapping[str, int]]
    failed: int
    datasets: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Summary:
        """Of records, in any order."""
        labels = sorted({record.dataset["label"] for record in records})
        on = {label: [record for record in records if record.dataset["label"] == label] for label in labels}
        return cls(
            cells={label: dict(sorted(Counter(one.method["label"] for one in on[label]).items())) for label in labels},
            failed=sum(record.status == "failed" for record in records),
            datasets={label: tuple(sorted({one.dataset["content_sha256"] for one in on[label]})) for label in labels},
        )


@_nothing_else
@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        versions: of Python, cabench and the libraries that it computes with, where the archive was made; each record
            has those of its own.
        summary: what cells there are.
        files: every file but this one, by its name below the root.
        schema: version of this layout.
    """

    versions: Mapping[str, str]
    summary: Summary
    files: Mapping[str, FileEntry]
    schema: int = SCHEMA

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest.

        Raises:
            UserError: for one that cannot be read, or follows another schema.
        """
        try:
            manifest = read_json(path, cls)
            if manifest.schema != SCHEMA:
                raise ValueError(f"schema {manifest.schema}, expected {SCHEMA}")
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not a manifest of `cabench publish` ({error}).") from error
        return manifest

    def to_json(self) -> str:
        """Its text."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n"


def versions() -> dict[str, str]:
    """Of Python and of all that numbers may depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def entry_of(content: Path | bytes) -> FileEntry:
    """Hash and size of a file, or of what is to become one.

    Raises:
        UserError: for what is no regular file, or cannot be read.
    """
    found, size = hashlib.sha256(), 0
    with opened(content) as stream:
        for piece in pieces(stream):
            found.update(piece)
            size += len(piece)
    return {"sha256": found.hexdigest(), "size": size}


def opened(content: Path | bytes) -> BinaryIO:
    """A file, or what is to become one, for reading; errors as `entry_of`."""
    return io.BytesIO(content) if isinstance(content, bytes) else open_regular(content)


def pieces(stream: BinaryIO) -> Iterator[bytes]:
    """All that can be read, a megabyte at a time."""
    while piece := stream.read(PIECE):
        yield piece
