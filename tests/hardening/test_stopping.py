"""Signals: what the first and the second of them do, inside a loop that looks at its flag and outside."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import indent

import pytest

from cabench.errors import StopRequested
from cabench.files.uninterrupted import LATER_S, uninterrupted
from cabench.hardening import stopping
from cabench.hardening.stopping import PASSED_ON, StopFlag, heed_lost_request, stopping_at


@pytest.fixture(autouse=True)
def handlers_stay() -> Iterator[None]:
    def handlers() -> list[object]:
        return [sys.unraisablehook, *map(signal.getsignal, (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1))]

    before = handlers()
    yield
    assert handlers() == before


def stays_here(work: Callable[[], None]) -> None:
    """Work, and then wait for what comes up, in one system call."""
    work()
    time.sleep(60)
    pytest.fail("nothing came up")


def receive(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_loop_sees_the_first_signal_and_goes_on_to_its_own_end(number: signal.Signals) -> None:
    seen = []

    def loop(stop: StopFlag) -> None:
        with stop.heeded():
            for step in range(5):
                if step == 2:
                    receive(number)
                seen.append(stop.requested)
                if stop.requested:
                    raise StopRequested

    with pytest.raises(StopRequested):
        loop(StopFlag())
    assert seen == [False, False, True]


def test_a_signal_after_the_last_look_counts_at_the_end_of_the_loop() -> None:
    reached = []

    def loop() -> None:
        with StopFlag().heeded():
            receive(signal.SIGTERM)
            reached.append(True)

    with pytest.raises(StopRequested):
        loop()
    assert reached


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, StopRequested)])
def test_a_second_request_acts_as_it_does_outside(
    number: signal.Signals, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "ONE_REQUEST_S", -1)

    def loop() -> None:
        with stopping_at(signal.SIGTERM), StopFlag().heeded():
            receive(number)
            receive(number)
            pytest.fail("the second signal was put off")

    with pytest.raises(error):
        loop()


def test_what_comes_within_a_second_is_one_request_as_all_processes_get_it() -> None:
    reached = []

    def loop() -> None:
        with stopping_at(signal.SIGINT, signal.SIGTERM), StopFlag().heeded():
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, PASSED_ON):
                receive(number)
            reached.append(True)

    with pytest.raises(StopRequested):
        loop()
    assert reached

    def clean_up() -> None:
        try:
            receive(signal.SIGTERM)
        finally:
            receive(signal.SIGTERM)
            reached.append(True)

    with pytest.raises(StopRequested), stopping_at(signal.SIGINT, signal.SIGTERM):
        clean_up()
    assert reached == [True, True]


def test_a_loop_that_fails_after_a_request_was_asked_to_stop() -> None:
    def loop() -> None:
        with StopFlag().heeded():
            receive(signal.SIGTERM)
            raise RuntimeError("a process of the data loader has died of the same signal")

    with pytest.raises(StopRequested):
        loop()


def test_a_loop_that_fails_by_itself_tells_why() -> None:
    def loop() -> None:
        with StopFlag().heeded():
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        loop()


def test_a_flag_that_is_set_without_a_signal_raises_nothing() -> None:
    stop = StopFlag()
    with stop.heeded():
        stop.requested = True


def test_outside_loops_sigterm_acts_at_once_and_no_handler_of_errors_takes_it() -> None:
    def work() -> None:
        with stopping_at(signal.SIGTERM):
            try:
                receive(signal.SIGTERM)
            except Exception:
                pytest.fail("taken for an error")
            pytest.fail("the signal was put off")

    with pytest.raises(StopRequested):
        work()


def test_loops_outside_the_main_thread_run_without_signals() -> None:
    stop, ran = StopFlag(), []

    def loop() -> None:
        with stop.heeded():
            ran.append(True)

    thread = threading.Thread(target=loop)
    thread.start()
    thread.join(timeout=30)
    assert ran == [True]


def test_a_request_that_a_library_swallowed_is_heeded_later() -> None:
    def work() -> None:
        with suppress(StopRequested):
            receive(signal.SIGUSR1)
        with pytest.raises(StopRequested):
            heed_lost_request()
        with pytest.raises(StopRequested), StopFlag().heeded():
            pytest.fail("a training loop began")

    with pytest.raises(StopRequested), stopping_at(signal.SIGUSR1):
        work()
    heed_lost_request()


class Freed:
    """Whose end can be watched."""


def while_freeing(work: Callable[[], None]) -> None:
    """Work while Python frees an object: it drops what comes up there."""
    freed = Freed()
    watched = weakref.ref(freed, lambda _: work())
    del freed
    assert watched() is None


def test_a_request_that_python_dropped_comes_again() -> None:
    with pytest.raises(StopRequested), stopping_at(signal.SIGUSR1):
        stays_here(lambda: while_freeing(lambda: receive(signal.SIGUSR1)))


def test_what_else_python_drops_is_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise KeyError

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(dropped.exc_type))
    with stopping_at(signal.SIGUSR1):
        while_freeing(fail)
    assert told == [KeyError]


def test_a_request_that_was_heeded_does_not_come_again() -> None:
    cleaned = []

    def work() -> None:
        try:
            while_freeing(lambda: receive(signal.SIGUSR1))
            heed_lost_request()
        finally:
            time.sleep(10 * LATER_S)
            cleaned.append(True)

    with pytest.raises(StopRequested), stopping_at(signal.SIGUSR1):
        work()
    assert cleaned == [True]


def test_a_request_to_an_outer_block_is_not_lost_at_the_end_of_an_inner_one() -> None:
    def work() -> None:
        with suppress(StopRequested), stopping_at(signal.SIGUSR2):
            while_freeing(lambda: receive(signal.SIGUSR1))
        heed_lost_request()
        pytest.fail("it was lost")

    with pytest.raises(StopRequested), stopping_at(signal.SIGUSR1):
        work()


def test_a_function_that_a_c_library_calls_runs_to_its_end() -> None:
    ran = []

    @uninterrupted
    def callback() -> None:
        receive(signal.SIGUSR1)
        ran.append(True)

    with pytest.raises(StopRequested), stopping_at(signal.SIGUSR1):
        stays_here(callback)
    assert ran == [True]
    with pytest.raises(StopRequested), stopping_at(signal.SIGUSR1):
        callback()  # and the block is over before the request comes again
    assert ran == [True, True]


def test_a_long_function_that_a_c_library_calls_runs_to_its_end_too() -> None:
    ran = []

    @uninterrupted
    def callback() -> None:
        receive(signal.SIGUSR1)
        for _ in range(10):
            time.sleep(LATER_S)
        ran.append(True)

    with pytest.raises(StopRequested), stopping_at(signal.SIGUSR1):
        stays_here(callback)
    assert ran == [True]


def test_a_request_is_forgotten_with_its_block() -> None:
    def work() -> None:
        with stopping_at(signal.SIGUSR1):
            while_freeing(lambda: receive(signal.SIGUSR1))
            raise KeyError

    with pytest.raises(StopRequested):
        work()
    time.sleep(10 * LATER_S)
    heed_lost_request()


def test_threads_that_cannot_be_started_lose_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    def work() -> None:
        while_freeing(lambda: receive(signal.SIGUSR1))
        heed_lost_request()

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with pytest.raises(StopRequested), stopping_at(signal.SIGUSR1):
        work()


KILLS = {
    "once it is handled": """
try:
    ask(signal.SIGTERM)
except StopRequested:
    ask(signal.SIGINT)
""",
    "while it is handled": """
class Asked(set):
    def add(self, number):
        ask(signal.SIGINT)
stopping._asked = Asked()
ask(signal.SIGTERM)
""",
    "in a callback": """
@uninterrupted
def callback():
    ask(signal.SIGTERM)
    ask(signal.SIGINT)
callback()
""",
}


@pytest.mark.parametrize("when", KILLS)
def test_after_the_first_request_another_one_kills_whichever_it_is(
    start_python: Callable, tmp_path: Path, when: str
) -> None:
    program = f"""
import os, signal
from cabench.errors import StopRequested
from cabench.files.uninterrupted import uninterrupted
from cabench.hardening import stopping

stopping.ONE_REQUEST_S = -1

def ask(number):
    os.kill(os.getpid(), number)

with stopping.stopping_at(signal.SIGINT, signal.SIGTERM):
{indent(KILLS[when], "    ")}
"""
    process = start_python(tmp_path, "-c", program)
    process.communicate()
    assert process.returncode == -signal.SIGINT
