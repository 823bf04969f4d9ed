"""What stands in a cell's folder beside its record, for pages and figures. What is damaged counts as not kept."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from PIL import Image
from typing_extensions import TypedDict

from cabench.data.dataset import SPACES, Space
from cabench.data.decoding import check_pixels
from cabench.experiment.record import Record
from cabench.files.bounds import LARGEST_PICTURE, read_whole
from cabench.files.json import read_json, read_json_lines
from cabench.files.regular import is_regular

WIDEST_PICTURE = 660  # pixels, which the grids of `cabench.pictures` need; wider ones are made smaller
MOST_EPOCHS = 200  # points of a curve
MOST_PIXELS = 1 << 26  # of a picture: a grid of 8 x 6 images of the largest size has 50 million


# What the readers below, and Pillow's of PNG files, raise for content that is damaged or of another kind.
_DAMAGED = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError),
    *(SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError),
)
_Content = TypeVar("_Content")


class _MappedAttribute(TypedDict):
    name: str
    space: Space
    kind: Literal["class", "real"]
    classes: list[str]


class _Plane(TypedDict):
    points: list[tuple[float, float]]
    explained: tuple[float, float]


class _Maps(TypedDict):
    """What `cabench.pictures.maps.maps` makes."""

    attributes: list[_MappedAttribute]
    is_target: list[int]
    values: dict[str, list[float | None]]
    spaces: dict[Space, _Plane]


class _Epoch(TypedDict):
    """What is read of a line of a cell's log."""

    epoch: int
    terms: dict[str, float]


class CellFiles(NamedTuple):
    """What a cell's folder holds beside its record; None or empty where it was not kept.

    Attributes:
        pictures: a grid of images, as the URL of a small copy.
        maps: see `cabench.pictures.maps.maps`.
        curve: (epoch, total loss) pairs.
    """

    pictures: str | None
    maps: Mapping[str, Any] | None
    curve: list[tuple[float, float]]


def read_cell(record: Record, results: Path) -> CellFiles:
    """What a record's folder holds; a file that cannot be read counts as not kept."""
    folder = record.folder(results)
    return CellFiles(
        pictures=_whole(lambda: _small_picture(folder / "pictures.png")),
        maps=_whole(lambda: _read_maps(folder / "maps.json")),
        curve=_whole(lambda: _read_curve(folder / "log.jsonl")) or [],
    )


class Picture(NamedTuple):
    """The picture of a cell.

    Attributes:
        png: the file's content.
        image: what it shows, RGB.
    """

    png: bytes
    image: Image.Image


def read_picture(record: Record, results: Path) -> Picture | None:
    """The picture of a record in its own size; None where it was not kept or cannot be read. No link is followed."""
    return _whole(lambda: _picture(record.folder(results) / "pictures.png"))


def _whole(read: Callable[[], _Content]) -> _Content | None:
    """What `read` gives; None where the file is missing or damaged."""
    try:
        return read()
    except _DAMAGED:
        return None


def _small_picture(path: Path) -> str:
    """A picture as a data URL, WebP, at most `WIDEST_PICTURE` wide."""
    smaller = _picture(path).image
    smaller.thumbnail((WIDEST_PICTURE, 10 * WIDEST_PICTURE), Image.Resampling.BOX)
    encoded = io.BytesIO()
    smaller.save(encoded, format="webp", quality=75, method=4)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode()


def _picture(path: Path) -> Picture:
    if not is_regular(path):
        raise FileNotFoundError(path)
    png = read_whole(path, LARGEST_PICTURE)
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        check_pixels(image, MOST_PIXELS)
        image.load()
        return Picture(png, image if image.mode == "RGB" else image.convert("RGB"))


def _read_maps(path: Path) -> Mapping[str, Any]:
    maps = read_json(path, _Maps)
    if any(len(maps["spaces"][space]["points"]) != len(maps["is_target"]) for space in SPACES):
        raise ValueError("points that do not fit")
    if any(len(maps["values"][attribute["name"]]) != len(maps["is_target"]) for attribute in maps["attributes"]):
        raise ValueError("values that do not fit")
    return maps


def _read_curve(path: Path) -> list[tuple[float, float]]:
    curve = [(float(entry["epoch"]), entry["terms"]["total"]) for entry in read_json_lines(path, _Epoch)]
    return curve[:: max(1, len(curve) // MOST_EPOCHS)]
