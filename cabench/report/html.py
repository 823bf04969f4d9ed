"""One self-contained HTML page of a results folder: tables, charts, maps, pictures, curves, problems, provenance.

The page needs no network. Tables and charts are there without JavaScript; it sorts tables, draws maps and changes the
theme. Pictures are re-encoded small, of each method the one of its lowest seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from cabench.experiment.record import Record
from cabench.files.names import printable
from cabench.report.cell_files import CellFiles, read_cell
from cabench.report.charts import curves, heat, strip
from cabench.report.conclusions import conclusion
from cabench.report.further_tables import further_tables
from cabench.report.notes import notes, origin, problems, ranking_sentence, warnings
from cabench.report.overview import overview
from cabench.report.probe_tables import probe_tables
from cabench.report.published import Published, beside_published
from cabench.report.ranking import Ranking, gaps_in, rankings
from cabench.report.section_charts import cost_chart, leakage_chart, leakage_points
from cabench.report.summary import Row, Section, one_by_one, sections
from cabench.report.tables import Entry, Header, Table, attribute_title, footnote


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
    ranked = _ranked(found)
    numbered = enumerate(one_by_one(found), start=1)
    shown = [_section(section, number, results, published) for number, section in numbered]
    return render(
        "results.html",
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
    ranked = _ranked(found)
    return render("fragment.html", sections=shown, rankings=ranked)


def _ranked(found: Sequence[Section]) -> list[tuple[Ranking, str, str]]:
    """Rankings over data sets, each with what it shows and what its marks mean."""
    return [(each, ranking_sentence(each), footnote(each.ranks)) for each in rankings(map(gaps_in, found))]


def render(template: str, **content: object) -> str:
    """A template of `page/` filled in: text from outside is escaped, `Markup` is not."""
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_seen,
    )
    environment.filters["strip_of"] = _strip
    environment.filters["mean"] = lambda values: sum(values) / len(values)
    environment.globals["span"] = _span
    environment.globals["style"] = Markup(_asset("style.css") + _asset("chart.css"))
    environment.globals["script"] = Markup(_asset("script.js"))
    return environment.get_template(template).render(content)


def _seen(value: object) -> object:
    """What the template writes: text without control characters. Markup is this project's own."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


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
        "leakage": Markup(leakage_chart(leakage_points(section))),
        "cost": Markup(cost_chart(section)),
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


def _asset(name: str) -> str:
    return (files("cabench.report") / "page" / name).read_text(encoding="utf-8")
