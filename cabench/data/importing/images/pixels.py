"""What the pixels of an image file mean: one table of rules for every format, kind of pixels and number of bits.

The table is `RULES`; `docs/what-is-read.md` shows it to users. What it does not hold is refused, since Pillow would
read some of it as something else: of 16-bit colour it keeps the high bytes, signed numbers it takes for unsigned ones,
and a fourth channel that the file does not explain it drops. White is zero in some TIFF files; here black always is.

Orientation (tag 274 of EXIF 2.32, and of TIFF 6.0): images are turned as it says, once. Pillow turns those of TIFF
files while it loads them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from cabench.data.decoding import MOST_PIXELS, UNDECODABLE, check_pixels
from cabench.files.bounds import MIB, check_size

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
ADVICE = "save it as grey or RGB with 8 bits a channel, without transparency"
REPLACE = "replace it by an undamaged copy"

Channels = Literal["grey", "colour"]
LARGEST_FILE = 512 * MIB
MOST_DEEP_PIXELS = 1 << 24  # of an image of more than 8 bits, such as 4,096 x 4,096: scaling one takes 24 bytes a pixel

warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")  # tags that are cut short are left out

_Read = TypeVar("_Read")

_ORIENTATION = 274
_UNREADABLE = (
    *UNDECODABLE,
    LookupError,
    TypeError,
    RuntimeError,
    OverflowError,
    MemoryError,
    AssertionError,  # of a palette that is missing
)  # of Pillow and of torchvision
_SRGB_GAMMA, _GAMMA_STEP = 1 / 2.2, 0.01  # what most writers of PNG files state


class Reading(Enum):
    """What pixels become: uint8 from black to white, or uint16 values that a range makes of them later."""

    GREY = auto()  # 1, 2 and 4 bits are spread over 0 to 255
    COLOUR = auto()
    PALETTE = auto()  # the palette's colours; grey where all of its entries are grey
    GREY_12 = auto()
    GREY_16 = auto()
    INVERTED_16 = auto()  # Pillow inverts white-is-zero of 1 to 8 bits, but not of 16
    COLOUR_16 = auto()


_DEPTHS = {Reading.GREY_12: 12, Reading.GREY_16: 16, Reading.INVERTED_16: 16, Reading.COLOUR_16: 16}
_TO_8 = dict.fromkeys((1, 2, 4, 8), Reading.GREY)
_OF_PALETTE = dict.fromkeys((1, 2, 4, 8), Reading.PALETTE)

RULES: Mapping[str, Mapping[str, Mapping[int, Reading]]] = {
    "PNG": {
        "grey": {**_TO_8, 16: Reading.GREY_16},
        "grey, one value transparent": {8: Reading.GREY},
        "grey with alpha": {8: Reading.GREY},
        "palette": _OF_PALETTE,
        "colour": {8: Reading.COLOUR, 16: Reading.COLOUR_16},
        "colour, one value transparent": {8: Reading.COLOUR},
        "colour with alpha": {8: Reading.COLOUR},
    },
    "JPEG": {"grey": {8: Reading.GREY}, "colour": {8: Reading.COLOUR}, "CMYK": {8: Reading.COLOUR}},
    "TIFF": {
        "black is zero": {**_TO_8, 12: Reading.GREY_12, 16: Reading.GREY_16},
        "white is zero": {**_TO_8, 16: Reading.INVERTED_16},
        "black is zero, with alpha": {8: Reading.GREY},
        "palette": _OF_PALETTE,
        "palette with alpha": {8: Reading.PALETTE},
        "colour": {8: Reading.COLOUR},
        "colour with alpha": {8: Reading.COLOUR},
        "CMYK": {8: Reading.COLOUR},
        "YCbCr in JPEG": {8: Reading.COLOUR},
    },
    "BMP": {
        "palette": dict.fromkeys((1, 4, 8), Reading.PALETTE),
        "colour": dict.fromkeys((16, 24, 32), Reading.COLOUR),
        "colour with alpha": {32: Reading.COLOUR},
    },
}
"""By format, kind of pixels, and bits a channel (of BMP: a pixel). Where alpha is not full everywhere, or a pixel has
the transparent value, the image is refused, whatever the rule."""

_TURNS: Mapping[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda planes: planes[:, :, ::-1],
    3: lambda planes: planes[:, ::-1, ::-1],
    4: lambda planes: planes[:, ::-1],
    5: lambda planes: planes.transpose(0, 2, 1),
    6: lambda planes: np.rot90(planes, -1, (1, 2)),
    7: lambda planes: planes[:, ::-1, ::-1].transpose(0, 2, 1),
    8: lambda planes: np.rot90(planes, 1, (1, 2)),
}
_SIDEWAYS = (5, 6, 7, 8)


class UnusableImageError(Exception):
    """Why an image cannot be used, and what to do about it.

    Attributes:
        reason: a clause.
        advice: a clause that starts with a verb.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.reason, self.advice = reason, advice

    def alone(self) -> UnusableImageError:
        """The same without a traceback, whose frames would keep the image in memory."""
        return UnusableImageError(self.reason, self.advice)


