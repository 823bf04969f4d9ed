"""What the property tests of input from outside share.

Each test takes a kind of input, and holds one thing of it: it is read, or refused with a `UserError`; no other
exception, and no file left behind. In the suite each takes some dozen to some hundred inputs, always the same ones.
`CABENCH_FUZZ=12` takes twelve times as many, drawn anew each time; a count by kind is printed at the end:

    CABENCH_FUZZ=12 python -m pytest tests/fuzz
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.report.html import html_page
from cabench.report.latex import latex
from cabench.report.markdown import markdown, markdown_summary
from cabench.report.tidy_csv import tidy_csv

TIMES = int(os.environ.get("CABENCH_FUZZ", "1"))
TAKEN: Counter[str] = Counter()
REFUSED: Counter[str] = Counter()

Attempt = Callable[..., Any]
Damage = Callable[[bytes], st.SearchStrategy[bytes]]
WriteAll = Callable[[Sequence[Record], Path], None]


def pytest_configure() -> None:
    # Fixtures here last for a session on purpose, and a draw of a whole file may take long.
    settings.register_profile(
        "cabench",
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TAKEN:
        terminalreporter.section("fuzzed inputs")
        for kind, taken in TAKEN.items():
            terminalreporter.line(f"{taken:7,}  {kind} ({REFUSED[kind]:,} refused)")
        terminalreporter.line(f"{TAKEN.total():7,}  in all")


@pytest.fixture(scope="session")
def attempt() -> Attempt:
    """Takes one input: gives what came of reading it, None where it was refused; any other exception is a failure."""

    def take(kind: str, folder: Path, read: Callable[[], Any]) -> Any:
        TAKEN[kind] += 1
        with leaving_nothing(folder):
            try:
                return read()
            except UserError as error:
                REFUSED[kind] += 1
                if not str(error):
                    raise AssertionError("refused without a reason") from error
                return None

    return take


@pytest.fixture(scope="session")
def damage() -> Damage:
    """Gives bytes with some replaced, taken away or put in."""

    @st.composite
    def damaged(draw: st.DrawFn, content: bytes) -> bytes:
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(content)))
            end = start + draw(st.sampled_from((0, 0, 1, 1, 1, 4, 8, len(content))))
            content = content[:start] + draw(st.binary(max_size=6)) + content[end:]
        return content

    return damaged


@pytest.fixture(scope="session")
def write_all() -> WriteAll:
    """Writes every report; none lets through what a terminal would obey or a browser would run."""

    def write(records: Sequence[Record], results: Path) -> None:
        reports = [markdown(records), markdown_summary(records), tidy_csv(records), latex(records)]
        page = html_page(records, results)
        for text in (*reports, page):
            text.encode()
            assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202e]", text.replace("\r\n", "\n"))
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<script>alert" not in re.sub(r"\\(.)", r"\\", reports[0])

    return write


@contextmanager
def leaving_nothing(folder: Path) -> Iterator[None]:
    """Checks that all below the folder, beside it and in the working folder is the same after the block as before."""
    before = listing(folder)
    yield
    assert listing(folder) == before


def listing(folder: Path) -> list[Path]:
    return sorted([*folder.rglob("*"), *folder.parent.iterdir(), *Path().iterdir()])
