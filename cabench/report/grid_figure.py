"""The grid of reconstructions, removals and swaps that a cell keeps, as an SVG chart with labels of its own."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

from cabench.data.drawing import GAP, LABELS_WIDTH
from cabench.pictures.generation import ROWS
from cabench.report.cell_files import Picture

WIDTH, LABELS = 640, 142  # pixels, as charts have them; the second of the labels
MARGIN = 8
LINE = 15  # height of a line of a label


def grid_figure(picture: Picture, description: str) -> str:
    """The grid without the labels that are drawn in it, beside labels as text; no wider than it is, or than fits.

    The file is embedded as it is and shown in part, so that equal pictures give equal figures whoever encodes them.

    Args:
        picture: as `cabench.pictures.generation.picture_grid` makes it.
        description: read aloud in place of the picture.

    Raises:
        ValueError: when it is too small to be such a grid, or its height is no multiple of the rows.
    """
    whole, height = picture.image.size
    width = whole - LABELS_WIDTH - GAP
    if width <= 0 or height % len(ROWS):
        raise ValueError(f"A picture of {whole} x {height} pixels is no grid of {len(ROWS)} rows beside labels.")
    scale = min(1.0, (WIDTH - LABELS) / width)
    row = scale * height / len(ROWS)
    view = f"0 0 {WIDTH} {scale * (height - GAP):.1f}"
    root = ElementTree.Element("svg", {"viewBox": view, "role": "img", "class": "chart", "aria-label": description})
    for place, label in enumerate(ROWS):
        lines = label.split("\n")
        first = row * (place + 0.5) - LINE * (len(lines) - 1) / 2 + 4
        for index, line in enumerate(lines):
            text = ElementTree.SubElement(
                root, "text", {"x": str(MARGIN), "y": f"{first + LINE * index:.1f}", "class": "name"}
            )
            text.text = line
    shown = {"x": str(LABELS), "y": "0", "width": f"{scale * width:.1f}", "height": f"{scale * (height - GAP):.1f}"}
    part = ElementTree.SubElement(root, "svg", {**shown, "viewBox": f"{LABELS_WIDTH} 0 {width} {height - GAP}"})
    content = "data:image/png;base64," + base64.b64encode(picture.png).decode()
    # Pixels stay squares: smoothed, a picture of small images is blurred, and its PNG four times as large.
    pixels = {"width": str(whole), "height": str(height), "image-rendering": "optimizeSpeed"}
    ElementTree.SubElement(part, "image", {"href": content, **pixels})
    return ElementTree.tostring(root, encoding="unicode")
