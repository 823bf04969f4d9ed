"""The report of a results folder: by several processes it is what one writes, and it ends when it is asked to."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cabench.errors import UserError
from cabench.experiment import many_records
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.report.folder_markdown import FolderMarkdown
from cabench.report.markdown import markdown, markdown_summary, summary_of

MAKER = Path(__file__).parents[1] / "benchmarks" / "make_records.py"
READS_FOR_EVER = """
import os, time
from pathlib import Path
from cabench.experiment.store import ResultsStore
from cabench.experiment import many_records

first = os.getpid()
def read(self, paths):
    if os.getpid() == first:
        raise SystemExit("no other process reads")
    Path(f"reads{os.getpid()}").touch()
    time.sleep(600)

ResultsStore.readable_records = read
many_records.MANY = 1
many_records.available_cores = lambda: 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of three data sets, one of which cannot be read."""
    made = tmp_path_factory.mktemp("records") / "runs"
    sizes = ("--datasets", "3", "--methods", "3", "--seeds", "2")
    subprocess.run([sys.executable, MAKER, made, *sizes], check=True, stdout=subprocess.DEVNULL)
    ResultsStore(made).paths()[-1].write_text("{")
    return made


@pytest.fixture(scope="module")
def records(folder: Path) -> list[Record]:
    return ResultsStore(folder).readable_records()[0]


@pytest.fixture(params=[(1, "spawn"), (2, "fork"), (2, "spawn")], ids=["one process", "two copies", "two new ones"])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    count, start = request.param
    monkeypatch.setattr(many_records, "MANY", 1)
    monkeypatch.setattr(many_records, "available_cores", lambda: count)
    monkeypatch.setattr(many_records, "_CONTEXT", multiprocessing.get_context(start))


@pytest.mark.usefixtures("processes")
class TestContent:
    def test_it_is_the_report_of_all_records(self, folder: Path, records: list[Record]) -> None:
        text, unreadable = FolderMarkdown(folder).write()
        assert text == markdown(records)
        assert "## Ranks by separation gap" in text
        assert FolderMarkdown(folder, text=summary_of).write()[0] == markdown_summary(records)
        (reason,) = unreadable
        assert "record.json" in reason

    def test_options_reach_every_section(self, folder: Path, records: list[Record]) -> None:
        reference = records[0].method["label"]
        assert FolderMarkdown(folder, reference=reference).write()[0] == markdown(records, reference=reference)
        label = records[0].dataset["label"]
        of_one = [record for record in records if record.dataset["label"] == label]
        assert FolderMarkdown(folder, f" {label}").write()[0] == markdown(of_one)

    def test_what_is_not_there_is_refused(self, folder: Path) -> None:
        with pytest.raises(UserError, match="reference 'nothing'"):
            FolderMarkdown(folder, reference="nothing").write()
        with pytest.raises(UserError, match="data set of these records 'nothing'"):
            FolderMarkdown(folder, "nothing").write()

    def test_an_empty_folder_has_no_records(self, tmp_path: Path) -> None:
        assert FolderMarkdown(tmp_path).write() == ("There are no records yet.\n", [])


def test_a_process_that_dies_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = os.getpid()

    def dies(self: ResultsStore, paths: object) -> None:
        assert os.getpid() != first
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(many_records, "MANY", 1)
    monkeypatch.setattr(many_records, "available_cores", lambda: 2)
    monkeypatch.setattr(ResultsStore, "readable_records", dies)
    with pytest.raises(UserError, match="was ended by something else"):
        FolderMarkdown(folder).write()


def test_a_request_that_comes_while_processes_start_is_heeded(
    folder: Path, tmp_path: Path, start_python: Callable
) -> None:
    """Python drops what a handler raises during a fork: here one is asked for at each."""
    program = f"{READS_FOR_EVER}\nos.register_at_fork(before=lambda: os.kill(os.getpid(), 2))\n"
    process = start_python(
        tmp_path, "-c", f"{program}from cabench.__main__ import main\nmain()", "report", "--results", folder
    )
    _, errors = process.communicate()
    assert process.returncode in (130, -signal.SIGINT), errors


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_first_whatever_ends_it(
    folder: Path, tmp_path: Path, start_python: Callable, kind: signal.Signals
) -> None:
    program = f"{READS_FOR_EVER}\nfrom cabench.__main__ import main\nmain()"
    process = start_python(tmp_path, "-c", program, "report", "--results", folder)
    while len(found := list(tmp_path.glob("reads*"))) < 2:
        assert not process.ended(0.01), process.communicate()
    readers = [psutil.Process(int(path.name.removeprefix("reads"))) for path in found]
    process.send_signal(kind)
    _, errors = process.communicate()
    assert process.returncode == (-kind if kind == signal.SIGKILL else 130), errors
    assert "Traceback" not in errors
    assert not psutil.wait_procs(readers, timeout=30)[1]
