"""One self-contained HTML page of a results folder: tables, charts, maps, pictures, curves, problems, provenance.

The page needs no network. Tables and charts are there without JavaScript; it sorts tables, draws maps and changes the
theme. Pictures are re-encoded small, of each method the one of its lowest seed.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from typing_extensions import TypedDict

from cabench.data.dataset import SPACES, Space
from cabench.evaluation.gap import Estimate
from cabench.experiment.record import Record
from cabench.files.json import read_json, read_json_lines
from cabench.files.names import printable
from cabench.report.charts import (
    Point,
    curves,
    heat,
    linear_axis,
    logarithmic_axis,
    percent_axis,
    scatter,
    strip,
)
from cabench.report.comparison import takes_part
from cabench.report.conclusions import conclusion
from cabench.report.further_tables import further_tables
from cabench.report.notes import notes, origin, problems, ranking_sentence, warnings
from cabench.report.overview import overview
from cabench.report.probe_tables import probe_tables
from cabench.report.published import Published, beside_published
from cabench.report.quantities import Quantity, gap_of, leaked_of, wanted_of
from cabench.report.ranking import rankings
from cabench.report.row_values import interval_of, over_seeds
from cabench.report.summary import Row, Section, one_by_one, sections
from cabench.report.tables import Entry, Header, Table, attribute_title, footnote

WIDEST_PICTURE = 660  # pixels, which the grids of `cabench.pictures` need; wider ones are made smaller
MOST_EPOCHS = 200  # points of a curve


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


def html_page(
    records: Sequence[Record],
    results: Path,
    published: Sequence[Published] = (),
    stale: bool = False,
    reference: str = "",
) -> str:
    """The page.

    Args:
        records: of one results folder.
        results: that folder; pictures, maps and training curves are read from it as far as they are there.
        published: figures from papers, set beside scores of the same protocol.
        stale: whether records of older versions are compared with the others, under their version.
        reference: the name of a row that the others are compared with, as was said beforehand; "" for none.

    Raises:
        UserError: for a reference that is not there.
    """
    found = sections(records, stale, reference)
    ranked = [(ranking, ranking_sentence(ranking), footnote(ranking.ranks)) for ranking in rankings(found)]
    numbered = enumerate(one_by_one(found), start=1)
    shown = [_section(section, number, results, published) for number, section in numbered]
    return render(
        "template.html",
        style=Markup(asset("style.css")),
        script=Markup(asset("script.js")),
        sections=shown,
        rankings=ranked,
        versions=sorted({str(record.provenance.get("cabench", "unknown")) for record in records}),
    )


def html_tables(records: Sequence[Record]) -> str:
    """The tables of `cabench report --format summary` as a fragment of HTML, for a notebook; no style sheet, no script.

    Args:
        records: of one results folder.
    """
    found = sections(records)
    shown = [(s, origin(s), overview(s), [conclusion(s), *warnings(s)]) for s in found]
    ranked = [(ranking, ranking_sentence(ranking), footnote(ranking.ranks)) for ranking in rankings(found)]
    return render("fragment.html", sections=shown, rankings=ranked)


def render(template: str, **content: object) -> str:
    """A template of `page/` filled in: text from outside is escaped, `Markup` is not."""
    environment = Environment(
        loader=FunctionLoader(asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_seen,
    )
    environment.filters["strip_of"] = _strip
    environment.filters["mean"] = lambda values: sum(values) / len(values)
    environment.globals["span"] = _span
    return environment.get_template(template).render(content)


def _seen(value: object) -> object:
    """What the template writes: text without control characters. Markup is this project's own."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def read_cell(record: Record, results: Path) -> CellFiles:
    """What a record's folder holds; a file that cannot be read counts as not kept."""
    folder = record.folder(results)
    return CellFiles(
        pictures=_whole(lambda: _small_picture(folder / "pictures.png")),
        maps=_whole(lambda: _read_maps(folder / "maps.json")),
        curve=_whole(lambda: _read_curve(folder / "log.jsonl")) or [],
    )


def _whole(read: Callable[[], _Content]) -> _Content | None:
    """What `read` gives; None where the file is missing or damaged."""
    try:
        return read()
    except _DAMAGED:
        return None


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


def _section(section: Section, number: int, results: Path, published: Sequence[Published]) -> dict[str, Any]:
    """All that the template shows of one section."""
    current = section.current
    kept = {row.name: [read_cell(record, results) for record in row.records] for row in current}
    return {
        "id": f"section-{number}",
        "title": section.dataset,
        "profile": section.profile,
        "examples": section.examples,
        "origin": origin(section),
        "conclusion": conclusion(section),
        "warnings": warnings(section),
        "leakage": Markup(_leakage(section)),
        "cost": Markup(_cost(section)),
        "overview": overview(section),
        "probes": probe_tables(section),
        "further": [*further_tables(section), *beside_published(section, published)],
        "maps": _maps(section, kept),
        "pictures": [(name, cells[0].pictures) for name, cells in kept.items() if cells and cells[0].pictures],
        "curves": [(name, Markup(_curves(name, cells))) for name, cells in kept.items() if any(c.curve for c in cells)],
        "dimensions": [(row.name, Markup(_dimensions(row))) for row in current if _has_dimensions(row)],
        "problems": problems(section),
        "stale": [row.name for row in section.rows if row.stale],
        "notes": notes(section),
        "provenance": [_provenance(row, record) for row in section.rows for record in row.records],
    }


