"""Locks of a results folder: one holder at a time, the dead are followed, and who was stopped for long finds it out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import Timeout

from cabench.errors import UserError
from cabench.experiment.locks import SETTINGS, Flock, LeaseLostError, Leases, locks_of, write_leases
from cabench.files.atomic import StorageError

LEASES = Leases(1.0)

# Holds a lease, and tells on each line of its input whether it still does.
HOLDER = """
import sys
from pathlib import Path
from cabench.experiment.locks import LeaseLostError, Leases
path = Path(sys.argv[1])
try:
    with Leases(1.0).hold(path, 0):
        print("held", flush=True)
        for line in sys.stdin:
            Leases(1.0).check_held(path)
            print("still held", flush=True)
except OSError as error:
    print(f"{type(error).__name__} after {type(error.__cause__).__name__}", flush=True)
"""
Holder = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def holder() -> Iterator[Holder]:
    """Starts a process that holds a lease; the command before it may change where it runs."""
    with ExitStack() as stack:

        def start(path: Path, *prefix: str) -> subprocess.Popen[str]:
            command = [*prefix, sys.executable, "-c", HOLDER, str(path)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert said(process) == "held"
            return process

        yield start


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    process.stdin.write("?\n")
    process.stdin.flush()
    return said(process)


def on_another_machine(name: str) -> tuple[str, ...]:
    """What runs a command under another host's name."""
    prefix = ("unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("a process cannot be given another host's name here")
    return prefix


@pytest.fixture(params=["one view", "two views"])
def views(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """Paths of one lock, as this process and another one see it."""
    if request.param == "one view":
        return tmp_path / ".lock", tmp_path / ".lock"
    ours, theirs = request.getfixturevalue("two_views")
    return ours / ".lock", theirs / ".lock"


def test_flock_does_not_reach_the_other_view_and_a_lease_does(two_views: tuple[Path, Path]) -> None:
    ours, theirs = (view / ".lock" for view in two_views)
    with Flock().hold(ours, 0), Flock().hold(theirs, 0):
        pass
    with LEASES.hold(ours, 0), pytest.raises(Timeout), LEASES.hold(theirs, 0):
        pass


def test_a_lease_is_held_for_as_long_as_its_holder_lives(views: tuple[Path, Path], holder: Holder) -> None:
    ours, theirs = views
    assert not LEASES.is_held(ours)
    process = holder(theirs)
    with pytest.raises(Timeout), LEASES.hold(ours, patience_s=2.5):
        pass
    assert LEASES.is_held(ours)
    assert ask(process) == "still held"
    process.communicate()
    assert not LEASES.is_held(ours)
    with LEASES.hold(ours, 0):
        LEASES.check_held(ours)
    assert list(ours.parent.iterdir()) == []


def test_who_died_on_this_machine_is_followed_at_once(views: tuple[Path, Path], holder: Holder) -> None:
    ours, theirs = views
    process = holder(theirs)
    process.kill()
    process.wait()
    assert not Leases(1.0).is_held(ours)
    with LEASES.hold(ours, 0):
        LEASES.check_held(ours)
    assert list(ours.parent.iterdir()) == []


def test_who_died_on_another_machine_is_followed_when_its_lease_has_run_out(
    views: tuple[Path, Path], holder: Holder
) -> None:
    ours, theirs = views
    process = holder(theirs, *on_another_machine("n2"))
    killed = time.monotonic()
    process.kill()
    process.wait()
    while True:  # no visit waits, as those of a run that has other cells
        try:
            with LEASES.hold(ours, 0):
                LEASES.check_held(ours)
        except Timeout:
            assert LEASES.is_held(ours) or time.monotonic() - killed > LEASES.lease_s
            assert time.monotonic() - killed < 60
            time.sleep(0.05)
        else:
            break
    assert time.monotonic() - killed > LEASES.lease_s
    assert list(ours.parent.iterdir()) == []


def test_who_was_stopped_for_longer_than_its_lease_finds_out_that_it_was_followed(
    views: tuple[Path, Path], holder: Holder
) -> None:
    ours, theirs = views
    process = holder(theirs)
    process.send_signal(signal.SIGSTOP)
    with LEASES.hold(ours, patience_s=60):
        process.send_signal(signal.SIGCONT)
        assert ask(process) == "Timeout after LeaseLostError"
        process.wait()
        LEASES.check_held(ours)
        assert LEASES.is_held(theirs), "the first holder gave back what it had lost"


def test_who_was_stopped_and_not_followed_goes_on(tmp_path: Path, holder: Holder) -> None:
    process = holder(tmp_path / ".lock")
    process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    process.send_signal(signal.SIGCONT)
    assert ask(process) == "still held"
    time.sleep(1.5)
    assert LEASES.is_held(tmp_path / ".lock")
    assert ask(process) == "still held"


def test_a_holder_without_its_folder_finds_it_out(tmp_path: Path, holder: Holder) -> None:
    (tmp_path / "cell").mkdir()
    process = holder(tmp_path / "cell" / ".lock")
    (tmp_path / "cell").rename(tmp_path / "gone")
    assert ask(process) == "Timeout after LeaseLostError"


def test_a_holder_that_shows_life_in_the_last_moment_keeps_its_lease(views: tuple[Path, Path], holder: Holder) -> None:
    ours, theirs = views
    process = holder(theirs)
    place = ours.with_name(".lock.lease")
    process.send_signal(signal.SIGSTOP)
    assert LEASES.is_held(ours)
    time.sleep(1.1)
    os.utime(place, ns=(0, 0))
    with pytest.raises(Timeout), LEASES.hold(ours, 0):
        pass
    process.send_signal(signal.SIGCONT)
    assert ask(process) == "still held"
    assert [path.name for path in ours.parent.iterdir()] == [".lock.lease"]


@pytest.mark.parametrize("left", ["", "nothing that filelock writes\n", "link"])
def test_what_stands_in_the_place_of_a_lease_runs_out_too(tmp_path: Path, left: str) -> None:
    place, other = tmp_path / ".lock.lease", tmp_path / "other"
    other.write_text("theirs")
    if left == "link":
        place.symlink_to(other)
    else:
        place.write_text(left)
    with pytest.raises(Timeout), LEASES.hold(tmp_path / ".lock", 0):
        pass
    with LEASES.hold(tmp_path / ".lock", patience_s=60):
        LEASES.check_held(tmp_path / ".lock")
    assert other.read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_lease_that_is_given_back_elsewhere_while_it_is_looked_at_is_free(
    two_views: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = (view / ".lock.lease" for view in two_views)
    opened = os.open

    def given_back_once_opened(path: Path, flags: int) -> int:
        handle = opened(path, flags)
        theirs.unlink()
        for _ in range(100):  # until this view has forgotten what it remembers
            try:
                os.fstat(handle)
            except FileNotFoundError:
                return handle
            time.sleep(0.1)
        raise AssertionError("this view remembers for ever")

    for look in (LEASES.is_held, lambda path: LEASES._is_taken_away(path.with_name(".lock.lease"))):
        theirs.write_text("")
        with monkeypatch.context() as patch:
            patch.setattr("cabench.experiment.locks.os.open", given_back_once_opened)
            assert not look(ours.with_name(".lock"))


# Each takes the lock again and again, and notes the moments at which it holds it.
CONTENDER = """
import os, signal, sys, time
from pathlib import Path
from filelock import Timeout
from cabench.experiment.locks import Leases
path, log = Path(sys.argv[1]), Path(sys.argv[2])
for round in range(40):
    try:
        with Leases(1.0).hold(path, 30):
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, b"in\\n")
            time.sleep(0.002)
            os.write(descriptor, b"out\\n")
            if round == 20 and sys.argv[3] == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
    except Timeout:
        pass
"""


def test_contenders_hold_a_lease_one_after_another_although_some_die(two_views: tuple[Path, Path], tmp_path: Path):
    log = tmp_path / "log"
    processes = [
        subprocess.Popen([sys.executable, "-c", CONTENDER, str(two_views[number % 2] / ".lock"), str(log), fate])
        for number, fate in enumerate(["lives", "dies", "dies", "lives"])
    ]
    assert [process.wait() for process in processes] == [0, -signal.SIGKILL, -signal.SIGKILL, 0]
    assert log.read_text().splitlines() == ["in", "out"] * (40 + 21 + 21 + 40)


def test_flock_tells_that_its_folder_was_removed(tmp_path: Path) -> None:
    with Flock().hold(tmp_path / ".lock", 0):
        Flock().check_held(tmp_path / ".lock")
        assert Flock().is_held(tmp_path / ".lock")
        (tmp_path / ".lock").unlink()
        with pytest.raises(StorageError, match="was removed meanwhile"):
            Flock().check_held(tmp_path / ".lock")


@pytest.mark.parametrize("what", ["lock", "folder"])
def test_flock_tells_that_another_process_can_hold_what_stands_in_its_place(tmp_path: Path, what: str) -> None:
    path = tmp_path / "cell" / ".lock"
    path.parent.mkdir()
    with Flock().hold(path, 0):
        if what == "lock":
            path.unlink()
        else:
            path.parent.rename(tmp_path / "elsewhere")
            path.parent.mkdir()
        path.touch()
        with pytest.raises(StorageError, match="was removed meanwhile"):
            Flock().check_held(path)


def test_the_error_of_a_lost_lease_is_one_of_storage() -> None:
    with pytest.raises(LeaseLostError, match="taken over"):
        LEASES.check_held(Path("nowhere") / ".lock")


# What a folder says of its locks


def test_without_a_word_locks_are_by_flock(tmp_path: Path) -> None:
    assert locks_of(tmp_path) == Flock()
    (tmp_path / SETTINGS).write_text('kind = "flock"')
    assert locks_of(tmp_path) == Flock()


@pytest.mark.parametrize("seconds", [1, 2.5, 120])
def test_a_folder_is_given_leases(tmp_path: Path, seconds: float) -> None:
    write_leases(tmp_path, seconds)
    assert locks_of(tmp_path) == Leases(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kind",
        'kind = "other"',
        'kind = "lease"',
        'kind = "lease"\nseconds = 0',
        'kind = "lease"\nseconds = nan',
        'kind = "lease"\nseconds = "120"',
        'kind = "lease"\nseconds = 1e9',
        'kind = "flock"\nseconds = 120',
        'kind = "lease"\nseconds = 120\nmore = 1',
        "\0\xff",
    ],
)
def test_what_a_folder_cannot_say_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / SETTINGS).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="check-store"):
        locks_of(tmp_path)


def test_a_pipe_in_place_of_the_settings_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / SETTINGS)
    with pytest.raises(UserError, match="is neither a file nor a folder"):
        locks_of(tmp_path)


def test_processes_that_do_not_agree_on_the_time_are_told(tmp_path: Path, holder: Holder) -> None:
    holder(tmp_path / ".lock")
    with pytest.raises(UserError, match="for another time than"), Leases(7).hold(tmp_path / ".lock", 0):
        pass
