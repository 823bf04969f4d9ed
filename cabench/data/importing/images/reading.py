"""Images below a folder, whatever their format, as one uint8 array."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from cabench.data.decoding import in_threads
from cabench.data.importing.images.fitting import LARGEST_SIZE, SMALLEST_SIZE, Fit, Size, fit_image
from cabench.data.importing.images.pixels import FORMATS, Channels, Header, UnusableImageError, read_header, read_pixels
from cabench.data.layout import counted
from cabench.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
LARGEST_VALUE = 65_535  # of 16 bits
MOST_LISTED = 100  # files in one message
_AT_A_TIME = 1 << 25  # pixels of all images that are being made, so that memory does not grow with the threads
_ITU_R_601 = np.array([0.299, 0.587, 0.114], np.float32)  # as Pillow weighs red, green and blue

_Value = TypeVar("_Value")
_Done = TypeVar("_Done")


@dataclass(frozen=True)
class ImageForm:
    """What images are made into.

    Attributes:
        size: of all images; None keeps them as they are, which must then be of one size.
        fit: how images of other sizes are brought to it, see `cabench.data.importing.images.fitting`.
        channels: None keeps what the images have, which must then be the same for all.
        value_range: of images with 12 or 16 bits, the values that become 0 and 255; None takes all that their bits
            can hold. What lies beyond is cut off.
    """

    size: Size | None = None
    fit: Fit = "crop"
    channels: Channels | None = None
    value_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse ranges that no image can have."""
        if self.value_range is not None:
            low, high = self.value_range
            if not 0 <= low < high <= LARGEST_VALUE:
                raise UserError(f"--range {low} {high} is not allowed; write a lower and a higher value, 0 to 65535.")


class Folder(NamedTuple):
    """A folder of images.

    Attributes:
        path: the folder.
        names: paths of its images from there, with forward slashes, in alphabetical order.
        unread: how many other files it holds, by suffix, and linked folders and hidden images, by what messages call
            them.
    """

    path: Path
    names: list[str]
    unread: Counter[str]

    def said(self) -> str:
        """A sentence about what is not read; "" if all is."""
        if not self.unread:
            return ""
        counts = [counted(count, what) for what, count in sorted(self.unread.items())]
        return f"Not read in {self.path.name}: {', '.join(counts)}."


class Pixels(NamedTuple):
    """What was read from a folder.

    Attributes:
        images: uint8 (n, channels, height, width).
        brightest: the largest value of 12-bit and 16-bit images before it was scaled; 255 for others.
        headers: of the n files.
    """

    images: np.ndarray
    brightest: int
    headers: list[Header]


