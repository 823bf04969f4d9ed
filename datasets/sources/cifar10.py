"""CIFAR-10: 50,000 + 10,000 colour images of ten classes, 32x32, from torchvision's files or from image files."""

from __future__ import annotations

import hashlib
import io
import lzma
import pickle
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cabench.data.cache import checked
from cabench.data.decoding import UNDECODABLE
from cabench.data.download import fetch, from_cache, not_found
from cabench.data.sources import LabelledImages, Source
from cabench.errors import UserError
from cabench.files.bounds import TooLargeError, read_whole
from cabench.files.tar import DAMAGED, reading_tar

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TITLE = "CIFAR-10"

_SPLITS = ("train", "test")
_IMAGE_SIZE = (32, 32)
_IMAGE_SHAPE = (3, 32, 32)

_BATCHES = "cifar-10-batches-py"
_BATCH_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
_ARCHIVE = "cifar10-images.tar.xz"
_BATCHES_AT = (_BATCHES, f"cifar10/{_BATCHES}")
_FOLDERS_AT = ("CIFAR10-images", "cifar10/CIFAR10-images", "cifar10", ".")
_ARCHIVE_AT = (f"cifar10/{_ARCHIVE}", _ARCHIVE)
_LAYOUT = f"{_BATCHES}/, CIFAR10-images/ or {_ARCHIVE}"

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
# A compressed 32x32 image is far smaller; no file makes the reader hold more than this.
_LARGEST_FILE = 1 << 20
_LARGEST_BATCH = 1 << 26  # the published ones have 31 million
_LARGEST_ARCHIVE = 1 << 30  # unpacked; 60,000 images take 0.2 GB
_MOST_MEMBERS = 100_000  # 60,000 images, and folders
_LARGEST_DICTIONARY = 1 << 27  # with all else that unpacking takes; `xz -9` makes one of 64 MiB


def locate(root: Path | None) -> Source:
    """Find CIFAR-10 in one of three forms; the first one found is taken.

    1. torchvision's `cifar-10-batches-py/`, in the folder or its `cifar10/`: "CIFAR-10".
    2. One folder a class, `{train,test}/<class>/*.jpg` or `*.png`, in `CIFAR10-images/`, `cifar10/CIFAR10-images/`,
       `cifar10/` or the folder itself: "CIFAR-10 (JPEG)" or "CIFAR-10 (PNG)", since JPEG changes the pixels.
    3. Such JPEG folders in the archive `cifar10-images.tar.xz`, in `cifar10/` or the folder itself: "CIFAR-10 (JPEG)".

    Args:
        root: the folder to look in; nothing is downloaded then. None to use the download cache, which keeps form 1,
            and to fill it where needed.

    Returns:
        A source of one folder (form 1), of one folder per split (form 2), or of one file (form 3).

    Raises:
        UserError: naming what was looked for and where, or why the download failed.
    """
    if root is None:
        return from_cache(TITLE, ", ".join(_BATCH_FILES), _LAYOUT, _find_all_batches, _download)
    source = _find_batches(root) or _find_class_folders(root) or _find_archive(root)
    if source is None:
        raise not_found(TITLE, root, _looked_for(root), _LAYOUT)
    return source


def read(source: Source) -> tuple[LabelledImages, LabelledImages]:
    """Read the training and the test split.

    torchvision's files keep the original order. Image files have lost the order across classes: within a class they
    are sorted by name, and the rows take the classes in turn (the first image of each class in the order of `CLASSES`,
    then the second of each, and so on; a class that has run out is skipped). A folder and an archive of the same
    files give the same rows.

    Args:
        source: what `locate` gave.

    Returns:
        Train and test: images uint8 (n, 3, 32, 32) in [0, 255], labels int64 (n,) in [0, 9], indices into `CLASSES`.

    Raises:
        UserError: naming the file, folder or archive that is damaged, incomplete or laid out differently.
    """
    if source.title == TITLE:
        return _read_batches(source.files[0])
    if len(source.files) == 1:
        return _read_image_files(_in_archive(source.files[0]), source)
    return _read_image_files(_in_folders(source.files), source)


