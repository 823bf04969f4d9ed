"""The raw material of a data set: named files on disk, identified by their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cabench.errors import UserError


@dataclass(frozen=True)
class Source:
    """Files that a data set is built from.

    Attributes:
        title: the name that tables print, e.g. "MNIST" or "CIFAR-10 (JPEG)". Two sources whose pixels differ
            have different titles.
        files: every file (or folder of files) that will be read; empty for data bundled with a Python package.
    """

    title: str
    files: tuple[Path, ...] = ()

    def identity(self) -> dict[str, object]:
        """Title and SHA-256 of every file, wherever it stands: part of a built data set's key."""
        return {"title": self.title, "sha256": [_sha256(path) for path in self.files]}

    def provenance(self) -> list[dict[str, object]]:
        """One entry a file: title, path, size in bytes and SHA-256 of the content (a folder: of all its files)."""
        return [
            {"title": self.title, "path": str(path), "size": _size(path), "sha256": _sha256(path)}
            for path in self.files
        ] or [{"title": self.title}]


class LabelledImages(NamedTuple):
    """Images of one split of a source with one class a row.

    Attributes:
        images: uint8, (n, height, width) where grey, (n, 3, height, width) where colour, in [0, 255].
        labels: int64 (n,), class indices from 0.
    """

    images: np.ndarray
    labels: np.ndarray


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _sha256(path: Path) -> str:
    try:
        return _digest(path, tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in _files(path)))
    except OSError as error:
        raise UserError(f"The source {path} cannot be read ({error}).") from error


@cache
def _digest(path: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """Kept while the process runs: the same files, unchanged in size and time, are read once."""
    digest = hashlib.sha256()
    for file, _, _ in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
