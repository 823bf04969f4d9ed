"""An outcome laid out: as text for a terminal, as Markdown for a pull request, as JUnit XML for a CI service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from tabulate import tabulate

from cabench.files.names import message, printable
from cabench.gate.gate import Outcome
from cabench.gate.wording import (
    CELL_HEADERS,
    HEADERS,
    cell_lines,
    failure_sentences,
    headline,
    line,
    method_of_testing,
    metric_title,
    problem_sentences,
    sentence,
)
from cabench.report.markdown import escape

_Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def text(outcome: Outcome) -> str:
    """What got worse, by how much and why it counts; then what was compared. Control characters are escaped."""
    return printable(_joined(headline(outcome), *_body(outcome, _plain_table, message)))


def changes_text(outcome: Outcome) -> str:
    """Every metric of the old baseline against the new one, better or worse, and what else has changed."""
    changed = [line(finding) for finding in outcome.findings if finding.result.loss]
    table = _plain_table(HEADERS, changed) or f"No metric {'has changed' if outcome.findings else 'can be compared'}."
    return printable(_joined(table, _list(problem_sentences(outcome)), _list(outcome.notes)))


def markdown(outcome: Outcome) -> str:
    """Headline and failures, then what was compared; all metrics stand folded below."""
    everything = _github_table(HEADERS, [line(finding) for finding in outcome.findings])
    return _joined(
        f"## {'✅' if outcome.passed else '❌'} {escape(headline(outcome))}",
        *_body(outcome, _github_table, escape),
        f"<details><summary>All metrics</summary>\n\n{everything}\n\n</details>" if everything else "",
    )


def junit(outcome: Outcome) -> str:
    """A <testsuites> document, a test for each metric in a class of each cell group.

    A failure's message is the sentence that people read. What XML cannot hold is escaped, as it is for a terminal.
    """
    failed = len(outcome.failures) + len(outcome.problems)
    counts = {"tests": str(len(outcome.findings) + len(outcome.problems)), "failures": str(failed), "errors": "0"}
    root = ElementTree.Element("testsuites", {"name": "cabench gate", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "cabench gate", **counts})
    for finding in outcome.findings:
        failure = sentence(finding, outcome) if finding.fails else ""
        _add_case(suite, finding.group.title, metric_title(finding.column), failure, "; ".join(line(finding)[3:]))
    for number, problem in enumerate(outcome.problems, start=1):
        _add_case(suite, problem.title, f"can be compared ({number})", problem.text, "")
    said = [headline(outcome), method_of_testing(outcome), *outcome.notes]
    ElementTree.SubElement(suite, "system-out").text = "\n".join(map(message, said))
    ElementTree.indent(root)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ElementTree.tostring(root, encoding="unicode") + "\n"


def _body(outcome: Outcome, table: _Table, write: Callable[[str], str]) -> list[str]:
    """What text and Markdown say below the headline."""
    return [
        _list(failure_sentences(outcome), write),
        table(HEADERS, [line(finding) for finding in outcome.failures]),
        _list(problem_sentences(outcome), write),
        table(CELL_HEADERS, cell_lines(outcome)),
        write(method_of_testing(outcome)),
        _list(outcome.notes, write),
    ]


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _list(sentences: Sequence[str], write: Callable[[str], str] = str) -> str:
    return "\n".join(f"- {write(each)}" for each in sentences)


def _plain_table(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return tabulate(lines, headers, tablefmt="simple", disable_numparse=True) if lines else ""


def _github_table(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    escaped = [[escape(entry) for entry in each] for each in lines]
    return tabulate(escaped, headers, tablefmt="github", disable_numparse=True) if lines else ""


def _add_case(suite: ElementTree.Element, cell: str, name: str, problem: str, figures: str) -> None:
    # Readers split class names at dots into packages; a label's own dot is none.
    classname = f"gate.{printable(cell).replace('.', '_')}"
    case = ElementTree.SubElement(suite, "testcase", {"classname": classname, "name": printable(name)})
    if problem:
        failure = ElementTree.SubElement(case, "failure", {"message": printable(problem), "type": "regression"})
        failure.text = printable(figures or problem)
