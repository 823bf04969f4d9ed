"""How a process stops when it is asked to: after a checkpoint in a training loop, at once anywhere else.

A kill at any moment costs nothing but time, see `cabench.files.atomic` and `cabench.checkpoint`. A request, by Ctrl-C
or by the SIGTERM that schedulers send some seconds before they kill, also lets a process remove its temporary files,
and a training loop write a checkpoint.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cabench.errors import StopRequested


class StopFlag:
    """Set by a signal handler, read by training loops between two steps."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Inside the block, the first SIGINT or SIGTERM sets the flag; a second one acts as it does outside.

        The block is a loop that looks at the flag. Other code stops at once: see `stopping_at_sigterm`.

        Raises:
            StopRequested: at the end of the block, when a signal came after the loop's last look.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # signals reach the main thread alone
            return
        received = []

        def set_flag(number: int, frame: FrameType | None) -> None:
            received.append(number)
            self.requested = True
            signal.signal(number, before[signal.Signals(number)])

        before = {number: signal.signal(number, set_flag) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if received:
            raise StopRequested


@contextmanager
def stopping_at_sigterm() -> Iterator[None]:
    """Inside the block, the first SIGTERM raises StopRequested wherever the main thread is; a second one kills.

    StopRequested is to SIGTERM what Python's KeyboardInterrupt is to Ctrl-C.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise StopRequested

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