def open_folder(path: Path) -> Folder:
    """The images below a folder. What is hidden, by a name that starts with a dot, is not read.

    Raises:
        UserError: for a path that is not a folder or holds no image.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder; name one that holds images.")
    names: list[str] = []
    unread: Counter[str] = Counter()
    for place, folders, files in os.walk(path, onerror=_raise):
        # Links are not followed: they may lead back, or to the images of the other population.
        linked = {name for name in folders if (Path(place) / name).is_symlink()}
        hidden = {name for name in folders if name.startswith(".")}
        unread["linked folder"] += len(linked)
        unread["hidden image"] += sum(_count_images(Path(place) / name) for name in hidden - linked)
        folders[:] = [name for name in folders if name not in hidden]
        for name in files:
            is_image, is_hidden = _is_image(name), name.startswith(".")
            if is_image and not is_hidden:
                names.append((Path(place) / name).relative_to(path).as_posix())
            elif is_image:
                unread["hidden image"] += 1
            elif not is_hidden:
                suffix = Path(name).suffix.lower()
                unread[f"{suffix} file" if suffix.isprintable() and suffix else "other file"] += 1
    folder = Folder(path, sorted(names), +unread)
    for name in names:
        if not name.isprintable():  # halves of surrogate pairs stand for bytes that are not UTF-8
            raise UserError(f"{path} holds a file whose name cannot be written, {name!a}; rename it.")
    if not names:
        raise UserError(f"{path} holds no images; put {', '.join(FORMATS)} files there. {folder.said()}".strip())
    return folder


def read_folders(folders: Mapping[str, Folder], form: ImageForm) -> dict[str, Pixels]:
    """Read all images of several folders into one form.

    Headers are read first, so that mismatches are reported before anything is decoded.

    Args:
        folders: by population.
        form: what the images are made into.

    Returns:
        By population, in the order of the folders' names.

    Raises:
        UserError: naming all files that cannot be used; and for images of different sizes, channels or bits if `form`
            does not say what to make of them.
    """
    paths = {population: [folder.path / name for name in folder.names] for population, folder in folders.items()}
    every = [path for part in paths.values() for path in part]
    found = _headers(every)
    channels, size = _channels(every, found, form), _size(every, found, form)
    bits = _same("bits a pixel", every, [item.bits for item in found], "convert them to one depth")
    if bits == 8 and form.value_range:
        raise UserError(f"--range is for 16-bit images, but {every[0]} has 8 bits; leave it out.")
    value_range = form.value_range or (0, 2**bits - 1)
    images = np.empty((len(every), 1 if channels == "grey" else 3, *size), np.uint8)

    def make(row: int) -> int | UnusableImageError:
        try:
            with _turn(found[row]):
                images[row], brightest = _made(every[row], channels, size, form.fit, value_range)
        except UnusableImageError as error:
            return error.alone()
        return brightest

    tops = [top for _, done in in_threads(make, range(len(every))) for top in done]
    _refuse(every, tops)
    parts, start = {}, 0
    for population, part in paths.items():
        rows = slice(start, start + len(part))
        brightest = max(top for top in tops[rows] if isinstance(top, int))
        parts[population] = Pixels(images[rows], brightest, found[rows])
        start += len(part)
    return parts


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _count_images(folder: Path) -> int:
    """How many images lie below a folder, as far as it can be read."""
    return sum(_is_image(name) for _, _, names in os.walk(folder) for name in names)


def _raise(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}); make it readable and try again.") from error


# Files that cannot be used


def _tried(do: Callable[[Path], _Done], path: Path) -> _Done | UnusableImageError:
    try:
        return do(path)
    except UnusableImageError as error:
        return error.alone()


def _headers(paths: Sequence[Path]) -> list[Header]:
    """Of all files. Where one cannot be used, all are decoded too, so that all such files are named at once."""
    found = [item for _, items in in_threads(partial(_tried, read_header), paths) for item in items]
    if any(isinstance(item, UnusableImageError) for item in found):
        _refuse(paths, [item for _, items in in_threads(partial(_tried, _check), paths) for item in items])
    return [item for item in found if isinstance(item, Header)]


def _check(path: Path) -> None:
    with _turn(read_header(path)):
        read_pixels(path)


class _Room:
    """Lets threads hold so many pixels in all; who wants more holds all of them."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._changed = threading.Condition()

    @contextmanager
    def held(self, pixels: int) -> Iterator[None]:
        wanted = min(pixels, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()


_ROOM = _Room(_AT_A_TIME)


def _turn(header: Header) -> AbstractContextManager[None]:
    """What is held while an image is made."""
    return _ROOM.held(header.width * header.height * (1 if header.bits == 8 else 2))


def _refuse(paths: Sequence[Path], tried: Sequence[object]) -> None:
    """Raise UserError that names all files that could not be used, if there are any."""
    unusable = [(path, item) for path, item in zip(paths, tried, strict=True) if isinstance(item, UnusableImageError)]
    if len(unusable) == 1:
        ((path, error),) = unusable
        raise UserError(f"{path} cannot be used ({error.reason}); {error.advice}.")
    if unusable:
        listed = ", ".join(f"{path} ({error.reason})" for path, error in unusable[:MOST_LISTED])
        more = f" and {len(unusable) - MOST_LISTED:,} more" if len(unusable) > MOST_LISTED else ""
        advice = "; ".join(dict.fromkeys(error.advice for _, error in unusable))
        raise UserError(
            f"{len(unusable):,} of {len(paths):,} images cannot be used: {listed}{more}. For each: {advice}."
        )


# What images are made into


def _channels(paths: Sequence[Path], found: Sequence[Header], form: ImageForm) -> Channels:
    if form.channels:
        return form.channels
    advice = "choose with --channels grey or --channels colour"
    return _same("channels", paths, [item.channels for item in found], advice)


def _size(paths: Sequence[Path], found: Sequence[Header], form: ImageForm) -> Size:
    if form.size:
        return form.size
    advice = "scale them to one with --size, such as --size 64"
    width, height = _same("sizes", paths, [(item.width, item.height) for item in found], advice)
    if min(width, height) < SMALLEST_SIZE:
        raise UserError(f"{paths[0]} has {width} x {height} pixels; the smallest side allowed is {SMALLEST_SIZE}.")
    if max(width, height) > LARGEST_SIZE:  # a damaged header may also claim more than memory holds
        raise UserError(
            f"{paths[0]} has {width} x {height} pixels; the largest side allowed is {LARGEST_SIZE}. Scale them with "
            "--size, such as --size 64."
        )
    return Size(height, width)


def _same(what: str, paths: Sequence[Path], values: Sequence[_Value], advice: str) -> _Value:
    """The one value that all files have."""
    counts = Counter(values)
    if len(counts) > 1:
        (usual, _), (rare, _) = counts.most_common(2)
        named = [f"{paths[values.index(value)]} ({_said(value)})" for value in (usual, rare)]
        raise UserError(f"The images have different {what}: {named[0]} and {named[1]}; {advice}.")
    return values[0]


def _said(value: object) -> str:
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _made(path: Path, channels: Channels, size: Size, fit: Fit, value_range: tuple[int, int]) -> tuple[np.ndarray, int]:
    """uint8 (channels, height, width), and the largest value before scaling."""
    planes = read_pixels(path)
    if planes.dtype == np.uint16:
        return _from_16_bits(planes, channels, size, fit, value_range), int(planes.max())
    image = Image.fromarray(planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))
    pixels = np.asarray(fit_image(image.convert("L" if channels == "grey" else "RGB"), size, fit))
    return (pixels[None] if channels == "grey" else pixels.transpose(2, 0, 1)), 255


def _from_16_bits(
    values: np.ndarray, channels: Channels, size: Size, fit: Fit, value_range: tuple[int, int]
) -> np.ndarray:
    """uint8 (channels, height, width) of (1 or 3, height, width) values."""
    low, high = value_range
    scaled = values.astype(np.float32)
    scaled -= low  # in place: a large image takes hundreds of megabytes
    scaled *= 255 / (high - low)
    scaled.clip(0, 255, out=scaled)
    if channels == "grey" and len(scaled) == 3:
        scaled = np.tensordot(_ITU_R_601, scaled, 1)[None]
    # Scaled as floats: Pillow resizes 16-bit integers less accurately.
    planes = [np.asarray(fit_image(Image.fromarray(plane), size, fit)) for plane in scaled]
    pixels = np.stack(planes).round().clip(0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (1 if channels == "grey" else 3, *size))
