"""What tuning was worth, as Markdown and as an HTML page: a section for each data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from cabench.report.html import render
from cabench.report.markdown import escape, list_text, table_text
from cabench.report.notes import MEANINGLESS
from cabench.report.section_figures import plain, told_apart
from cabench.report.selection_table import selection_sentence, selection_tables
from cabench.report.tables import Table
from cabench.report.tuning_tables import (
    TuningSection,
    chosen_lines,
    origin_of,
    trials_table,
    tuning_sections,
    uncounted_sentence,
    worth_chart,
    worth_sentence,
    worth_table,
)
from cabench.tuning.tuning_record import TuningRecord


def tuning_markdown(records: Sequence[TuningRecord], datasets: str = "") -> str:
    """What tuning was worth, as text.

    Args:
        records: of one folder.
        datasets: labels separated by commas; "" for all.

    Raises:
        UserError: for a data set of which there is no record.
    """
    found = tuning_sections(records, datasets)
    return "\n".join(map(_section_text, found)) if found else "There are no tuning records yet.\n"


def tuning_html(records: Sequence[TuningRecord], datasets: str = "") -> str:
    """The same as a page that needs no network, with a chart; arguments and errors as for `tuning_markdown`."""
    return render("tuning.html", sections=[_shown(section) for section in tuning_sections(records, datasets)])


def tuning_figures(records: Sequence[TuningRecord], datasets: str = "") -> dict[str, str]:
    """The charts of the page as SVG by name, where there are some; arguments and errors as for `tuning_markdown`."""
    found = tuning_sections(records, datasets)
    short = [plain(f"{section.dataset}-{section.profile}") for section in found]
    long = [
        f"{name}-{s.records[0].precision}-{s.records[0].content_sha256[:8]}"
        f"-{s.records[0].budget}-{s.records[0].criterion}"
        for name, s in zip(short, found, strict=True)
    ]
    named = zip(told_apart(short, long), map(worth_chart, found), strict=True)
    return {f"{name}-tuning": chart for name, chart in named if chart}


def _section_text(section: TuningSection) -> str:
    return "\n".join(
        [
            f"## {escape(section.dataset)}: what tuning is worth\n\n{escape(origin_of(section))}\n",
            *(f"{escape(sentence)}\n" for sentence in _sentences(section)),
            *(f"### {escape(table.title)}\n\n{table_text(table)}" for table in _tables(section)),
            f"### Chosen settings\n\n{list_text(chosen_lines(section))}",
        ]
    )


def _shown(section: TuningSection) -> dict[str, Any]:
    """All that the template shows of one section."""
    return {
        "dataset": section.dataset,
        "origin": origin_of(section),
        "sentences": _sentences(section),
        "chart": Markup(worth_chart(section)),
        "tables": _tables(section),
        "chosen": chosen_lines(section),
    }


def _sentences(section: TuningSection) -> list[str]:
    meaningless = f"Profile {MEANINGLESS}: its numbers mean nothing." if section.profile == MEANINGLESS else ""
    found = (meaningless, worth_sentence(section), uncounted_sentence(section), selection_sentence(section.current))
    return [said for said in found if said]


def _tables(section: TuningSection) -> list[Table]:
    return [worth_table(section), trials_table(section), *selection_tables(section.current)]