# --- Finding ---------------------------------------------------------------------------------------------------------


def _title(image_format: str) -> str:
    return f"{TITLE} ({image_format})"


def _looked_for(root: Path) -> str:
    batches, folders, archives = (
        ", ".join(str(root / place) for place in places) for places in (_BATCHES_AT, _FOLDERS_AT, _ARCHIVE_AT)
    )
    return f"the folder {batches}; {{train,test}}/<class>/*.jpg or *.png in {folders}; the archive {archives}"


def _find_batches(root: Path) -> Source | None:
    # An incomplete folder counts as found: going on to the JPEGs would silently give other pixels.
    return next((Source(TITLE, (root / place,)) for place in _BATCHES_AT if (root / place).is_dir()), None)


def _find_all_batches(root: Path) -> Source | None:
    source = _find_batches(root)
    complete = source is not None and all((source.files[0] / name).is_file() for name in _BATCH_FILES)
    return source if complete else None


def _find_class_folders(root: Path) -> Source | None:
    for base in (root / place for place in _FOLDERS_AT):
        firsts = [_first_image(base / split) for split in _SPLITS]
        found = [first for first in firsts if first is not None]
        if len(found) == 1:
            lacking = _SPLITS[firsts.index(None)]
            raise UserError(f"{base} holds images, but none in {lacking}/<class>/; add them or move the folder away.")
        if found:
            return Source(_title(_FORMATS[found[0].suffix.lower()]), tuple(base / split for split in _SPLITS))
    return None


def _first_image(split: Path) -> Path | None:
    for name in CLASSES:
        images = sorted(path for path in (split / name).glob("*") if path.suffix.lower() in _FORMATS)
        if images:
            return images[0]
    return None


def _find_archive(root: Path) -> Source | None:
    return next((Source(_title("JPEG"), (root / at,)) for at in _ARCHIVE_AT if (root / at).is_file()), None)


def _download(folder: Path) -> None:
    from torchvision.datasets import CIFAR10  # Late: importing torchvision takes seconds.

    archive = checked(folder / CIFAR10.filename)
    if not archive.is_file():  # An existing one comes from a run stopped while unpacking.
        fetch([CIFAR10.url], archive, CIFAR10.tgz_md5)
    checked(folder / _BATCHES).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unpacked, tarfile.open(archive) as members:
        members.extractall(unpacked, filter="data")  # Refuses members that would land outside.
        for name in _BATCH_FILES:
            (Path(unpacked) / _BATCHES / name).replace(folder / _BATCHES / name)
    archive.unlink()


# --- torchvision's files ---------------------------------------------------------------------------------------------


def _read_batches(folder: Path) -> tuple[LabelledImages, LabelledImages]:
    from torchvision.datasets import CIFAR10  # Late: importing torchvision takes seconds.

    try:
        _checked(folder, CIFAR10.meta["filename"], CIFAR10.meta["md5"])
        train, test = ([_checked(folder, *file) for file in files] for files in (CIFAR10.train_list, CIFAR10.test_list))
        return _rows(train), _rows(test)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} is damaged or incomplete: the files {', '.join(_BATCH_FILES)} as published are wanted. "
            "Replace it by an undamaged copy, or delete it to have it downloaded again if it stands in the download "
            "cache."
        ) from error


def _checked(folder: Path, name: str, md5: str) -> bytes:
    content = read_whole(folder / name, _LARGEST_BATCH)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise ValueError(f"{name} is not the published file")
    return content


def _rows(batches: Sequence[bytes]) -> LabelledImages:
    entries = [_Values(io.BytesIO(batch), encoding="bytes").load() for batch in batches]
    pixels = bytearray().join(_row_by_row(_named(entry, "data").state) for entry in entries)
    labels = np.array([label for entry in entries for label in _named(entry, "labels")], dtype=np.int64)
    return LabelledImages(np.frombuffer(pixels, np.uint8).reshape(-1, *_IMAGE_SHAPE), labels)


