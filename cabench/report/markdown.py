"""Markdown tables in the style of the papers: rows are methods, columns attributes read from either space."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from tabulate import tabulate

from cabench.evaluation.grid import IS_TARGET
from cabench.record import Record
from cabench.report.summary import Column, Row, Section, Spread, sections, separation_gap_of

_ARROWS = {True: "↑", False: "↓"}
_NO_SCORE = "–"
_METRICS = {"balanced_accuracy": "balanced accuracy", "r2": "R²", "auc": "area under the ROC curve"}


def markdown(records: Sequence[Record]) -> str:
    """Tables of all records, a section for each data set, profile and precision."""
    if not records:
        return "There are no records yet.\n"
    return "\n".join(_section(section) for section in sections(records))


def _section(section: Section) -> str:
    parts = [f"## {_escape(section.dataset)}\n", _origin(section) + "\n", "### Overview\n", _overview(section)]
    for title, attribute_space, population in (
        ("Salient attributes, read from target images", "salient", "target"),
        ("Common attributes, read from target images", "common", "target"),
        ("Common attributes, read from background images", "common", "background"),
    ):
        columns = [c for c in section.columns if (c.attribute_space, c.population) == (attribute_space, population)]
        if columns:
            parts += [f"### {title}\n", _table(section, columns)]
    return "\n".join([*parts, *filter(None, (_failures(section), _notes(section)))])


def _origin(section: Section) -> str:
    seeds = sorted({record.seed for row in section.rows for record in row.records})
    sources = ", ".join(_escape(source) for source in section.sources)
    return (
        f"Built from {sources}. Profile {_escape(section.profile)}, precision {section.precision}, "
        f"seeds {', '.join(map(str, seeds)) or 'none'}. Data content {section.content[:8]}."
    )


def _overview(section: Section) -> str:
    told = _wanted_first([column for column in section.columns if column.attribute == IS_TARGET])
    shown: dict[str, Callable[[Row], str]] = {
        "separation gap ↓": lambda row: _number(row.spread(separation_gap_of), 3),
        **{_header(column): partial(_percent, column) for column in told},
        "parameters": partial(_cost, "parameters", 0),
        "images seen": partial(_cost, "images_seen", 0),
        "training (s)": partial(_cost, "train_s", 1),
        "seeds": _seeds,
    }
    lines = [
        [_name(row), *(show(row) if row.records or show is _seeds else _NO_SCORE for show in shown.values())]
        for row in section.rows
    ]
    return _tabulate(["method", *shown], lines)


def _table(section: Section, columns: Sequence[Column]) -> str:
    ordered = _wanted_first(columns)
    lines = [[_name(row), *(_percent(column, row) for column in ordered)] for row in section.rows]
    scores = [section.any_score(column) for column in ordered]
    lines.append(["*chance*", *(f"{100 * score.chance:.1f}" for score in scores)])
    lines.append(["*ideal*", *(f"{100 * score.ideal:.1f}" for score in scores)])
    return _tabulate(["method", *(_header(column) for column in ordered)], lines)


def _wanted_first(columns: Sequence[Column]) -> list[Column]:
    """By attribute, in their order, the space that it belongs to before the one that it may leak into."""
    attributes = list(dict.fromkeys(column.attribute for column in columns))
    return sorted(columns, key=lambda c: (attributes.index(c.attribute), c.space != c.attribute_space))


def _attribute(column: Column) -> str:
    return _escape("target or background" if column.attribute == IS_TARGET else column.attribute.replace("_", " "))


def _header(column: Column) -> str:
    return f"{_attribute(column)}: {column.space} {_ARROWS[column.space == column.attribute_space]}"


def _name(row: Row) -> str:
    return _escape(row.name) + (" (stale)" if row.stale else "")


def _seeds(row: Row) -> str:
    return f"{len(row.records)}" + (f", {len(row.failures)} FAILED" if row.failures else "")


def _percent(column: Column, row: Row) -> str:
    if not row.records:
        return "FAIL"
    value = row.column(column)
    if value is None:
        return _NO_SCORE
    # R² below 0 says no more than 0 does; records keep the true value.
    half_width = None if value.half_width is None else 100 * value.half_width
    return _number(Spread(max(0.0, 100 * value.mean), half_width, value.n), 1)


def _number(value: Spread, digits: int) -> str:
    interval = "" if value.half_width is None else f" ± {value.half_width:.{digits}f}"
    return f"{value.mean:,.{digits}f}{interval}"


def _cost(name: str, digits: int, row: Row) -> str:
    return f"{row.spread(lambda record: record.cost[name]).mean:,.{digits}f}"


def _failures(section: Section) -> str:
    """A list of the cells that failed, each with its cause."""
    lines = [
        f"- {_name(row)}, seed {record.seed}: {_escape(str((record.error or {}).get('message', 'no cause recorded')))}"
        for row in section.rows
        for record in row.failures
    ]
    return "\n".join(["Failed, and tried again by the next run:\n", *lines, ""]) if lines else ""


def _notes(section: Section) -> str:
    """What the numbers are; nothing where there are none."""
    names: dict[str, list[str]] = {}
    for column in section.columns:
        name = _attribute(column)
        if name not in names.setdefault(column.metric, []):
            names[column.metric].append(name)
    if not names:
        return ""
    metrics = "; ".join(f"{_METRICS[metric]} for {', '.join(attributes)}" for metric, attributes in names.items())
    return (
        f"Scores are in percent ({metrics}; R² below 0 is shown as 0). ↑ marks the space that an attribute belongs to; "
        "where ↓ stands, the ideal is chance, and anything above it is a leak. ± is the 95 % t-interval over seeds. "
        "Separation gap = mean of |score - ideal| over all columns, as a fraction. The draw of the test images alone "
        f"gives standard errors up to {100 * section.largest_error():.1f}.\n"
    )


def _escape(text: str) -> str:
    """Text from records as Markdown table text. Underscores inside words mean nothing in Markdown and stay bare."""
    escaped = re.sub(r"[\\|*`<>\[\]]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", text)
    return " ".join(escaped.split())


def _tabulate(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    alignment = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(lines, headers, tablefmt="github", colalign=alignment, disable_numparse=True) + "\n"