class Header(NamedTuple):
    """What a file says of its image before it is decoded.

    Attributes:
        width: in pixels, of the upright image.
        height: likewise.
        channels: what its pixels are.
        bits: of the values that it becomes: 8, or 12 or 16 where a range makes 8 of them.
        format: one of `FORMATS`.
        kind: of its pixels, with their bits, such as "grey, 8 bits".
        size: of the file, in bytes.
        turned: whether it is stored in another orientation.
        profiled: whether it has a colour profile or a gamma that is not sRGB's. Neither is applied.
    """

    width: int
    height: int
    channels: Channels
    bits: int
    format: str
    kind: str
    size: int
    turned: bool
    profiled: bool


def read_header(path: Path) -> Header:
    """What a file says of its image.

    Raises:
        UnusableImageError: for a file that is damaged, holds several images, or has pixels that no rule is for.
    """

    def read(image: Image.Image) -> Header:
        file_format, kind, bits = _kind(image, path)
        reading, profiled = _rule(file_format, kind, bits, image), _profiled(image)
        width, height = _stored_size(image)
        # What follows may load the image, which forgets its tags.
        orientation = _orientation(image)
        channels: Channels = "grey" if _is_grey(image, reading) else "colour"
        if orientation in _SIDEWAYS:
            width, height = height, width
        return Header(
            width=width,
            height=height,
            channels=channels,
            bits=_DEPTHS.get(reading, 8),
            format=file_format,
            kind=f"{kind}, {bits} bits",
            size=path.stat().st_size,
            turned=orientation in _TURNS,
            profiled=profiled,
        )

    return _opened(path, read)


def read_pixels(path: Path) -> np.ndarray:
    """The upright image, black at zero.

    Returns:
        (1 or 3, height, width): uint8, or uint16 of 12 and 16 bits.

    Raises:
        UnusableImageError: as by `read_header`, and for an image of which parts are transparent.
    """

    def read(image: Image.Image) -> np.ndarray:
        file_format, kind, bits = _kind(image, path)
        planes = _planes(image, _rule(file_format, kind, bits, image), path)
        turn = None if file_format == "TIFF" else _TURNS.get(_orientation(image))
        return planes if turn is None else turn(planes)

    return _opened(path, read)


def _opened(path: Path, read: Callable[[Image.Image], _Read]) -> _Read:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise UnusableImageError("it is no regular file", "replace it by an image")
        # Not by its path: Pillow 13.0 then maps uncompressed TIFF files that are turned by a quarter into memory as if
        # they were upright, and gives their pixels in disorder.
        check_size(path, LARGEST_FILE)
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            _check_pixels(image, MOST_PIXELS)
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise UnusableImageError(f"it holds {frames} images", "save them as files of their own")
            return read(image)
    except UnidentifiedImageError as error:
        with path.open("rb") as file:
            known = file.read(4) in (b"II*\0", b"MM\0*")
        reason = "it is a TIFF file of a kind that is not read" if known else "it is no image of a known format"
        raise UnusableImageError(reason, ADVICE if known else REPLACE) from error
    except _UNREADABLE as error:
        raise UnusableImageError(str(error) or type(error).__name__, REPLACE) from error


def _check_pixels(image: Image.Image, most: int) -> None:
    try:
        check_pixels(image, most)
    except ValueError as error:
        raise UnusableImageError(str(error), "scale it down") from error


def _rule(file_format: str, kind: str, bits: int, image: Image.Image) -> Reading:
    reading = RULES.get(file_format, {}).get(kind, {}).get(bits)
    if reading is None:
        raise UnusableImageError(f"{file_format}, {kind}, {bits} bits: not read", ADVICE)
    if reading in _DEPTHS:
        _check_pixels(image, MOST_DEEP_PIXELS)
    return reading


# What a file says of its pixels


def _kind(image: Image.Image, path: Path) -> tuple[str, str, int]:
    """The format of an image that is not loaded, the kind of its pixels and their bits, as `RULES` names them."""
    kinds = {"PNG": _kind_of_png, "TIFF": _kind_of_tiff, "BMP": _kind_of_bmp}
    file_format = str(image.format) if image.format in kinds else "JPEG"
    return file_format, *kinds.get(file_format, _kind_of_jpeg)(image, path)


