"""The raw material of a data set: named files on disk, identified by their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cabench.data.cache import content_digest, listing
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
        """Title and SHA-256 of every file, but no path: part of a built data set's key."""
        return {"title": self.title, "sha256": [_sha256(path) for path in self.files]}

    def provenance(self) -> list[dict[str, object]]:
        """One entry per file: title, name, size in bytes and SHA-256 of the content (a folder: of all its files)."""
        return [
            {"title": self.title, "file": path.name, "size": _size(path), "sha256": _sha256(path)}
            for path in self.files
        ] or [{"title": self.title}]


class LabelledImages(NamedTuple):
    """Images of one split of a source, each with one class.

    Attributes:
        images: uint8, (n, height, width) where grey, (n, 3, height, width) where colour, in [0, 255].
        labels: int64 (n,), class indices from 0.
    """

    images: np.ndarray
    labels: np.ndarray


def _size(path: Path) -> int:
    return sum(file.size for file in listing(path))


def _sha256(path: Path) -> str:
    try:
        return content_digest(path)
    except OSError as error:
        raise UserError(f"The source {path} cannot be read ({error}).") from error
