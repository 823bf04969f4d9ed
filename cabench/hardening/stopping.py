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

PASSED_ON = signal.SIGUSR1 if sys.platform != "win32" else signal.SIGTERM
"""By which a crew asks its workers to stop."""

_asked = threading.Event()


def heed_lost_request() -> None:
    """Stop where a request was lost: libraries that are being imported may swallow what a signal handler raises.

    Raises:
        StopRequested: where the process was asked to stop, inside `stopping_at`.
    """
    if _asked.is_set():
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

        requests = {signal.SIGINT, signal.SIGTERM, PASSED_ON}
        heard = [number for number in requests if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, set_flag) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if received:
            raise StopRequested


@contextmanager
def stopping_at(number: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    """Inside the block, the first such signal raises StopRequested wherever the main thread is; a second one kills.

    StopRequested is to it what Python's KeyboardInterrupt is to Ctrl-C.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        _asked.set()
        raise StopRequested

    before = signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, before)
        _asked.clear()
