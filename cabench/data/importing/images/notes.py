"""What users must know of the image files that a data set was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cabench.data.importing.images.fitting import share_cut_off
from cabench.data.importing.images.pixels import Header
from cabench.data.importing.images.reading import ImageForm, Pixels
from cabench.data.layout import counted
from cabench.data.shortcuts import Measures, shortcuts

DIM = 4  # 16-bit images below a quarter of the range are nearly black once they have 8 bits
MUCH = 0.1  # of an image's area


def notes_on(pixels: Mapping[str, Pixels], form: ImageForm, groups: np.ndarray | None) -> list[str]:
    """Sentences on what was made of the files, and on what tells populations apart by the files alone.

    Args:
        pixels: by population, background first.
        form: what they were made into.
        groups: (n,) text of all images in that order, or None.
    """
    headers = [header for part in pixels.values() for header in part.headers]
    turned, profiled = sum(header.turned for header in headers), sum(header.profiled for header in headers)
    inked = sum(header.kind.startswith("CMYK") for header in headers)
    notes = [
        *_counted("Turned, as the orientation tag says", turned),
        *_counted("With a colour profile or gamma other than sRGB, which was not applied", profiled),
        *_counted("Converted from CMYK to RGB without a colour profile", inked),
        *said_of_cut_off([(header.width, header.height) for header in headers], form),
        *_on_range(headers[0].bits, max(part.brightest for part in pixels.values()), form),
    ]
    is_target = np.repeat([False, True], [len(part.headers) for part in pixels.values()])
    said = shortcuts(_measures(headers), is_target, np.full(len(headers), "", object) if groups is None else groups)
    return [*notes, f"{said[0].upper()}{said[1:]}."] if said else notes


def _counted(what: str, count: int) -> list[str]:
    return [f"{what}: {counted(count, 'image')}."] if count else []


def said_of_cut_off(
    sizes: Sequence[tuple[int, int]], form: ImageForm, advice: str = "import them with --fit pad to keep them"
) -> list[str]:
    """Whether cropping images of some sizes (width, height) removes more than a tenth of them, and what else to do."""
    if form.size is None or form.fit != "crop":
        return []
    shares = [share_cut_off(width, height, form.size) for width, height in sizes]
    much = sum(share > MUCH for share in shares)
    if not much:
        return []
    return [
        f"More than a tenth of the area, up to {max(shares):.0%}, is cut off {much:,} of {len(sizes):,} images, and "
        f"findings at the edge with it: {advice}."
    ]


def _on_range(bits: int, brightest: int, form: ImageForm) -> list[str]:
    highest = 2**bits - 1
    if bits == 8 or form.value_range or brightest >= highest / DIM:
        return []
    return [
        f"The brightest of the {bits}-bit values is {brightest} of {highest}: most of the range is not used, and the "
        f"images are nearly black. Import them with --range 0 {max(1, brightest)} to use it."
    ]


def _measures(headers: Sequence[Header]) -> Measures:
    width, height, size = (np.array([getattr(h, name) for h in headers], float) for name in ("width", "height", "size"))
    numbers = {
        "the size of images": width * height,
        "their aspect ratio": width / height,
        "the bytes per pixel": size / (width * height),
    }
    categories = {
        "file type": np.array([header.format for header in headers]),
        "the kind of pixels": np.array([header.kind for header in headers]),
    }
    return Measures(numbers, categories)
