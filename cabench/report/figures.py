"""Figures for papers and pages: charts as SVG files that stand alone, and the same as PNG.

An SVG file has its own background and both sets of the page's colours: a viewer that prefers dark shows the dark one.
PNG files are always light and twice as large, for print. They are drawn by resvg, of the extra `figures`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from PIL import Image, PngImagePlugin

from cabench.errors import UserError
from cabench.files.atomic import replacing, write_text
from cabench.files.regular import plain
from cabench.report.labels import font

WIDTH = 800  # pixels that a figure takes on a page
ZOOM = 2  # of PNG files
SIGN = "a figure of cabench"
"""Stands near the beginning of every figure: by it files that may be replaced are known."""

ONLY_SVG = "There are no PNG files, as resvg_py is not installed: pip install 'cabench[figures]'."


def can_draw_png() -> bool:
    """Whether resvg is installed."""
    return find_spec("resvg_py") is not None


def standing_alone(chart: str) -> str:
    """A chart with its namespace, size, background and style.

    Args:
        chart: SVG text, as `cabench.report.charts` makes it.
    """
    root = ElementTree.fromstring(chart)
    width, height = map(float, root.get("viewBox", "").split()[2:])
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("width", str(WIDTH))
    root.set("height", f"{WIDTH * height / width:.0f}")
    sign, style = ElementTree.Element("metadata"), ElementTree.Element("style")
    sign.text, style.text = SIGN, _style()
    background = ElementTree.Element("rect", {"class": "paper", "width": "100%", "height": "100%"})
    root[:0] = [sign, style, background]
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def check_free(folder: Path, figures: Mapping[str, str]) -> None:
    """Refuse to write over files that are no figures of cabench.

    Args:
        folder: where the figures go.
        figures: SVG texts by name.

    Raises:
        UserError: naming the file and what to do instead.
    """
    for path in _paths(folder, figures):
        if path.exists() and not _is_figure(path):
            raise UserError(
                f"{path} exists already and is no figure of cabench; give --force to replace it, "
                "or choose another folder for --figures."
            )


def write_figures(folder: Path, figures: Mapping[str, str]) -> list[Path]:
    """Write figures as SVG and, where resvg is installed, as PNG; equal figures give equal files.

    Args:
        folder: made where it is missing; nothing else in it is touched.
        figures: charts as SVG text, by name, which is that of their files without ending.

    Returns:
        The files, in the order of the figures.

    Raises:
        UserError: when they cannot be written, or where a link has the name of one: links are not followed.
    """
    paths = list(_paths(folder, figures))
    for path in paths:
        plain(path, below=folder)
    try:
        for name, chart in figures.items():
            figure = standing_alone(chart)
            write_text(folder / f"{name}.svg", figure)
            if can_draw_png():
                with replacing(folder / f"{name}.png") as temporary:
                    temporary.write_bytes(png(figure))
    except OSError as error:
        raise _not_written(folder, error) from error
    return paths


def png(figure: str) -> bytes:
    """A figure as the content of a PNG file, in light colours, without transparency.

    Args:
        figure: SVG text that stands alone. Letters are those of the font that names were measured in; where it lacks
            one, those of an installed font.

    Raises:
        ImportError: when resvg is not installed.
    """
    import resvg_py

    with TemporaryDirectory() as folder:
        letters = Path(folder) / "letters.ttf"
        letters.write_bytes(font().font_bytes)
        drawn = resvg_py.svg_to_bytes(svg_string=figure, zoom=ZOOM, font_files=[str(letters)])
    sign = PngImagePlugin.PngInfo()
    sign.add_text("Comment", SIGN)
    written = io.BytesIO()
    Image.open(io.BytesIO(drawn)).convert("RGB").save(written, format="png", optimize=True, pnginfo=sign)
    return written.getvalue()


def _is_figure(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return SIGN.encode() in file.read(1000)
    except OSError:
        return False


def _paths(folder: Path, figures: Mapping[str, str]) -> Iterator[Path]:
    endings = ("svg", "png") if can_draw_png() else ("svg",)
    return (folder / f"{name}.{ending}" for name in figures for ending in endings)


def _style() -> str:
    """The page's style of charts in its light colours and, where dark is preferred, in its dark ones."""
    page = files("cabench.report") / "page"
    rules = (page / "chart.css").read_text(encoding="utf-8")
    before, after = (page / "style.css").read_text(encoding="utf-8").split("@media", 1)
    light, dark = _coloured(rules, before), _coloured(rules, after)
    return f"\n{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _coloured(rules: str, style: str) -> str:
    """Rules with the colours that a style sheet gives names to."""
    colours = dict(re.findall(r"--([\w-]+): (#\w+);", style))
    return re.sub(r"var\(--([\w-]+)\)", lambda found: colours[found[1]], rules)


def _not_written(folder: Path, error: OSError) -> UserError:
    return UserError(f"The figures cannot be written to {folder} ({error}).")
