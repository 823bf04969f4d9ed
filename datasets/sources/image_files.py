"""JPEG files by name, in a folder or in a zip archive, and the splits of a data set made of them."""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from cabench.data.dataset import Attribute
from cabench.data.decoding import UNDECODABLE, check_pixels, in_threads
from cabench.data.layout import SPLITS
from cabench.data.writing import DatasetWriter
from cabench.errors import UserError

Prepare = Callable[[Image.Image], np.ndarray]

_SUFFIXES = (".jpg", ".jpeg")
# A photograph is far smaller. No more than this is read of a file, so a larger one counts as cut short.
_LARGEST_FILE = 1 << 26
# What zipfile raises for a damaged member, a missing password and an unknown compression.
_DAMAGED_MEMBER = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)


class ImageFiles(ABC):
    """JPEG files in one place. Reading is safe from several threads.

    Attributes:
        path: the folder or the archive, for messages.
        names: of all files but those that start with a dot, which file managers and archivers leave.
    """

    path: Path
    names: frozenset[str]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            UserError: naming the file that cannot be read.
        """

    @abstractmethod
    def called(self, name: str) -> str:
        """The name of a file in messages."""


class ImageFolder(ImageFiles):
    """The files below a folder, named by their paths from there, with forward slashes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = frozenset(_walk(path))

    def read(self, name: str) -> bytes:
        """See `ImageFiles`."""
        try:
            if not (self.path / name).is_file():
                raise OSError("it is no regular file")
            with (self.path / name).open("rb") as stream:
                return stream.read(_LARGEST_FILE)
        except OSError as error:
            raise UserError(f"{self.called(name)} cannot be read ({error}); make it readable and try again.") from error

    def called(self, name: str) -> str:
        """See `ImageFiles`."""
        return str(self.path / name)


class ImageZip(ImageFiles):
    """The files of a zip archive, each named without its folders. Nothing is unpacked to disk.

    Raises:
        UserError: at construction, for a file that is not a complete zip archive, for a member whose name leads out of
            the archive's folder, and for two members of one name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(
                f"{path} is damaged or cut short ({error}); replace it by an undamaged copy or unpack one next to it."
            ) from error
        self._members: dict[str, str] = {}
        for member in self._archive.namelist():
            *folders, name = re.split(r"[/\\]", member)
            if ".." in (*folders, name) or member.startswith(("/", "\\")) or ":" in member:
                raise UserError(
                    f"{path} has a member {member!r}, which leads out of its folder: it is not the published archive. "
                    "Replace it by a copy from its owner."
                )
            if not _is_image(name):
                continue
            if name in self._members:
                raise UserError(f"{path} holds {name} twice, as {self._members[name]} and {member}; replace it.")
            self._members[name] = member
        self.names = frozenset(self._members)

    def read(self, name: str) -> bytes:
        """See `ImageFiles`."""
        try:
            with self._archive.open(self._members[name]) as stream:
                return stream.read(_LARGEST_FILE)
        except _DAMAGED_MEMBER as error:
            raise UserError(
                f"{self.called(name)} is damaged or cut short ({error}); replace the archive by an undamaged copy."
            ) from error

    def called(self, name: str) -> str:
        """See `ImageFiles`."""
        return f"{self._members[name]} in {self.path}"


def open_images(path: Path) -> ImageFiles:
    """The images of a folder or of a zip archive.

    Raises:
        UserError: naming a place without images, and as `ImageZip` does.
    """
    images = ImageFolder(path) if path.is_dir() else ImageZip(path)
    if not images.names:
        raise UserError(f"{path} holds no JPEG images; put them there as their owner publishes them.")
    return images


def write_rows(
    writer: DatasetWriter,
    images: ImageFiles,
    rows: pd.DataFrame,
    shape: tuple[int, int, int],
    attributes: Sequence[Attribute],
    prepare: Prepare,
) -> None:
    """Decode and write both splits, each with background first, and each population in the order of the rows.

    Args:
        writer: of the data set.
        images: the files.
        rows: one per image: `file` (name), `is_target` and `is_test` (bool), and a column for each attribute. A
            column `patient` (str), if there is one, becomes the groups; where patients are in both splits, a note says
            so.
        shape: (channels, height, width) of what `prepare` makes.
        attributes: what is known of the images.
        prepare: makes the stored pixels; see `decoded`.

    Raises:
        UserError: for a file that cannot be used, and if a split would lack a population.
    """
    if "patient" in rows:
        shared = set(rows["patient"][rows["is_test"]]) & set(rows["patient"][~rows["is_test"]])
        if shared:
            writer.note(
                f"LEAKY SPLIT: images of {len(shared):,} patients stand in both splits, so that scores are too high; "
                'split = "patient-disjoint" has none.'
            )
    for split in SPLITS:
        part = rows[rows["is_test"] == (split == "test")]
        populations = {is_target: part[part["is_target"] == is_target] for is_target in (False, True)}
        for is_target, population in populations.items():
            if population.empty:
                kind = "target" if is_target else "background"
                raise UserError(f"{images.path} has no {kind} images for the {split} split; complete the images.")
        with writer.split(split, len(part), shape, attributes) as out:
            for is_target, population in populations.items():
                values = {attribute.name: population[attribute.name].to_numpy() for attribute in attributes}
                names = population["file"].tolist()
                patients = population["patient"].tolist() if "patient" in rows else None
                for span, pixels in decoded(images, names, prepare):
                    known = {name: column[span] for name, column in values.items()}
                    out.append(pixels, is_target, known, names[span], patients and patients[span])


def decoded(images: ImageFiles, names: Sequence[str], prepare: Prepare) -> Iterator[tuple[slice, np.ndarray]]:
    """Decode files in chunks, with one thread for each processor that this process may use.

    Args:
        images: where the files are.
        names: of the files, in the order wanted.
        prepare: makes the stored pixels, uint8 (channels, height, width), of a decoded image. It is called from
            several threads at once, and raises ValueError for an image that it cannot use.

    Yields:
        The rows of `names` that are done, and their images, uint8 (n, channels, height, width). Neither depends on the
        number of threads.

    Raises:
        UserError: naming the first file, in the order of `names`, that cannot be read, decoded or used.
    """

    def load(name: str) -> np.ndarray:
        content = images.read(name)
        try:
            with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
                check_pixels(image)
                return prepare(image)
        except UNDECODABLE as error:
            reason = "it is no JPEG file" if isinstance(error, UnidentifiedImageError) else error
            raise UserError(
                f"{images.called(name)} cannot be used ({reason}); replace it by an undamaged copy."
            ) from error

    for rows, loaded in in_threads(load, names):
        # In C order: stacked as they are, transposed images would keep theirs, which is slow to store.
        yield rows, np.array(loaded, order="C")


def _walk(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(folder).as_posix()
        yield from (name if below == "." else f"{below}/{name}" for name in names if _is_image(name))


def _is_image(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")
