"""Markdown tables in the style of the papers: rows are methods, columns attributes read from either space."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tabulate import tabulate

from cabench.experiment.record import Record
from cabench.files.names import printable
from cabench.report.comparison import Mark
from cabench.report.conclusions import conclusion
from cabench.report.further_tables import further_tables
from cabench.report.notes import notes, origin, problems, ranking_sentence, warnings
from cabench.report.overview import overview
from cabench.report.probe_tables import probe_tables
from cabench.report.published import Published, beside_published
from cabench.report.ranking import Ranking, SectionGaps, gaps_in, rankings
from cabench.report.summary import Section, one_by_one, sections
from cabench.report.tables import Entry, Header, Line, Table, footnote, number

_MARKED = {Mark.NONE: "{}", Mark.BEST: "**{}**"}


class SectionText(NamedTuple):
    """A section as it was written, and what a report says of all sections together.

    Attributes:
        place: what the section is told from others by; they stand in this order.
        text: Markdown.
        gaps: what a ranking over data sets takes of it.
        names: of the rows that a reference can be.
    """

    place: tuple[str, ...]
    text: str
    gaps: SectionGaps
    names: frozenset[str]


def markdown(
    records: Sequence[Record], published: Sequence[Published] = (), stale: bool = False, reference: str = ""
) -> str:
    """Tables of all records, a section for each data set, profile and precision, and a ranking over data sets.

    Args:
        records: of one results folder.
        published: figures from papers, set beside scores of the same protocol.
        stale: whether records of older versions are compared with the others, under their version.
        reference: the name of a row that the others are compared with, as was said beforehand; "" for none.

    Raises:
        UserError: for a reference that is not there.
    """
    return joined(section_texts(sections(records, stale, reference), lambda section: tables_of(section, published)))


def markdown_summary(records: Sequence[Record], stale: bool = False, reference: str = "") -> str:
    """The overview of every section, and what can be concluded from it; arguments and errors as for `markdown`."""
    return joined(section_texts(sections(records, stale, reference), summary_of))


def section_texts(found: list[Section], write: Callable[[Section], str]) -> list[SectionText]:
    """Write one section after another; the list is emptied, so that what a section holds can be let go."""
    return [
        SectionText(
            (section.dataset, section.profile, section.precision, section.content),
            write(section),
            gaps_in(section),
            frozenset(row.name for row in section.current),
        )
        for section in one_by_one(found)
    ]


def joined(texts: Sequence[SectionText]) -> str:
    """The report: all sections, and below them the rankings over data sets."""
    if not texts:
        return "There are no records yet.\n"
    in_order = sorted(texts, key=lambda section: section.place)
    ranked = [_ranking(ranking) for ranking in rankings(section.gaps for section in in_order)]
    return "\n".join([*(section.text for section in in_order), *ranked])


def summary_of(section: Section) -> str:
    """The overview of a section, and what can be concluded from it."""
    return f"## {escape(section.dataset)}\n\n{escape(origin(section))}\n\n{_overview(section)}"


def tables_of(section: Section, published: Sequence[Published] = ()) -> str:
    """All tables of a section and what is said below them; figures from papers stand beside scores of the same kind."""
    tables = [*probe_tables(section), *further_tables(section), *beside_published(section, published)]
    return "\n".join(
        [
            f"## {escape(section.dataset)}\n\n{escape(origin(section))}\n\n### Overview\n\n{_overview(section)}",
            *(f"### {escape(table.title)}\n\n{table_text(table)}" for table in tables),
            *(f"{escape(heading)}\n\n{list_text(lines)}" for heading, lines in problems(section)),
            *(f"{escape(paragraph)}\n" for paragraph in notes(section)),
        ]
    )


def _overview(section: Section) -> str:
    said = [conclusion(section), *warnings(section)]
    return "\n".join([table_text(overview(section)), *(f"{escape(paragraph)}\n" for paragraph in said)])


def _ranking(ranking: Ranking) -> str:
    headers = ["method", *(escape(name) for name in ranking.datasets), "mean rank"]
    lines = [
        [escape(name), *(number(rank, 1) for rank in (*ranks, sum(ranks) / len(ranks)))]
        for name, ranks in ranking.ranks.items()
    ]
    title = f"## Ranks by separation gap, profile {escape(ranking.profile)}, precision {ranking.precision}"
    table = _tabulate(headers, lines) + _below([footnote(ranking.ranks)])
    return f"{title}\n\n{table}\n{escape(ranking_sentence(ranking))}\n"


def table_text(table: Table) -> str:
    """A table with the notes below it."""
    lines = [[_name(line), *map(_entry, line.entries)] for line in table.lines]
    lines += [[f"*{name}*", *values] for name, values in table.yardsticks.items()]
    return _tabulate([table.rows, *map(_header, table.headers)], lines) + _below(table.notes)


def _below(sentences: Sequence[str]) -> str:
    return f"\n{escape(' '.join(sentences))}\n" if any(sentences) else ""


def _name(line: Line) -> str:
    return escape(line.name) + (" (stale)" if line.stale else "")


def _header(header: Header) -> str:
    return escape(" ".join(filter(None, (": ".join(filter(None, (header.group, header.label))), header.arrow))))


def _entry(entry: Entry) -> str:
    shown = f"{entry.text} ± {entry.interval}" if entry.interval else entry.text
    return _MARKED[entry.mark].format(shown) + (" \\*" if entry.star else "")


def list_text(lines: Sequence[str]) -> str:
    """Lines as a list."""
    return "".join(f"- {escape(line)}\n" for line in lines)


def escape(text: str) -> str:
    """Text from records as Markdown table text. Underscores inside words mean nothing in Markdown and stay bare."""
    line = " ".join(printable(text).split())
    escaped = re.sub(r"[\\|*`<>\[\]&~#$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", line)
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", escaped)  # what would start a list


def _tabulate(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    alignment = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(lines, headers, tablefmt="github", colalign=alignment, disable_numparse=True) + "\n"
