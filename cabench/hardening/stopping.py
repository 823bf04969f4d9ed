"""How a process stops when it is asked to: after a checkpoint in a training loop, at once anywhere else.

A kill at any moment costs nothing but time, see `cabench.files.atomic` and `cabench.checkpoint`. A request, by Ctrl-C
or by the SIGTERM that schedulers send some seconds before they kill, also lets a process remove its temporary files,
and a training loop write a checkpoint.

Terminals and schedulers send these to all processes of a job. The workers of a crew ignore them, and are asked by a
signal of their own: asked twice, a training loop would end without its checkpoint.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cabench.errors import StopRequested
from cabench.files.callbacks import is_in_callback, raise_later, raise_no_more

PASSED_ON = signal.SIGUSR1 if sys.platform != "win32" else signal.SIGTERM
"""By which a crew asks its workers to stop."""

_asked: set[int] = set()  # the signals that came: no lock, as a handler may interrupt another one


def heard(*numbers: signal.Signals) -> set[signal.Signals]:
    """Those of some signals that this process does not ignore: a shell's background jobs ignore Ctrl-C."""
    return {number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}


def heed_lost_request() -> None:
    """Stop where a request was lost.

    What a signal handler raises comes up wherever Python is, and the imports of some libraries swallow it.

    Raises:
        StopRequested: where the process was asked to stop, inside `stopping_at`.
    """
    if _asked:
        raise_no_more()
        raise StopRequested


class StopFlag:
    """Set by a signal handler, read by training loops between two steps."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Inside the block, a first SIGINT, SIGTERM or `PASSED_ON` sets the flag; a second one acts as it does outside.

        Signals that the process ignores stay ignored.

        The block is a loop that looks at the flag. Other code stops at once: see `stopping_at`.

        Raises:
            StopRequested: at the end of the block, when a signal came after the loop's last look.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # signals reach the main thread alone
            return
        heed_lost_request()
        received = []

        def set_flag(number: int, frame: FrameType | None) -> None:
            received.append(number)
            self.requested = True
            signal.signal(number, before[signal.Signals(number)])

        before = {number: signal.signal(number, set_flag) for number in heard(signal.SIGINT, signal.SIGTERM, PASSED_ON)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if received:
            raise StopRequested


@contextmanager
def stopping_at(*numbers: signal.Signals) -> Iterator[None]:
    """Inside the block, the first of such signals raises StopRequested wherever the main thread is; another one kills.

    Where that would be lost it is raised a moment later: in a function that is `called_by_c`, and where Python drops
    what comes up while it frees an object, which happens all the time in code that uses h5py.

    Args:
        numbers: of the signals.

    Raises:
        StopRequested: where one came; where a library swallowed that, at the next `heed_lost_request`, or at the end
            of a block that raises nothing else.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        _asked.add(number)
        if is_in_callback(frame):
            raise_later(StopRequested)
        else:
            raise StopRequested

    def notice(dropped: sys.UnraisableHookArgs) -> None:
        if issubclass(dropped.exc_type, StopRequested):
            raise_later(StopRequested)
        else:
            notice_before(dropped)

    before = {number: signal.signal(number, stop) for number in numbers}
    notice_before, sys.unraisablehook = sys.unraisablehook, notice
    try:
        yield
        heed_lost_request()
    finally:
        raise_no_more()
        sys.unraisablehook = notice_before
        for each, handler in before.items():
            signal.signal(each, handler)
        _asked.difference_update(numbers)
