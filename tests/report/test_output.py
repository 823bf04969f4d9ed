"""What `cabench report --output` writes over: its own reports and marked blocks, and nothing else without --force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from cabench.errors import UserError
from cabench.report.output import END, START, check_own, write_marked, write_report

CommandLine = Callable[..., CompletedProcess[str]]
FORMATS = ("markdown", "summary", "csv", "latex", "html")


@pytest.fixture
def finished(cabench_here: CommandLine) -> CommandLine:
    """The command line in a folder with the results of two cells."""
    command = ("run", "--methods", "chance", "--profile", "smoke", "--set", "planted.repeats=1", "--no-controls")
    assert cabench_here(*command).returncode == 0
    return cabench_here


def test_a_report_is_written_over_a_report_of_every_format_and_over_nothing_else(
    finished: CommandLine, tmp_path: Path
) -> None:
    for form in FORMATS:
        command = ("report", "--format", form, "--output", f"out.{form}")
        assert finished(*command).returncode == 0
        first = (tmp_path / f"out.{form}").read_bytes()
        again = finished(*command)
        assert again.returncode == 0, again.stderr
        assert (tmp_path / f"out.{form}").read_bytes() == first
        mine = tmp_path / f"mine.{form}"
        mine.write_bytes(b"my own notes \xff")
        refused = finished(*command[:-1], mine.name)
        assert (refused.returncode, mine.read_bytes()) == (2, b"my own notes \xff")
        assert f"{mine.name} exists already and is no report of cabench; give --force" in refused.stderr
        assert finished(*command[:-1], mine.name, "--force").returncode == 0
        assert mine.read_bytes() == first


def test_vectors_and_pictures_are_not_written_over(finished: CommandLine, tmp_path: Path) -> None:
    (cell,) = (tmp_path / "results" / "runs" / "planted" / "chance").iterdir()
    for option, command in (
        ("--output", ("encode", str(cell), "--output", "mine.csv")),
        ("--picture", ("data", "info", "planted", "--profile", "smoke", "--picture", "mine.csv")),
    ):
        (tmp_path / "mine.csv").write_text("mine", encoding="utf-8")
        refused = finished(*command)
        assert refused.returncode == 2
        assert f"mine.csv exists already; give --force to replace it, or choose another {option}." in refused.stderr
        assert (tmp_path / "mine.csv").read_text(encoding="utf-8") == "mine"
        assert finished(*command, "--force").returncode == 0
        assert (tmp_path / "mine.csv").stat().st_size > 100


def test_a_marked_block_and_an_empty_file_are_free(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    check_own(page)
    page.touch()
    check_own(page)
    page.write_text(f"my words\n{START}\n{END}\n", encoding="utf-8")
    check_own(page)
    write_marked(page, "tables")
    assert page.read_text(encoding="utf-8") == f"my words\n{START}\n\ntables\n{END}\n"


def test_markdown_in_a_file_of_its_own_is_known_by_its_markers(tmp_path: Path) -> None:
    write_marked(tmp_path / "new.md", "tables")
    assert (tmp_path / "new.md").read_text(encoding="utf-8") == f"{START}\n\ntables\n{END}\n"
    check_own(tmp_path / "new.md")
    write_report(tmp_path / "plain.md", "tables")
    with pytest.raises(UserError, match=r"plain\.md exists already and is no report of cabench"):
        check_own(tmp_path / "plain.md")
