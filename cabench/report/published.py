"""Figures from papers, set beside scores of the same protocol on the same data set.

They come from a CSV file with one figure a row and the columns `dataset,protocol,method,space,attribute,metric,value,
spread,source`: names as cabench has them, value and spread (may be empty) as fractions, and where the figure was read.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from cabench.data.dataset import SPACES
from cabench.errors import UserError
from cabench.evaluation.protocols import PROTOCOLS
from cabench.evaluation.score import Score
from cabench.files.bounds import LARGEST_TEXT, read_whole
from cabench.report.summary import Row, Section
from cabench.report.tables import NO_SCORE, Entry, Header, Line, Table, attribute_title, footnote, number

SEEDS_ALONE = (
    "± of rows of ours is the 95 % interval over seeds alone, of printed ones what the paper gives; methods are not "
    "compared here."
)
COLUMNS = ("dataset", "protocol", "method", "space", "attribute", "metric", "value", "spread", "source")


class Published(NamedTuple):
    """One figure; the fields are the file's columns.

    Attributes:
        value: a fraction.
        spread: of `value` as the source gives it, a fraction; None where it gives none.
    """

    dataset: str
    protocol: str
    method: str
    space: str
    attribute: str
    metric: str
    value: float
    spread: float | None
    source: str


class _Heading(NamedTuple):
    space: str
    attribute: str
    metric: str


def read_published(path: Path) -> list[Published]:
    """All figures of a file.

    Raises:
        UserError: for a file that cannot be read, lacks a column, or holds a value that is not allowed.
    """
    try:
        content = io.BytesIO(read_whole(path, LARGEST_TEXT))
        table = pd.read_csv(content, dtype=str, keep_default_na=False, skip_blank_lines=False, compression=None)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as CSV ({error}).") from error
    if tuple(table.columns) != COLUMNS:
        raise UserError(f"{path} has the columns {', '.join(table.columns)}; it takes {', '.join(COLUMNS)}.")
    rows = enumerate(table.itertuples(index=False), start=2)
    return [_figure(path, line, *row) for line, row in rows if any(row)]


def beside_published(section: Section, published: Sequence[Published]) -> list[Table]:
    """One table for every protocol that a section has scores of: ours, and beside them what papers print."""
    names = [name for row in section.rows for record in row.records for name in record.protocols]
    return [_table(section, name, published) for name in dict.fromkeys(names)]


def _figure(path: Path, line: int, *values: str) -> Published:
    fields = dict(zip(COLUMNS, values, strict=True))
    for name, allowed in (("protocol", list(PROTOCOLS)), ("space", list(SPACES))):
        if fields[name] not in allowed:
            raise UserError(f"{path}, line {line}: {name} {fields[name]!r} is not one of {', '.join(allowed)}.")
    numbers = {name: _fraction(path, line, name, fields.pop(name)) for name in ("value", "spread")}
    if numbers["value"] is None or not fields["source"]:
        raise UserError(f"{path}, line {line}: a figure needs a value and the source that it was read in.")
    return Published(**fields, value=numbers["value"], spread=numbers["spread"])


def _fraction(path: Path, line: int, name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise UserError(f"{path}, line {line}: {name} {text!r} is not a fraction between 0 and 1.")
    return value


def _table(section: Section, protocol: str, published: Sequence[Published]) -> Table:
    rows = [row for row in section.rows if any(protocol in record.protocols for record in row.records)]
    scores = [score for row in rows for record in row.records for score in record.protocols.get(protocol, ())]
    examples = {_heading(score): score for score in reversed(scores)}
    headings = list(dict.fromkeys(_heading(score) for score in scores))
    figures = [item for item in published if (item.dataset, item.protocol) == (section.dataset, protocol)]
    lines = [Line(row.title, row.stale, tuple(_ours(row, protocol, heading) for heading in headings)) for row in rows]
    for method, source in dict.fromkeys((item.method, item.source) for item in figures):
        by_heading = {
            _Heading(item.space, item.attribute, item.metric): item
            for item in figures
            if (item.method, item.source) == (method, source)
        }
        lines.append(Line(f"{method}, as printed in {source}", False, tuple(_theirs(by_heading, p) for p in headings)))
    chances = tuple(number(100 * examples[heading].chance, 1) for heading in headings)
    title = f"Under the protocol of {PROTOCOLS[protocol].title}" if protocol in PROTOCOLS else protocol
    headers = tuple(_header(examples[heading]) for heading in headings)
    said = [SEEDS_ALONE, footnote(line.name for line in lines)]
    return Table(title, headers, tuple(lines), {"chance": chances}, tuple(filter(None, said)))


def _heading(score: Score) -> _Heading:
    return _Heading(score.space, score.attribute, score.metric)


def _header(score: Score) -> Header:
    title = f"{attribute_title(score.attribute)} ({score.metric.replace('_', ' ')})"
    return Header(title, score.space, "↑" if score.space == score.attribute_space else "↓")


def _ours(row: Row, protocol: str, heading: _Heading) -> Entry:
    scores = (score for record in row.records for score in record.protocols.get(protocol, ()))
    values = [100 * score.value for score in scores if _heading(score) == heading]
    if not values:
        return Entry(NO_SCORE)
    return Entry(number(float(np.mean(values)), 1), _half_width(values), values=tuple(values))


def _half_width(values: Sequence[float]) -> str:
    """Of the 95 % t-interval over seeds; empty below two."""
    if len(values) < 2:
        return ""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return number(float(half), 1)


def _theirs(figures: dict[_Heading, Published], heading: _Heading) -> Entry:
    if heading not in figures:
        return Entry(NO_SCORE)
    found = figures[heading]
    spread_text = "" if found.spread is None else number(100 * found.spread, 1)
    return Entry(number(100 * found.value, 1), spread_text, values=(100 * found.value,))