def _leakage(section: Section) -> str:
    points = _points(section.current, leaked_of, wanted_of)
    description = "Information read from the right space against information leaked into the wrong one, by method."
    wanted, leaked = (
        percent_axis("wanted: read from the right space"),
        percent_axis("leaked: read from the wrong space"),
    )
    return scatter(points, leaked, wanted, description, "below: no separation")


def _cost(section: Section) -> str:
    """Training time against the separation gap, of the methods that have seen images; nothing where there is none."""
    trained = [
        row for row in section.current if all(min(r.cost["images_seen"], r.cost["train_s"]) > 0 for r in row.records)
    ]
    points = _points(trained, lambda record: Estimate(float(record.cost["train_s"]), {}), gap_of)
    if not points:
        return ""
    seconds = logarithmic_axis("training time in seconds", [value for point in points for value in point.x])
    highest = [value + (point.y_interval or 0.0) for point in points for value in point.y]
    gaps = linear_axis("separation gap, less is better", highest)
    return scatter(points, seconds, gaps, "Training time against separation gap, by method.")


def _points(rows: Sequence[Row], x: Quantity, y: Quantity) -> list[Point]:
    """The rows that have both quantities."""
    points = []
    for row in rows:
        across, up = over_seeds(row, x), over_seeds(row, y)
        if across and up:
            points.append(Point(row.name, tuple(across), tuple(up), _half(row, x), _half(row, y), takes_part(row)))
    return points


def _half(row: Row, quantity: Quantity) -> float | None:
    """Half the width of the interval of a row's mean; none of what test groups add nothing to, such as times."""
    found = interval_of(row, quantity)
    return found.half_width if found else None


def _maps(section: Section, kept: Mapping[str, Sequence[CellFiles]]) -> dict[str, Any] | None:
    """What the script draws maps from: attributes and their values once, points by method; None where none were kept.

    Only maps of the same images are shown together; those of other images (of an older evaluation) are left out.
    """
    drawn = {name: cells[0].maps for name, cells in kept.items() if cells and cells[0].maps is not None}
    if not drawn:
        return None
    first = next(iter(drawn.values()))
    shared = {key: first[key] for key in ("attributes", "is_target", "values")}
    same = {name: maps["spaces"] for name, maps in drawn.items() if {key: maps[key] for key in shared} == shared}
    return {**shared, "methods": same}


def _small_picture(path: Path) -> str:
    """A picture as a data URL, WebP, at most `WIDEST_PICTURE` wide."""
    if not path.is_file():
        raise FileNotFoundError(path)
    with Image.open(path, formats=("PNG",)) as picture:
        smaller = picture.convert("RGB")
        smaller.thumbnail((WIDEST_PICTURE, 10 * WIDEST_PICTURE), Image.Resampling.BOX)
    encoded = io.BytesIO()
    smaller.save(encoded, format="webp", quality=75, method=4)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode()


def _curves(name: str, cells: Sequence[CellFiles]) -> str:
    return curves([cell.curve for cell in cells if cell.curve], f"Total loss of {name} over epochs, a line a seed")


def _has_dimensions(row: Row) -> bool:
    return any(row.records[0].dimension_r2.values())


def _dimensions(row: Row) -> str:
    shared = {attribute_title(name): values for name, values in row.records[0].dimension_r2.items()}
    return heat(shared, f"R² between dimensions of the salient space and attributes, {row.name}")


def _provenance(row: Row, record: Record) -> dict[str, Any]:
    known = record.provenance
    commit = str(known.get("commit") or "")[:8] + (" with changes" if known.get("dirty") else "")
    return {
        "method": row.name,
        "seed": record.seed,
        "key": record.key[:8],
        "commit": commit or "unknown",
        "torch": known.get("torch", "unknown"),
        "hardware": known.get("gpu") or known.get("cpu") or "unknown",
        "started": known.get("started", "unknown"),
        "train_s": record.cost.get("train_s", float("nan")),
        "peak_memory_gib": record.cost.get("peak_memory_gib"),
        "parameters": record.cost.get("parameters", 0),
        "images_seen": record.cost.get("images_seen", 0),
    }


def _strip(entry: Entry, table: Table, column: int) -> Markup:
    """The dots of one entry on the scale of its column."""
    if len(entry.values) < 2:
        return Markup("")
    reach = [end for line in table.lines for end in _reach(line.entries[column])]
    return Markup(strip(entry.values, _half_width(entry), (min(reach), max(reach))))


def _reach(entry: Entry) -> list[float]:
    """All that is drawn of an entry: its values, and the ends of its interval."""
    if not entry.values:
        return []
    mean, half_width = sum(entry.values) / len(entry.values), _half_width(entry) or 0.0
    return [*entry.values, mean - half_width, mean + half_width]


def _half_width(entry: Entry) -> float | None:
    return float(entry.interval.replace(",", "")) if entry.interval else None


def _span(headers: Sequence[Header], index: int) -> int:
    """How many neighbouring columns, from this one on, have its group."""
    return len(list(takewhile(lambda header: header.group == headers[index].group, headers[index:])))


def asset(name: str) -> str:
    """A file of `page/`."""
    return (files("cabench.report") / "page" / name).read_text(encoding="utf-8")
