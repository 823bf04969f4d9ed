"""The figures of a results folder: of every section its chart, and of every method with a decoder its grid."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cabench import discovery
from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.files.names import LONGEST_NAME
from cabench.method import Generative
from cabench.report.cell_files import read_picture
from cabench.report.charts import Point
from cabench.report.grid_figure import grid_figure
from cabench.report.section_charts import leakage_chart, leakage_points
from cabench.report.summary import Row, Section, sections


def section_figures(records: Sequence[Record], results: Path) -> dict[str, str]:
    """Charts as SVG text, without style, by name.

    `<data set>-<profile>-wanted-leaked` shows all methods that have a separation gap, and
    `<data set>-<profile>-<method>-removals` the picture of a method's lowest seed, where its cell keeps one. Where two
    sections or rows would have the same name, the precision and the data's content, or the cell's key, tell them apart.

    Args:
        records: of one results folder.
        results: that folder.
    """
    found = sections(records)
    short = [plain(f"{section.dataset}-{section.profile}") for section in found]
    long = [f"{name}-{s.precision}-{s.content[:8]}" for name, s in zip(short, found, strict=True)]
    figures: dict[str, str] = {}
    for section, name in zip(found, told_apart(short, long), strict=True):
        if points := leakage_points(section):
            figures[f"{name}-wanted-leaked"] = leakage_chart([_mean(point) for point in points])
        figures |= {f"{name}-{method}-removals": grid for method, grid in _grids(section, results).items()}
    return figures


def _mean(point: Point) -> Point:
    """A point without its seeds, of which a figure would need a legend."""
    return point._replace(x=(float(np.mean(point.x)),), y=(float(np.mean(point.y)),))


def _grids(section: Section, results: Path) -> dict[str, str]:
    """The grids of a section's methods, by their labels."""
    rows = [row for row in section.current if _decodes(row)]
    short = [str(row.records[0].method["label"]) for row in rows]
    long = [f"{name}-{row.records[0].key[:8]}" for name, row in zip(short, rows, strict=True)]
    found = {}
    for row, name in zip(rows, told_apart(short, long), strict=True):
        picture = read_picture(row.records[0], results)
        if picture is None:
            continue
        try:
            found[name] = grid_figure(
                picture, f"Reconstructions, removals and swaps by {row.name} on {section.dataset}"
            )
        except ValueError:  # a picture of another kind, which an older or a changed method has left
            continue
    return found


def _decodes(row: Row) -> bool:
    """Whether the method is installed and has a decoder: the pictures of others show neighbours."""
    record = row.records[0]
    if record.from_vectors:
        return False
    try:
        return issubclass(discovery.method_class(record.method["name"]), Generative)
    except UserError:
        return False


def told_apart(short: Sequence[str], long: Sequence[str]) -> list[str]:
    """The short names, and in place of those that occur twice the long ones."""
    often = Counter(short)
    return [name if often[name] == 1 else other for name, other in zip(short, long, strict=True)]


def plain(text: str) -> str:
    """A text as part of a file's name: what profiles are called is free."""
    return re.sub(r"[^\w.-]", "_", text)[: 2 * LONGEST_NAME].lstrip(".-")
