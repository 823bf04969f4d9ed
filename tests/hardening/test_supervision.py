"""A worker's death does not end a run: what is passed on, when another worker follows, and that none is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cabench import errors
from cabench.hardening import supervision

WATCH = "import sys; from cabench.hardening.supervision import supervise; sys.exit(supervise(['run', '--force']))"
START = """
import os, signal, sys, time
from cabench.hardening import supervision

supervision.join()
journal = supervision.journal()
with open("starts", "a") as file:
    print(os.getpid(), *sys.argv[1:], file=file)
starts = len(open("starts").readlines())
"""

Watching = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    """Starts a process that watches workers, which do what they are told to instead of running `cabench`."""
    package = tmp_path / "first/cabench"
    shutil.copytree(Path(supervision.__file__).parent, package / "hardening")
    (package / "__init__.py").touch()
    shutil.copy(errors.__file__, package)
    processes = []

    def start(work: str) -> subprocess.Popen[str]:
        (package / "__main__.py").write_text(START + work, encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "first")}
        command = [sys.executable, "-P", "-c", WATCH]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def starts(folder: Path) -> list[str]:
    path = folder / "starts"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def started(folder: Path) -> int:
    """The process id of the first worker, which has started by now."""
    wait_for(lambda: starts(folder))
    return int(starts(folder)[0].split()[0])


def status(pid: int) -> str:
    """The letter of a process's state; "" when there is no such process, or it is dead and only not yet waited for."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return letter.replace("Z", "")


@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_exit_status_is_the_workers(watching: Watching, tmp_path: Path, code: int) -> None:
    assert watching(f"sys.exit({code})").wait(60) == code
    assert [line.split()[1:] for line in starts(tmp_path)] == [["run", "--force"]]


def test_another_worker_follows_one_that_died_at_a_cell(watching: Watching, tmp_path: Path) -> None:
    process = watching("""
if starts == 1:
    journal.begun("a"), journal.ended("a"), journal.begun("b")
    os.kill(os.getpid(), signal.SIGKILL)
assert journal.all_ended() == {"a"}
if starts == 2:
    journal.begun("b")
    os.abort()
assert journal.count_begun() == 3
""")
    _, said = process.communicate(timeout=60)
    assert (process.returncode, len(starts(tmp_path))) == (0, 3)
    assert said.splitlines() == [
        f"The process that computes was ended by {name}; another one goes on." for name in ("SIGKILL", "SIGABRT")
    ]


def test_none_follows_one_that_died_before_a_cell_was_begun(watching: Watching, tmp_path: Path) -> None:
    process = watching("""
if starts == 1:
    journal.begun("a")
os.kill(os.getpid(), signal.SIGSEGV)
""")
    _, said = process.communicate(timeout=60)
    assert (process.returncode, len(starts(tmp_path))) == (128 + signal.SIGSEGV, 2)
    assert said.splitlines()[-1] == "Error: the process that computes was ended by SIGSEGV."


