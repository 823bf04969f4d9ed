"""An outcome as Markdown, for a pull request's comment or a job's summary."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

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
from cabench.report.markdown import escape


def markdown(outcome: Outcome) -> str:
    """Headline and failures, then what was compared; all metrics stand folded below."""
    failures = outcome.failures
    parts = [
        f"## {'✅' if outcome.passed else '❌'} {escape(headline(outcome))}",
        _list(failure_sentences(outcome)),
        _table(HEADERS, [line(finding) for finding in failures]),
        _list(problem_sentences(outcome)),
        _table(CELL_HEADERS, cell_lines(outcome)),
        escape(method_of_testing(outcome)),
        _list(outcome.notes),
        _folded(_table(HEADERS, [line(finding) for finding in outcome.findings])),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    escaped = [[escape(text) for text in each] for each in lines]
    return tabulate(escaped, headers, tablefmt="github", disable_numparse=True) if lines else ""


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape(each)}" for each in sentences)


def _folded(table: str) -> str:
    return f"<details><summary>All metrics</summary>\n\n{table}\n\n</details>" if table else ""