def _kind_of_png(image: Image.Image, path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        start = file.read(26)  # signature, and the chunk IHDR up to the colour type
    bits, colour_type = start[24], start[25]
    names = {0: "grey", 2: "colour", 3: "palette", 4: "grey with alpha", 6: "colour with alpha"}
    kind = names.get(colour_type, f"colour type {colour_type}")
    transparent = colour_type in (0, 2) and "transparency" in image.info
    return f"{kind}, one value transparent" if transparent else kind, bits


def _kind_of_jpeg(image: Image.Image, path: Path) -> tuple[str, int]:
    return {"L": "grey", "RGB": "colour", "CMYK": "CMYK"}.get(image.mode, image.mode), 8


def _kind_of_bmp(image: Image.Image, path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        start = file.read(30)
    place = 24 if start[14] == 12 else 28  # OS/2's header is shorter
    kind = {"RGB": "colour", "RGBA": "colour with alpha"}.get(image.mode, "palette")
    return kind, int.from_bytes(start[place : place + 2], "little")


def _kind_of_tiff(image: Any, path: Path) -> tuple[str, int]:
    tags = image.tag_v2
    bits = tags.get(258, (1,))
    photometric, samples, extra = tags.get(262), tags.get(277, 1), tags.get(338, ())
    names = {0: "white is zero", 1: "black is zero", 2: "colour", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
    kind = names.get(photometric, f"photometric interpretation {photometric}")
    if photometric == 6 and tags.get(259) == 7:
        kind = "YCbCr in JPEG"
    formats = set(tags.get(339, (1,)))
    if formats != {1}:
        kind += ", signed" if formats == {2} else ", floats" if formats == {3} else ", numbers of another kind"
    expected = {2: 3, 5: 4, 6: 3, 8: 3}.get(photometric, 1)
    if samples > expected:
        join = " with" if photometric in (2, 3) else ", with"
        alpha = samples == expected + 1 and tuple(extra) in ([(1,), (2,)] if photometric == 2 else [(2,)])
        kind += f"{join} alpha" if alpha else f"{join} an unknown channel"
    return kind, max(bits)


def _is_grey(image: Image.Image, reading: Reading) -> bool:
    if reading is Reading.PALETTE:
        if image.mode in ("L", "1"):  # so Pillow opens BMP files whose palette counts from black to white
            return True
        image.load()
        entries = np.array(image.getpalette("RGB")).reshape(-1, 3)
        return bool((entries == entries[:, :1]).all())
    return reading not in (Reading.COLOUR, Reading.COLOUR_16)


def _stored_size(image: Any) -> tuple[int, int]:
    """Width and height before turning; versions of Pillow differ in which ones they give for TIFF files."""
    if image.format == "TIFF":
        return int(image.tag_v2[256]), int(image.tag_v2[257])
    return int(image.width), int(image.height)


def _orientation(image: Any) -> int:
    """1 to 8; 1 where the file says none."""
    found = image.tag_v2.get(_ORIENTATION) if image.format == "TIFF" else image.getexif().get(_ORIENTATION)
    return found if found in _TURNS else 1


def _profiled(image: Image.Image) -> bool:
    gamma = image.info.get("gamma", _SRGB_GAMMA)
    profile = image.info.get("icc_profile") or b"sRGB"
    # Its name is ASCII, or UTF-16 from version 4 of the format on.
    return b"sRGB" not in profile.replace(b"\0", b"") or abs(gamma - _SRGB_GAMMA) > _GAMMA_STEP


# What the pixels become


def _planes(image: Image.Image, reading: Reading, path: Path) -> np.ndarray:
    """(1 or 3, height, width) as they are stored; those of TIFF files upright."""
    if reading is Reading.COLOUR_16:
        return _16_bit_colour(path)
    if reading in (Reading.GREY_12, Reading.GREY_16):
        return np.asarray(image)[None].astype(np.uint16)
    if reading is Reading.INVERTED_16:
        return 65_535 - np.asarray(image)[None].astype(np.uint16)
    grey = _is_grey(image, reading)
    image.load()
    if image.has_transparency_data and not _is_opaque(image):
        raise UnusableImageError("parts of it are transparent", "save it on a background of your choice")
    if grey and image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))[None]
    planes = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    return planes[:1] if grey else planes


def _is_opaque(image: Image.Image) -> bool:
    with_alpha = image if "A" in image.getbands() else image.convert("RGBA")
    return with_alpha.getchannel("A").getextrema() == (255, 255)


def _16_bit_colour(path: Path) -> np.ndarray:
    """uint16 (3, height, width) of a PNG file, by torchvision: Pillow keeps 8 of the 16 bits."""
    from torchvision.io import ImageReadMode, decode_image  # Late: importing it takes seconds.

    content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    pixels: np.ndarray = decode_image(content, ImageReadMode.UNCHANGED).numpy()
    return pixels