@pytest.mark.parametrize("code", [0, 5])
def test_a_method_that_ends_the_process_has_not_ended_the_run(watching: Watching, tmp_path: Path, code: int) -> None:
    process = watching(f"""
if starts == 1:
    journal.begun("a")
os._exit({code})
""")
    _, said = process.communicate(timeout=60)
    assert (process.returncode, len(starts(tmp_path))) == (code or 1, 2)
    assert said.splitlines() == [
        "The process that computes was ended by the code it ran; another one goes on.",
        "Error: the process that computes was ended by the code it ran.",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on_once_each(watching: Watching, tmp_path: Path, number: signal.Signals) -> None:
    process = watching(f"""
received = []
signal.signal({int(number)}, lambda *_: received.append(1))
open("ready", "w").close()
for wanted in (1, 2):
    while len(received) < wanted:
        time.sleep(0.01)
    time.sleep(0.1)
    open(f"received{{len(received)}}", "w").close()
sys.exit(7)
""")
    wait_for((tmp_path / "ready").exists)
    process.send_signal(number)
    wait_for((tmp_path / "received1").exists)
    process.send_signal(number)
    assert process.wait(60) == 7
    assert (tmp_path / "received2").exists()


def test_none_follows_one_that_was_asked_to_stop(watching: Watching, tmp_path: Path) -> None:
    process = watching('journal.begun("a")\nopen("ready", "w").close()\ntime.sleep(60)')
    wait_for((tmp_path / "ready").exists)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert len(starts(tmp_path)) == 1


def test_a_worker_ends_with_the_process_that_watches_it(watching: Watching, tmp_path: Path) -> None:
    process = watching("time.sleep(60)")
    worker = started(tmp_path)
    process.kill()
    wait_for(lambda: not status(worker))


HOLDS_PYTHONS_LOCK = """
import ctypes
open("ready", "w").close()
ctypes.PyDLL(None).sleep(300)
"""


def test_a_worker_that_heeds_nothing_ends_with_the_process_that_watches_it(watching: Watching, tmp_path: Path) -> None:
    process = watching(HOLDS_PYTHONS_LOCK)
    worker = started(tmp_path)
    wait_for((tmp_path / "ready").exists)
    process.kill()
    wait_for(lambda: not status(worker))


def test_a_worker_that_heeds_nothing_is_killed_at_the_third_request(watching: Watching, tmp_path: Path) -> None:
    process = watching("""
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
open("ready", "w").close()
time.sleep(300)
""")
    wait_for((tmp_path / "ready").exists)
    worker, requests = started(tmp_path), []

    def ask() -> bool:  # again and again: two that come while the process is not looking are one
        process.send_signal(signal.SIGINT)
        requests.append(1)
        time.sleep(0.1)
        return not status(worker)

    wait_for(ask)
    assert len(requests) >= 3
    assert process.wait(60) == 128 + signal.SIGKILL


def test_a_closed_terminal_is_a_request_to_stop(watching: Watching, tmp_path: Path) -> None:
    process = watching("""
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
open("ready", "w").close()
time.sleep(60)
""")
    wait_for((tmp_path / "ready").exists)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 7


def test_both_are_suspended_and_go_on_together(watching: Watching, tmp_path: Path) -> None:
    process = watching(
        'open("ready", "w").close()\nwhile not os.path.exists("go on"):\n    time.sleep(0.01)\nopen("end", "w").close()'
    )
    worker = started(tmp_path)
    wait_for((tmp_path / "ready").exists)
    process.send_signal(signal.SIGTSTP)
    wait_for(lambda: status(process.pid) == status(worker) == "T")
    process.send_signal(signal.SIGCONT)
    (tmp_path / "go on").touch()
    assert process.wait(60) == 0
    assert (tmp_path / "end").exists()


def test_what_a_worker_starts_is_not_watched(watching: Watching, tmp_path: Path) -> None:
    process = watching("import subprocess\nassert 'CABENCH_WATCHED' not in os.environ")
    assert process.wait(60) == 0, process.stderr.read()


THEIRS = """
import os, signal
from cabench.methods.chance import Chance

class Killer(Chance):
    name, version = "killer", 1
    def fit(self, data, context):
        os.kill(os.getpid(), signal.SIGKILL)

class Raiser(Chance):
    name, version = "raiser", 1
    def fit(self, data, context):
        open("raised", "a").write("x")
        raise RuntimeError("not today")
"""


@pytest.mark.slow
def test_a_method_that_kills_its_process_becomes_a_failed_cell_and_the_others_go_on(
    start_python, tmp_path: Path
) -> None:
    info = tmp_path / "packages/theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", encoding="utf-8")
    points = "[cabench.methods]\nkiller = theirs:Killer\nraiser = theirs:Raiser\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    (tmp_path / "packages/theirs.py").write_text(THEIRS, encoding="utf-8")

    arguments = ("--methods", "raiser,killer,pca", "--no-controls", "--profile", "smoke", "--results", "r", "--force")
    process = start_python(tmp_path, "-m", "cabench", "run", *arguments, PYTHONPATH=str(tmp_path / "packages"))
    _, said = process.communicate()

    assert process.returncode == 1, said
    assert said.count("was ended by SIGKILL; another one goes on.") == 3
    assert "killer / seed 0: comes last, because 3 processes in a row died at it" in said
    assert "2 of 3 cells failed" in said
    records = [json.loads(path.read_bytes()) for path in sorted((tmp_path / "r").glob("*/*/*/record.json"))]
    assert [(r["method"]["name"], r["status"], (r["error"] or {}).get("type")) for r in records] == [
        ("killer", "failed", "ProcessDiedError"),
        ("pca", "ok", None),
        ("raiser", "failed", "RuntimeError"),
    ]
    assert (tmp_path / "raised").read_text(encoding="utf-8") == "x", "a cell that had failed was tried again"
