"""An outcome as JUnit XML, which CI services show as tests: one a metric, in a class of each cell group."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from cabench.gate.gate import Outcome
from cabench.gate.wording import headline, line, method_of_testing, metric_title, sentence

_NOT_IN_XML = re.compile(r"[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def junit(outcome: Outcome) -> str:
    """A <testsuites> document. A failure's message is the sentence that people read."""
    failed = len(outcome.failures) + len(outcome.problems)
    counts = {"tests": str(len(outcome.findings) + len(outcome.problems)), "failures": str(failed), "errors": "0"}
    root = ElementTree.Element("testsuites", {"name": "cabench gate", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "cabench gate", **counts})
    for finding in outcome.findings:
        message = sentence(finding, outcome) if finding.fails else ""
        _add(suite, finding.place.title, metric_title(finding.column), message, "; ".join(line(finding)[3:]))
    for number, problem in enumerate(outcome.problems, start=1):
        _add(suite, problem.title, f"can be compared ({number})", problem.text, "")
    said = "\n".join([headline(outcome), method_of_testing(outcome), *outcome.notes])
    ElementTree.SubElement(suite, "system-out").text = _legal(said)
    ElementTree.indent(root)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(suite: ElementTree.Element, cell: str, name: str, message: str, figures: str) -> None:
    # Readers split class names at dots into packages; a label's own dot is none.
    classname = f"gate.{_legal(cell).replace('.', '_')}"
    case = ElementTree.SubElement(suite, "testcase", {"classname": classname, "name": _legal(name)})
    if message:
        failure = ElementTree.SubElement(case, "failure", {"message": _legal(message), "type": "regression"})
        failure.text = _legal(figures or message)


def _legal(text: str) -> str:
    """The text with a replacement for every character that XML cannot hold, escaped or not."""
    return _NOT_IN_XML.sub("\ufffd", text)
