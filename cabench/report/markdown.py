"""Markdown tables in the style of the papers: rows are methods, columns attributes read from either space."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tabulate import tabulate

from cabench.evaluation.grid import IS_TARGET
from cabench.record import Record
from cabench.report.summary import Column, Row, Section, Spread, sections

_ARROWS = {True: "↑", False: "↓"}
_METRICS = {"balanced_accuracy": "balanced accuracy", "r2": "R²", "auc": "area under the ROC curve"}


def markdown(records: Sequence[Record]) -> str:
    """Tables of all records, a section for each data set, profile and precision."""
    if not records:
        return "There are no records yet.\n"
    return "\n".join(_section(section) for section in sections(records))


def _section(section: Section) -> str:
    parts = [f"## {section.dataset}\n", _origin(section) + "\n", "### Overview\n", _overview(section)]
    for title, attribute_space, population in (
        ("Salient attributes, read from target images", "salient", "target"),
        ("Common attributes, read from target images", "common", "target"),
        ("Common attributes, read from background images", "common", "background"),
    ):
        columns = [c for c in section.columns if (c.attribute_space, c.population) == (attribute_space, population)]
        if columns:
            parts += [f"### {title}\n", _table(section, columns)]
    return "\n".join([*parts, _notes(section)])


def _origin(section: Section) -> str:
    seeds = sorted({record.seed for row in section.rows for record in row.records})
    sources = ", ".join(_escape(source) for source in section.sources)
    return (
        f"Built from {sources}. Profile `{_escape(section.profile)}`, precision {section.precision}, "
        f"seeds {', '.join(map(str, seeds)) or 'none'}."
    )


def _overview(section: Section) -> str:
    told = [column for column in section.columns if column.attribute == IS_TARGET]
    quantities: list[tuple[str, Callable[[Row], str]]] = [
        ("separation gap ↓", lambda row: _number(row.spread(lambda record: record.separation_gap or 0.0), 3))
    ]
    for column in _wanted_first(told):
        quantities.append((_header(column), lambda row, column=column: _percent(row.column(column))))  # type: ignore[misc]
    quantities += [
        ("parameters", lambda row: f"{row.spread(_cost('parameters')).mean:,.0f}"),
        ("images seen", lambda row: f"{row.spread(_cost('images_seen')).mean:,.0f}"),
        ("training (s)", lambda row: f"{row.spread(_cost('train_s')).mean:,.1f}"),
        ("seeds", _seeds),
    ]
    lines = [
        [_name(row), *(show(row) if row.records else "–" for _, show in quantities[:-1]), _seeds(row)]
        for row in section.rows
    ]
    return _tabulate(["method", *(title for title, _ in quantities)], lines)


def _table(section: Section, columns: Sequence[Column]) -> str:
    ordered = _wanted_first(columns)
    lines = [
        [_name(row), *(_percent(row.column(column)) if row.records else "FAIL" for column in ordered)]
        for row in section.rows
    ]
    scores = [section.any_score(column) for column in ordered]
    lines.append(["*chance*", *(f"{100 * score.chance:.1f}" for score in scores)])
    lines.append(["*ideal*", *(f"{100 * score.ideal:.1f}" for score in scores)])
    return _tabulate(["method", *(_header(column) for column in ordered)], lines)


def _wanted_first(columns: Sequence[Column]) -> list[Column]:
    """By attribute, in their order, the space that it belongs to before the one that it may leak into."""
    attributes = list(dict.fromkeys(column.attribute for column in columns))
    return sorted(columns, key=lambda c: (attributes.index(c.attribute), c.space != c.attribute_space))


def _header(column: Column) -> str:
    name = "target or background" if column.attribute == IS_TARGET else column.attribute.replace("_", " ")
    return f"{_escape(name)}: {column.space} {_ARROWS[column.space == column.attribute_space]}"


def _name(row: Row) -> str:
    return _escape(row.name) + (" (stale)" if row.stale else "")


def _seeds(row: Row) -> str:
    failed = f", {row.failed} FAILED" if row.failed else ""
    return f"{len(row.records)}{failed}"


def _percent(value: Spread) -> str:
    # R² below 0 says no more than 0 does; records keep the true value.
    shown = Spread(max(0.0, 100 * value.mean), value.half_width and 100 * value.half_width, value.n)
    return _number(shown, 1)


def _number(value: Spread, digits: int) -> str:
    interval = "" if value.half_width is None else f" ± {value.half_width:.{digits}f}"
    return f"{value.mean:.{digits}f}{interval}"


def _cost(name: str) -> Callable[[Record], float]:
    return lambda record: record.cost[name]


def _notes(section: Section) -> str:
    metrics = {column.metric: [] for column in section.columns}  # type: dict[str, list[str]]
    for column in section.columns:
        if column.attribute not in metrics[column.metric]:
            metrics[column.metric].append(column.attribute)
    shown = "; ".join(
        f"{_METRICS[metric]} for {', '.join(_escape(name.replace('_', ' ')) for name in names)}"
        for metric, names in metrics.items()
    )
    return (
        f"Scores are in percent ({shown}; R² below 0 is shown as 0). ↑ marks the space that an attribute belongs to; "
        "where ↓ stands, the ideal is chance and anything above it is a leak. ± is the 95 % t-interval over seeds. "
        "Separation gap = mean of |score - ideal| over all columns, as a fraction. The draw of the test images alone "
        f"gives standard errors up to {100 * section.largest_error():.1f}.\n"
    )


def _escape(text: str) -> str:
    """Text from records as Markdown table text."""
    for character in "\\|*_`<>[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _tabulate(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    alignment = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(lines, headers, tablefmt="github", colalign=alignment, disable_numparse=True) + "\n"
