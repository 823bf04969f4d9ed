"""Notes of deaths: written by real processes that are really killed at work on a cell."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cabench.files.atomic import write_text
from cabench.hardening.deaths import deaths_at, noting_death
from cabench.hardening.journal import Journal

DAMAGED = ("{", "[" * 100_000, '{"a":' * 100_000, "[]", "{}", "null", "7", '"text"', "\0\xff")


def die_at(folder: Path) -> None:
    """Have a process begin the cell of a folder and be killed there."""
    pid = os.fork()
    if pid == 0:
        with noting_death(folder, "key", Journal()):
            os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def checkpoint(folder: Path, text: str) -> None:
    write_text(folder / "checkpoint" / "state.safetensors", text)


def test_a_note_counts_the_processes_that_died_at_the_same_checkpoint(tmp_path: Path) -> None:
    assert deaths_at(tmp_path) == 0
    for count in (1, 2, 3):
        die_at(tmp_path)
        assert deaths_at(tmp_path) == count
    with noting_death(tmp_path, "key", Journal()) as deaths:
        assert deaths == 3
    assert deaths_at(tmp_path) == 0


def test_a_checkpoint_starts_the_count_anew(tmp_path: Path) -> None:
    checkpoint(tmp_path, "first")
    die_at(tmp_path)
    die_at(tmp_path)
    assert deaths_at(tmp_path) == 2
    checkpoint(tmp_path, "second")
    assert deaths_at(tmp_path) == 1


def test_an_error_is_no_death(tmp_path: Path) -> None:
    with pytest.raises(KeyError), noting_death(tmp_path, "key", Journal()):
        raise KeyError
    assert deaths_at(tmp_path) == 0


@pytest.mark.parametrize(
    "text", [*DAMAGED, '{"deaths": "2", "checkpoint": null}', '{"deaths": -7, "checkpoint": null}']
)
def test_a_note_that_cannot_be_read_tells_of_one_death(tmp_path: Path, text: str) -> None:
    (tmp_path / ".begun").write_text(text, encoding="latin-1")
    assert deaths_at(tmp_path) == 1
    die_at(tmp_path)
    assert deaths_at(tmp_path) == 2


def test_a_pipe_in_place_of_a_note_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".begun")
    assert deaths_at(tmp_path) == 1
