"""Images below a folder, whatever their format, as one uint8 array."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from cabench.data.decoding import UNDECODABLE, in_threads
from cabench.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
SMALLEST_SIZE, LARGEST_SIZE = 8, 1024
FULL_RANGE = (0, 65_535)  # of 16 bits

Channels = Literal["grey", "colour"]
_Value = TypeVar("_Value")

_GREY_8, _GREY_16 = ("1", "L", "LA", "La"), ("I;16", "I;16B", "I;16L", "I;16N")
_TURNED = (5, 6, 7, 8)  # values of EXIF's orientation that exchange width and height
_ORIENTATION = 0x0112
_UNUSABLE = (*UNDECODABLE, TypeError, RuntimeError)  # of Pillow and of torchvision


@dataclass(frozen=True)
class ImageForm:
    """What images are made into.

    Attributes:
        size: height and width in pixels, to which the largest square in the middle is scaled; None keeps images as
            they are, which must then be of one size.
        channels: None keeps what the images have, which must then be the same for all.
        value_range: of 16-bit images, the values that become 0 and 255. What lies beyond is cut off.
    """

    size: int | None = None
    channels: Channels | None = None
    value_range: tuple[int, int] = FULL_RANGE

    def __post_init__(self) -> None:
        """Refuse sizes and ranges that no image can have."""
        if self.size is not None and not SMALLEST_SIZE <= self.size <= LARGEST_SIZE:
            raise UserError(f"--size {self.size} is not allowed; it is from {SMALLEST_SIZE} to {LARGEST_SIZE} pixels.")
        low, high = self.value_range
        if not FULL_RANGE[0] <= low < high <= FULL_RANGE[1]:
            raise UserError(f"--range {low} {high} is not allowed; write a lower and a higher value from 0 to 65535.")


class Found(NamedTuple):
    """What the header of a file says: its size in pixels when displayed, and the kind of its pixels."""

    width: int
    height: int
    channels: Channels
    bits: Literal[8, 16]


class Folder(NamedTuple):
    """A folder of images.

    Attributes:
        path: the folder.
        names: paths of its images from there, with forward slashes, in alphabetical order.
        others: how many other files it holds, without hidden ones.
    """

    path: Path
    names: list[str]
    others: int


class Pixels(NamedTuple):
    """What was read from a folder.

    Attributes:
        images: uint8 (n, channels, height, width).
        brightest: the largest value of 16-bit images before it was scaled; 255 for others.
    """

    images: np.ndarray
    brightest: int


def open_folder(path: Path) -> Folder:
    """The images below a folder. Hidden files and folders do not count.

    Raises:
        UserError: for a path that is not a folder or holds no image.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder; name one that holds images.")
    names, others = [], 0
    for place, folders, files in os.walk(path, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                names.append((Path(place) / name).relative_to(path).as_posix())
            else:
                others += not name.startswith(".")
    for name in names:
        if not name.isprintable():  # halves of surrogate pairs stand for bytes that are not UTF-8
            raise UserError(f"{path} holds a file whose name cannot be written, {name!a}; rename it.")
    if not names:
        raise UserError(f"{path} holds no images; put {', '.join(FORMATS)} files there.")
    return Folder(path, sorted(names), others)


def read_folders(folders: Mapping[str, Folder], form: ImageForm) -> dict[str, Pixels]:
    """Read all images of several folders into one form.

    Headers are read first, so that mismatches are reported before anything is decoded.

    Args:
        folders: by population.
        form: what the images are made into.

    Returns:
        By population, in the order of the folders' names.

    Raises:
        UserError: naming the first file that cannot be used; and for images of different sizes, channels or depths
            if `form` does not say what to make of them.
    """
    paths = {population: [folder.path / name for name in folder.names] for population, folder in folders.items()}
    every = [path for part in paths.values() for path in part]
    found = [header for _, headers in in_threads(_header, every) for header in headers]
    shape = _shape(every, found, form)
    bits = _same("bits a pixel", every, [item.bits for item in found], "convert them to one depth")
    channels: Channels = "grey" if shape[0] == 1 else "colour"
    value_range = form.value_range if bits == 16 else (0, 255)
    if bits == 8 and form.value_range != FULL_RANGE:
        raise UserError(f"--range is for 16-bit images, but {every[0]} has 8 bits; leave it out.")
    read = partial(_pixels, channels=channels, size=shape[1:], value_range=value_range)
    return {population: _read_all(read, part, shape) for population, part in paths.items()}


def _read_all(
    read: Callable[[Path], tuple[np.ndarray, int]], paths: Sequence[Path], shape: tuple[int, int, int]
) -> Pixels:
    images, brightest = np.empty((len(paths), *shape), np.uint8), 0
    for rows, done in in_threads(read, paths):
        images[rows], tops = zip(*done, strict=True)
        brightest = max(brightest, *tops)
    return Pixels(images, brightest)


def _raise(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}); make it readable and try again.") from error


