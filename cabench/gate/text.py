"""An outcome for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from cabench.files.names import printable
from cabench.gate.gate import Outcome
from cabench.gate.wording import (
    CELL_HEADERS,
    HEADERS,
    cell_lines,
    failure_sentences,
    headline,
    line,
    method_of_testing,
    problem_sentences,
)


def text(outcome: Outcome) -> str:
    """What got worse, by how much and why it counts; then what was compared. Control characters are escaped."""
    failures = outcome.failures
    parts = [
        headline(outcome),
        _list(failure_sentences(outcome)),
        _table(HEADERS, [line(finding) for finding in failures]),
        _list(problem_sentences(outcome)),
        _table(CELL_HEADERS, cell_lines(outcome)),
        method_of_testing(outcome),
        _list(outcome.notes),
    ]
    return printable("\n\n".join(part for part in parts if part)) + "\n"


def changes_text(outcome: Outcome) -> str:
    """Every metric of the old baseline against the new one, better or worse, and what else has changed."""
    changed = [finding for finding in outcome.findings if finding.result.loss]
    parts = [
        _table(HEADERS, [line(finding) for finding in changed]) or "No metric has changed.",
        _list(problem_sentences(outcome)),
        _list(outcome.notes),
    ]
    return printable("\n\n".join(part for part in parts if part)) + "\n"


def _table(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return tabulate(lines, headers, tablefmt="simple", disable_numparse=True) if lines else ""


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {each}" for each in sentences)
