"""How a process stops when it is asked to: after a checkpoint in a training loop, at once anywhere else.

A kill at any moment costs nothing but time, see `cabench.files.atomic` and `cabench.checkpoint`. A request, by Ctrl-C
or by the SIGTERM that schedulers send some seconds before they kill, also lets a process remove its temporary files,
and a training loop write a checkpoint.

Terminals and schedulers send these to all processes of a job. The workers of a crew ignore them, and are asked by a
signal of their own: asked twice, more than a second apart, a training loop would end without its checkpoint.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cabench.errors import StopRequested
from cabench.files.uninterrupted import forget, is_uninterrupted, none_lost, raise_later

PASSED_ON = signal.SIGUSR1 if sys.platform != "win32" else signal.SIGTERM
"""By which a crew asks its workers to stop."""

ONE_REQUEST_S = 1.0
"""Requests within this time are one: a scheduler sends to all processes, and a process that watches passes it on."""

_asked: set[int] = set()  # the signals that came: no lock, as a handler may interrupt another one


def heard(*numbers: signal.Signals) -> set[signal.Signals]:
    """Those of some signals that this process does not ignore: a shell's background jobs ignore Ctrl-C."""
    return {number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}


def heed_lost_request() -> None:
    """Stop where a request was lost.

    What a signal handler raises comes up wherever Python is. The imports of some libraries swallow it, h5py may make
    another error of it, and Windows has nothing by which it could be raised later.

    Raises:
        StopRequested: where the process was asked to stop, inside `stopping_at`.
    """
    if _asked:
        forget(StopRequested)
        raise StopRequested


class StopFlag:
    """Set by a signal handler, read by training loops between two steps."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Inside the block, a first SIGINT, SIGTERM or `PASSED_ON` sets the flag; another one acts as it does outside.

        What comes within `ONE_REQUEST_S` of the first is the same request. Signals that the process ignores stay
        ignored. The block is a loop that looks at the flag. Other code stops at once: see `stopping_at`.

        Raises:
            StopRequested: at the end of the block, when a signal came after the loop's last look, or when the block
                failed after one.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # signals reach the main thread alone
            return
        heed_lost_request()
        asked_at: list[float] = []
        before = {number: signal.getsignal(number) for number in heard(signal.SIGINT, signal.SIGTERM, PASSED_ON)}

        def set_flag(number: int, frame: FrameType | None) -> None:
            asked_at.append(time.monotonic())
            self.requested = True
            if asked_at[-1] - asked_at[0] > ONE_REQUEST_S:
                put_back()
                signal.raise_signal(signal.Signals(number))

        def put_back() -> None:
            for number, handler in before.items():
                if signal.getsignal(number) is set_flag:
                    signal.signal(number, handler)

        try:
            for number in before:
                signal.signal(number, set_flag)
            yield
        except Exception:
            if asked_at:
                raise StopRequested from None
            raise
        finally:
            put_back()
        if asked_at:
            raise StopRequested


@contextmanager
def stopping_at(*numbers: signal.Signals) -> Iterator[None]:
    """Inside the block, the first of such signals raises StopRequested wherever the main thread is; another one kills.

    What comes within `ONE_REQUEST_S` of the first is the same request. Where its exception would be lost, it is raised
    later; see `cabench.files.uninterrupted`.

    Args:
        numbers: of the signals.

    Raises:
        StopRequested: where one came; where a library swallowed that or made another error of it, at the next
            `heed_lost_request`, or at the end of the block, unless that ends by SystemExit.
    """
    asked_at: list[float] = []

    def stop(number: int, frame: FrameType | None) -> None:
        is_first = not asked_at
        asked_at.append(time.monotonic())
        if is_first:
            _asked.add(number)
            if not is_uninterrupted(frame):
                raise StopRequested
            raise_later(StopRequested)
        elif asked_at[-1] - asked_at[0] > ONE_REQUEST_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(signal.Signals(number))

    before = {number: signal.getsignal(number) for number in numbers}
    with none_lost(StopRequested):
        try:
            for number in numbers:
                signal.signal(number, stop)
            yield
            heed_lost_request()
        except Exception:
            heed_lost_request()
            raise
        finally:
            forget(StopRequested)
            for number, handler in before.items():
                signal.signal(number, handler)
            _asked.difference_update(numbers)