def _header(path: Path) -> Found:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise OSError("it is no regular file")
        with Image.open(path, formats=FORMATS) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise _unusable(path, f"it holds {frames} images", "save them as files of their own")
            width, height = image.size
            kind = _kind(path, image)  # first, since reading EXIF data may load the image, and forget its depth
            if image.getexif().get(_ORIENTATION) in _TURNED:
                width, height = height, width
            return Found(width, height, *kind)
    except _UNUSABLE as error:
        reason = "it is no image of a known format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise _unusable(path, reason, "replace it by an undamaged copy or remove it") from error


def _kind(path: Path, image: Image.Image) -> tuple[Channels, Literal[8, 16]]:
    # Pillow calls 16-bit PNGs "I" before its version 11.3.
    if image.mode in _GREY_16 or (image.mode == "I" and image.format == "PNG"):
        return "grey", 16
    if image.mode in ("RGB", "RGBA") and _is_16_bit_colour(image):
        if image.format != "PNG" or image.mode == "RGBA":
            raise _unusable(path, "it has 16 bits a channel in colour", "save it as a PNG file without transparency")
        return "colour", 16
    if image.mode in ("I", "F"):
        raise _unusable(path, "its pixels are 32-bit numbers", "convert it to 8 or 16 bits")
    return ("grey" if image.mode in _GREY_8 else "colour"), 8


def _is_16_bit_colour(image: Image.Image) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow would drop half."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _shape(paths: Sequence[Path], found: Sequence[Found], form: ImageForm) -> tuple[int, int, int]:
    """(channels, height, width) of what the images are made into."""
    channels = form.channels or _same(
        "channels", paths, [item.channels for item in found], "choose with --channels grey or --channels colour"
    )
    if form.size:
        height = width = form.size
    else:
        sizes = [(item.width, item.height) for item in found]
        width, height = _same("sizes", paths, sizes, "scale them to one with --size, such as --size 64")
        if min(width, height) < SMALLEST_SIZE:
            raise UserError(f"{paths[0]} has {width} x {height} pixels; the smallest side allowed is {SMALLEST_SIZE}.")
        if max(width, height) > LARGEST_SIZE:  # a damaged header may also claim more than memory holds
            raise UserError(
                f"{paths[0]} has {width} x {height} pixels; the largest side allowed is {LARGEST_SIZE}. Scale them "
                "with --size, such as --size 64."
            )
    return (1 if channels == "grey" else 3), height, width


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


def _pixels(
    path: Path, channels: Channels, size: tuple[int, int], value_range: tuple[int, int]
) -> tuple[np.ndarray, int]:
    """uint8 (channels, height, width), and the largest value before scaling."""
    try:
        with Image.open(path, formats=FORMATS) as opened:
            if opened.mode == "RGB" and _is_16_bit_colour(opened):
                return _from_16_bits(_read_16_bit_colour(path), channels, size, value_range)
            image = ImageOps.exif_transpose(opened)
            if image.mode in _GREY_16 or image.mode == "I":
                return _from_16_bits(np.asarray(image)[None], channels, size, value_range)
            if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise _unusable(path, "parts of it are transparent", "save it on a background of your choice")
            plain = image.convert("L" if channels == "grey" else "RGB")
    except _UNUSABLE as error:
        raise _unusable(path, str(error), "replace it by an undamaged copy or remove it") from error
    pixels = np.asarray(_fitted(plain, size))
    return (pixels[None] if channels == "grey" else pixels.transpose(2, 0, 1)), 255


def _read_16_bit_colour(path: Path) -> np.ndarray:
    """uint16 (3, height, width) of a PNG file, by torchvision: Pillow keeps 8 of the 16 bits."""
    from torchvision.io import ImageReadMode, decode_image  # Late: importing it takes seconds.

    content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    pixels: np.ndarray = decode_image(content, ImageReadMode.UNCHANGED).numpy()
    return pixels


def _from_16_bits(
    values: np.ndarray, channels: Channels, size: tuple[int, int], value_range: tuple[int, int]
) -> tuple[np.ndarray, int]:
    """`_pixels` of (1 or 3, height, width) values; colour becomes grey by Pillow's weights for 8 bits (ITU-R 601)."""
    low, high = value_range
    scaled = ((values.astype(np.float32) - low) * (255 / (high - low))).clip(0, 255)
    if channels == "grey" and len(scaled) == 3:
        scaled = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), scaled, 1)[None]
    # Scaled as floats: Pillow resizes 16-bit integers less accurately.
    planes = [np.asarray(_fitted(Image.fromarray(plane), size)) for plane in scaled]
    pixels = np.stack(planes).round().clip(0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (1 if channels == "grey" else 3, *size)), int(values.max())


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The largest square in the middle, scaled to (height, width); an image that has this size is unchanged."""
    height, width = size
    if image.size == (width, height):
        return image
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    # Cropped first: scaling a part of an image mixes in the pixels next to it.
    return image.crop((left, top, left + side, top + side)).resize((width, height), Image.Resampling.BILINEAR)


def _unusable(path: Path, reason: str, advice: str) -> UserError:
    return UserError(f"{path} cannot be used ({reason}); {advice}.")
