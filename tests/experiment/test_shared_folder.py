"""`cabench check-store`: two processes find out together whether machines can share a results folder."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cabench.experiment.locks import SETTINGS, Flock, Leases, locks_of, write_leases
from cabench.experiment.meeting import Meeting
from cabench.experiment.shared_folder import FOLDER

# The command, with what a test wants: patience for the dead, another machine's name, a death, a broken file system.
COMMAND = """
import os, socket, sys
from cabench.experiment import meeting, shared_folder
meeting.SILENCE_S = float(os.environ.get("SILENCE", meeting.SILENCE_S))
name = os.environ.get("HOST", socket.gethostname())
socket.gethostname = lambda: name
if "DIES" in os.environ:
    shared_folder._makes_files_for_one = lambda meeting: os._exit(9)
if "GIVES_TO_BOTH" in os.environ:
    shared_folder._is_made = lambda path: True
from cabench.__main__ import main
sys.argv = ["cabench", "check-store", *sys.argv[1:]]
main()
"""
Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path, start_python) -> Start:
    """Starts the command on a folder."""

    def start(results: Path, *arguments: object, **environment: str) -> Any:
        return start_python(tmp_path, "-c", COMMAND, "--results", results, *arguments, **environment)

    return start


def ends(*processes: Any) -> list[tuple[int, str, str]]:
    """Exit status, output and errors of each."""
    said = [process.communicate() for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


def test_a_local_folder_needs_nothing(tmp_path: Path, start: Start) -> None:
    results = tmp_path / "results"
    for status, output, errors in ends(start(results), start(results)):
        assert (status, "flock reaches the other process: nothing to do." in output) == (0, True), errors
        assert "This is what two processes on" in output
        assert "cut short" not in output
        assert "start the same command on another machine" in errors
    assert list(results.iterdir()) == []


def test_where_flock_does_not_reach_the_folder_is_given_leases(two_views: tuple[Path, Path], start: Start) -> None:
    folders = [view / "results" for view in two_views]
    for status, output, errors in ends(start(folders[0], HOST="n1"), start(folders[1], HOST="n2")):
        assert status == 0, errors
        assert "flock does not reach the other process. locks.toml in the folder now says" in output
        assert "on n1 and on n2" in output or "on n2 and on n1" in output
        assert "This is what two processes on" not in output
    assert locks_of(folders[0]) == locks_of(folders[1]) == Leases(120.0)
    assert [path.name for path in folders[0].iterdir()] == [SETTINGS]
    text = (folders[0] / SETTINGS).read_text(encoding="utf-8")
    for status, output, _ in ends(start(folders[0]), start(folders[1])):
        assert (status, "says leases of 120 s, which need no flock: nothing to do." in output) == (0, True), output
    assert (folders[0] / SETTINGS).read_text(encoding="utf-8") == text


def test_locks_are_not_changed_under_those_who_hold_them(two_views: tuple[Path, Path], start: Start) -> None:
    folders = [view / "results" for view in two_views]
    cell = folders[0] / "planted" / "pca" / "seed0-01234567"
    cell.mkdir(parents=True)
    with Flock().hold(cell / ".lock", 0):
        for status, output, errors in ends(start(folders[0]), start(folders[1])):
            assert (status, "processes work in the folder now" in output) == (1, True), errors
    assert locks_of(folders[0]) == Flock()


def test_a_folder_that_gives_one_file_to_two_cannot_be_shared(tmp_path: Path, start: Start) -> None:
    results = tmp_path / "results"
    for status, output, _ in ends(start(results, GIVES_TO_BOTH="1"), start(results, GIVES_TO_BOTH="1")):
        assert (status, "It cannot be shared" in output, "cabench merge" in output) == (1, True, True)


def test_nobody_else_came(tmp_path: Path, start: Start) -> None:
    ((status, _, errors),) = ends(start(tmp_path / "results", "--wait", "0.5"))
    assert status == 2
    assert "Nobody else came within 0.5 s; start the same command on another machine" in errors
    assert list((tmp_path / "results").iterdir()) == []


def test_the_notes_of_the_dead_are_not_met_and_do_not_stay(tmp_path: Path, start: Start) -> None:
    results = tmp_path / "results"
    killed = start(results)
    while not (notes := list(results.glob(f"{FOLDER}/*[0-9a-f]"))):
        assert not killed.ended(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (results / FOLDER / "f0f0f0f0f0f0f0f0").write_text("nothing that a process writes")
    ((status, _, errors),) = ends(start(results, "--wait", "2"))
    assert (status, "Nobody else came" in errors) == (2, True)
    assert notes[0].exists()
    assert [status for status, _, _ in ends(start(results), start(results))] == [0, 0]
    assert list(results.iterdir()) == []


def test_who_dies_during_the_check_does_not_hold_the_other(tmp_path: Path, start: Start) -> None:
    (first, _, errors), (second, _, _) = ends(
        start(tmp_path / "results", SILENCE="5"), start(tmp_path / "results", DIES="1")
    )
    assert (first, second) == (2, 9)
    assert "The other process ended before the check did; start both again." in errors


def test_who_is_asked_to_stop_leaves_nothing(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path / "results")
    while not list((tmp_path / "results").glob(f"{FOLDER}/*")):
        assert not process.ended(0.01)
    process.send_signal(signal.SIGINT)
    ((status, _, errors),) = ends(process)
    assert (status, "Traceback" in errors) == (130, False)
    assert list((tmp_path / "results").iterdir()) == []


def test_a_request_to_stop_at_the_first_line_of_a_note_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(kept: Callable[..., Any] = tempfile.mkstemp, **arguments: Any) -> None:
        os.close(kept(**arguments)[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "mkstemp", begin)
    with pytest.raises(KeyboardInterrupt), Meeting.arranged(tmp_path / FOLDER, 1.0):
        pass
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_of_three_two_check_and_one_is_told(tmp_path: Path, start: Start) -> None:
    results = tmp_path / "results"
    said = ends(*(start(results, "--wait", "60") for _ in range(3)))
    assert sorted(status for status, _, _ in said) == [0, 0, 2]
    (errors,) = (errors for status, _, errors in said if status == 2)
    assert "Two others are checking this folder: process" in errors or "Nobody else came" in errors


def test_what_cannot_be_a_results_folder_is_refused(tmp_path: Path, start: Start) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / FOLDER).symlink_to(tmp_path)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / SETTINGS).write_text("kind = 7")
    for name, reason in {"file": "Invalid value", "linked": "is a link", "odd": "does not say how"}.items():
        ((status, _, errors),) = ends(start(tmp_path / name, "--wait", "1"))
        assert (status, reason in errors) == (2, True), errors


def test_leases_that_somebody_chose_stay(tmp_path: Path, start: Start) -> None:
    results = tmp_path / "results"
    results.mkdir()
    write_leases(results, 30)
    assert [status for status, _, _ in ends(start(results), start(results))] == [0, 0]
    assert locks_of(results) == Leases(30.0)
