"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images of 28x28 of ten classes, in four IDX files each."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cabench.data.download import fetch, from_cache, not_found
from cabench.data.sources import LabelledImages, Source
from cabench.errors import UserError
from cabench.files.bounds import TooLargeError, most_unpacked, read_whole

_TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_NAMES = (*_TRAIN, *_TEST)
_IMAGE_SHAPE = (28, 28)
_CLASSES = 10

_GZIP_START = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_MOST_DIMENSIONS = 8
_LARGEST = 1 << 30  # bytes; the largest of the published files, EMNIST's 697,932 images, has half of that


@dataclass(frozen=True)
class IdxFiles:
    """One data set of grey 28 x 28 images of ten classes, in four IDX files.

    Attributes:
        title: the source's title, e.g. "MNIST".
        torchvision_class: the class of `torchvision.datasets` that knows addresses and checksums; its folder has its
            name.
        places: the folders below a root that may hold the files, in the order of preference.
    """

    title: str
    torchvision_class: str
    places: tuple[str, ...]

    def locate(self, root: Path | None) -> Source:
        """Find the four files, plain or gzipped (`.gz`), in the first place that holds them all.

        A plain file is preferred to its gzipped copy.

        Args:
            root: a folder in torchvision's layout; nothing is downloaded then. None to use the download cache, and to
                fill it where needed.

        Returns:
            A source of four files: training images and labels, test images and labels.

        Raises:
            UserError: naming the files that are missing and where they were looked for, or why the download failed.
        """
        layout = f"{self.torchvision_class}/raw/"
        if root is None:
            return from_cache(self.title, ", ".join(_NAMES), layout, self._find, self._download)
        source = self._find(root)
        if source is None:
            raise not_found(self.title, root, self._looked_for(root), layout)
        return source

    def read(self, source: Source) -> tuple[LabelledImages, LabelledImages]:
        """Read the training and the test split.

        Args:
            source: what `locate` gave.

        Returns:
            Train and test: images uint8 (n, 28, 28) in [0, 255], bright on black, labels int64 (n,) in [0, 9].

        Raises:
            UserError: for a file that is damaged, or that does not hold 28x28 images or their labels; naming it.
        """
        train_images, train_labels, test_images, test_labels = source.files
        return _read_split(train_images, train_labels), _read_split(test_images, test_labels)

    def _find(self, root: Path) -> Source | None:
        for place in self._places(root):
            found = [_find_one(place, name) for name in _NAMES]
            files = tuple(path for path in found if path is not None)
            if len(files) == len(_NAMES):
                return Source(self.title, files)
        return None

    def _places(self, root: Path) -> tuple[Path, ...]:
        return tuple(root / place for place in self.places)

    def _looked_for(self, root: Path) -> str:
        """The files missing in the place where fewest are missing, and every place."""
        places = self._places(root)
        missing = [[name for name in _NAMES if _find_one(place, name) is None] for place in places]
        fewest = min(missing, key=lambda names: len(names))
        return f"{', '.join(fewest)} (plain or .gz) in {', '.join(map(str, places))}"

    def _download(self, folder: Path) -> None:
        from torchvision import datasets  # Late: importing torchvision takes seconds.

        published = getattr(datasets, self.torchvision_class)
        place = folder / self.torchvision_class / "raw"
        for name, md5 in published.resources:
            if _find_one(place, name.removesuffix(".gz")) is None:
                fetch([mirror + name for mirror in published.mirrors], place / name, md5)


# Its files are often unpacked without torchvision's folders.
MNIST = IdxFiles("MNIST", "MNIST", ("MNIST/raw", "raw", "."))
# Xiao et al., 2017. Not in the root itself: MNIST's files have the same names there. The second place is Debian's, in
# /usr/share/datasets.
FASHION_MNIST = IdxFiles("Fashion-MNIST", "FashionMNIST", ("FashionMNIST/raw", "fashion-mnist"))
# As published, in lower case, in the order of the labels.
GARMENTS = (
    *("t-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes, the format of MNIST and Fashion-MNIST.

    The format: two zero bytes, a byte for the type of the values, a byte for the number of dimensions, one big-endian
    32-bit size per dimension, and the values in C order.

    Args:
        path: a plain or gzipped file; its first bytes tell which, not its name.

    Returns:
        A writable uint8 array of the shape that the file states.

    Raises:
        UserError: naming a file that cannot be read, is cut short, is not IDX, or whose length differs from what its
            header states.
    """
    content = _unzipped(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE or content[3] == 0:
        raise _damaged(path, f"it starts with {content[:4].hex() or 'nothing'}, not with an IDX header 000008..")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise _damaged(path, "its header is cut short")
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    stated, given = math.prod(shape), len(content) - header
    if len(shape) > _MOST_DIMENSIONS:
        raise _damaged(path, f"its header states {len(shape)} dimensions")
    if given != stated:
        raise _damaged(path, f"its header states {stated:,} values of shape {shape}, it has {given:,}")
    # The copy makes it writable: an array over `bytes` is not, and torch warns about each such array.
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def _find_one(place: Path, name: str) -> Path | None:
    return next((path for path in (place / name, place / f"{name}.gz") if path.is_file()), None)


def _read_split(images_path: Path, labels_path: Path) -> LabelledImages:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.shape[1:] != _IMAGE_SHAPE:
        raise _damaged(images_path, f"it has shape {images.shape} where (n, 28, 28) is wanted")
    if labels.shape != images.shape[:1]:
        raise _damaged(labels_path, f"it has shape {labels.shape} where {images_path.name} has {len(images):,} images")
    if (labels >= _CLASSES).any():
        raise _damaged(labels_path, f"it has the label {labels.max()} where 0 to {_CLASSES - 1} are allowed")
    return LabelledImages(images, labels.astype(np.int64))


def _unzipped(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            zipped = stream.read(len(_GZIP_START)) == _GZIP_START
        if not zipped:
            return read_whole(path, _LARGEST)
        most = min(_LARGEST, most_unpacked(path.stat().st_size))
        with gzip.open(path) as unzipped:
            content = unzipped.read(most + 1)
        if len(content) > most:
            raise TooLargeError(f"it unpacks to more than {most:,} bytes")
        return content
    # EOFError: cut short. BadGzipFile (an OSError) and zlib.error: damaged.
    except (OSError, EOFError, zlib.error, TooLargeError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} is damaged or not the file wanted: {reason}. "
        "Replace it by an undamaged copy, or delete it to have it downloaded again if it stands in the download cache."
    )
