"""LaTeX tables, to be included in a paper that loads the packages booktabs and graphicx."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from cabench.experiment.record import Record
from cabench.files.names import printable
from cabench.report.comparison import Mark
from cabench.report.conclusions import conclusion
from cabench.report.further_tables import further_tables
from cabench.report.notes import notes, origin, warnings
from cabench.report.overview import overview
from cabench.report.probe_tables import probe_tables
from cabench.report.published import Published, beside_published
from cabench.report.summary import Section, one_by_one, sections
from cabench.report.tables import Entry, Line, Table

FIRST_LINE = "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}."
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "²": r"$^2$",
    "±": r"$\pm$",
    "–": "--",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"{{{character}}}" for character in "[*"},  # bare at the start of a row, they are read as its end's
}
_MARKED = {Mark.NONE: "{}", Mark.BEST: r"\textbf{{{}}}"}


def latex(
    records: Sequence[Record], published: Sequence[Published] = (), stale: bool = False, reference: str = ""
) -> str:
    """Every table of every section as a `table` environment.

    What the numbers are is said in the caption of a section's first table, which the others refer to; each says for
    itself what its marks mean and what it does not test.

    Args:
        records: of one results folder.
        published: figures from papers, set beside scores of the same protocol.
        stale: whether records of older versions are compared with the others, under their version.
        reference: the name of a row that the others are compared with, as was said beforehand; "" for none.

    Raises:
        UserError: for a reference that is not there.
    """
    parts = [FIRST_LINE]
    for section in one_by_one(sections(records, stale, reference)):
        first, label = overview(section), _label(section)
        said = [*notes(section), *first.notes, conclusion(section), *warnings(section)]
        caption = escape(f"{section.dataset}: Overview. {origin(section)} {' '.join(said)}")
        parts.append(_environment(first, f"{caption}}}\\label{{{label}"))
        for table in (*probe_tables(section), *further_tables(section), *beside_published(section, published)):
            caption = escape(" ".join([f"{section.dataset}: {table.title}.", *table.notes]))
            parts.append(_environment(table, f"{caption} Data and terms as in Table~\\ref{{{label}}}."))
    return "\n".join(parts)


def _label(section: Section) -> str:
    """What the tables of one section refer to each other by; another in every section."""
    names = (section.dataset, section.profile, section.precision, section.content[:8])
    return "tab:cabench-" + re.sub(r"[^A-Za-z0-9]+", "-", "-".join(names))


def _environment(table: Table, caption: str) -> str:
    body = "\n".join([*_head(table), r"\midrule", *map(_line, table.lines), *_yardsticks(table)])
    return (
        "\\begin{table}\n\\centering\n\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"\\begin{{tabular}}{{l{'r' * len(table.headers)}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}}}\n"
        f"\\caption{{{caption}}}\n\\end{{table}}\n"
    )


def _head(table: Table) -> list[str]:
    """A row of groups with rules below them, where there are groups, and a row of labels."""
    headers = table.headers
    labels = _row(table.rows, *(escape(" ".join(filter(None, (h.label, h.arrow)))) for h in headers))
    if not any(header.group for header in headers):
        return [labels]
    groups, rules, column = [], [], 2
    for group, members in groupby(headers, key=lambda header: header.group):
        width = len(list(members))
        groups.append(f"\\multicolumn{{{width}}}{{c}}{{{escape(group)}}}")
        if group:
            rules.append(f"\\cmidrule(lr){{{column}-{column + width - 1}}}")
        column += width
    return [_row("", *groups), "".join(rules), labels]


def _line(line: Line) -> str:
    name = escape(line.name) + (" (stale)" if line.stale else "")
    return _row(name, *map(_entry, line.entries))


def _entry(entry: Entry) -> str:
    interval = f" $\\pm$ {entry.interval}" if entry.interval else ""
    return _MARKED[entry.mark].format(escape(entry.text) + interval) + (r"$^*$" if entry.star else "")


def _yardsticks(table: Table) -> list[str]:
    rows = [_row(rf"\textit{{{name}}}", *map(escape, values)) for name, values in table.yardsticks.items()]
    return [r"\midrule", *rows] if rows else []


def _row(*cells: str) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Text from records as LaTeX text, on one line."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(printable(text).split()))