def _row_by_row(state: tuple[Any, ...]) -> bytes:
    """The values of a uint8 array in C order.

    Args:
        state: what a pickle says of it: version, shape, type, whether it is in Fortran's order, and content.
    """
    _, shape, _, is_fortran, content = state
    return np.frombuffer(content, np.uint8).reshape(shape, order="F").tobytes() if is_fortran else content


def _named(entry: Mapping[str | bytes, Any], name: str) -> Any:
    """One entry of a batch. Python 2 wrote the published files; its text is read as bytes."""
    return entry[name.encode()] if name.encode() in entry else entry[name]


class _Values(pickle.Unpickler):
    """Takes the plain values out of a pickle. Nothing that the pickle names is imported or called."""

    def find_class(self, module: str, name: str) -> type[_Inert]:
        """Return the stand-in for every class."""
        return _Inert


class _Inert:
    """Stands in for any object of a pickle: keeps the object's state and does nothing."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


# --- Image files, in folders or in an archive ------------------------------------------------------------------------


class _ImageFile(NamedTuple):
    """The content of `<split>/<class>/<name>`, and what errors call it."""

    split: str
    class_name: str
    name: str
    content: bytes
    called: str


def _read_image_files(files: Iterator[_ImageFile], source: Source) -> tuple[LabelledImages, LabelledImages]:
    image_format = "PNG" if source.title == _title("PNG") else "JPEG"
    found: dict[str, dict[tuple[int, str], tuple[str, bytes]]] = {split: {} for split in _SPLITS}
    for file in files:
        if file.class_name not in CLASSES:
            raise UserError(
                f"{file.called} is in a class folder {file.class_name!r}; allowed are {', '.join(CLASSES)}. "
                "Remove or rename that folder."
            )
        rows, key = found[file.split], (CLASSES.index(file.class_name), file.name)
        if key in rows:
            raise UserError(f"{file.called} is there twice, first as {rows[key][0]}; remove one of them.")
        rows[key] = file.called, _decoded(file, image_format)
    train, test = (_in_turn(split, rows, source) for split, rows in found.items())
    return train, test


def _in_turn(split: str, rows: dict[tuple[int, str], tuple[str, bytes]], source: Source) -> LabelledImages:
    """The images of a split with the classes in turn; the files of each class are sorted by name.

    Args:
        split: for messages.
        rows: by class index and file name: the file's name in messages, and its pixels.
        source: for messages.
    """
    keys = sorted(rows)
    classes = np.array([index for index, _ in keys], dtype=np.int64)
    for index, name in enumerate(CLASSES):
        if index not in classes:
            places = ", ".join(str(path) for path in source.files)
            raise UserError(f"No image in {split}/{name} of {places}; each of the ten classes is wanted there.")
    rank = np.arange(len(keys)) - np.searchsorted(classes, classes)
    order = np.lexsort((classes, rank))
    pixels = bytearray().join(rows[keys[row]][1] for row in order)
    return LabelledImages(np.frombuffer(pixels, np.uint8).reshape(-1, *_IMAGE_SHAPE), classes[order])


def _is_hidden(*names: str) -> bool:
    # File managers and archivers leave such files (.DS_Store, ._0000.jpg) between the images.
    return any(name.startswith(".") for name in names)


def _in_folders(folders: Iterable[Path]) -> Iterator[_ImageFile]:
    """Every file of `<split>/<class>/` for folders named like the splits."""
    try:
        # Class by class, so that the paths in memory at a time are those of one class.
        for class_folder in [path for folder in folders for path in sorted(folder.iterdir()) if path.is_dir()]:
            for path in sorted(class_folder.iterdir()):
                if path.is_file() and not _is_hidden(class_folder.name, path.name):
                    with path.open("rb") as stream:
                        content = stream.read(_LARGEST_FILE)
                    yield _ImageFile(class_folder.parent.name, class_folder.name, path.name, content, str(path))
    except OSError as error:
        raise UserError(f"The images cannot be read ({error}); make the folder readable and try again.") from error


def _in_archive(path: Path) -> Iterator[_ImageFile]:
    """Every regular file `<split>/<class>/<name>` of the archive, under whatever folder, in the archive's order.

    The archive is unpacked twice from start to end: once to check it, once for the images. Nothing is written to disk.
    """
    number = 0
    try:
        _check_unpacked(path)
        with lzma.open(path) as stream, reading_tar(stream) as archive:
            while (member := archive.next()) is not None:
                number += 1
                if number > _MOST_MEMBERS:
                    raise TooLargeError(f"it has more than {_MOST_MEMBERS:,} members")
                file = _archived(archive, member, path)
                if file is not None:
                    yield file
    except (*DAMAGED, TooLargeError) as error:
        raise UserError(
            f"{path} is damaged or cut short ({error}); replace it by an undamaged copy or unpack one next to it."
        ) from error


def _check_unpacked(path: Path) -> None:
    """Unpack an archive into nothing, within bounds, as Python's reader of such files knows none.

    Raises:
        EOFError: where it is cut, also between two members, which tarfile would take for the end of the archive.
        LZMAError: where it is damaged, or declares a larger dictionary.
        TooLargeError: where there is more than an archive of these images has.
    """
    unpacked, reader, padded = 0, None, False
    with path.open("rb") as packed:
        while block := packed.read(1 << 12):  # becomes 28 MiB at most
            while block:
                if reader is not None and reader.eof and block[0] == 0:  # the format lets zeros follow
                    padded, block = True, block.lstrip(b"\0")
                    continue
                if padded:  # where Python's reader ends
                    raise lzma.LZMAError("a stream stands behind the padding")
                if reader is None or reader.eof:
                    reader = lzma.LZMADecompressor(memlimit=_LARGEST_DICTIONARY)
                unpacked += len(reader.decompress(block))
                if unpacked > _LARGEST_ARCHIVE:
                    raise TooLargeError(f"it unpacks to more than the {_LARGEST_ARCHIVE:,} bytes that are allowed")
                block = reader.unused_data
    if reader is None or not reader.eof:
        raise EOFError("its end is missing")


def _archived(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> _ImageFile | None:
    """The file that the member holds; None unless it is a regular file of a class folder.

    Raises:
        UserError: for a member that would land outside of the folder that the archive is unpacked in.
    """
    parts = member.name.split("/")
    if parts[0] == "" or ".." in parts:
        raise UserError(
            f"{path} has a member {member.name!r}, which leads out of its folder: it is not the archive wanted. "
            "Replace it by an undamaged copy."
        )
    split, class_name, name = ("", "", *parts)[-3:]
    if not member.isreg() or split not in _SPLITS or _is_hidden(class_name, name):
        return None
    content = archive.extractfile(member)
    if content is None:
        return None
    return _ImageFile(split, class_name, name, content.read(_LARGEST_FILE), f"{member.name} in {path}")


def _decoded(file: _ImageFile, image_format: str) -> bytes:
    """The pixels, uint8 (3, 32, 32) in C order."""
    if _FORMATS.get(Path(file.name).suffix.lower()) != image_format:
        raise UserError(f"{file.called} is not named as a {image_format} file like the others; remove or convert it.")
    try:
        with Image.open(io.BytesIO(file.content), formats=(image_format,)) as image:
            if image.size != _IMAGE_SIZE:
                width, height = image.size
                raise UserError(f"{file.called} has {width}x{height} pixels where 32x32 are wanted; replace it.")
            pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except UNDECODABLE as error:
        raise UserError(f"{file.called} cannot be decoded as {image_format} ({error}); replace it.") from error
    return pixels.transpose(2, 0, 1).tobytes()
