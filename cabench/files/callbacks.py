"""Functions that a C library calls back, and exceptions that wait until none of them runs.

What a signal handler raises in such a function is lost there, or breaks the library. Handlers that know better ask
`is_in_callback`, and raise later; those of Python itself do not, see `sparing_callbacks`.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType
from typing import TypeVar

LATER_S = 0.01

_Callback = TypeVar("_Callback", bound=Callable[..., object])
_codes: set[CodeType] = set()
_waiting: list[type[BaseException]] = []  # what is to be raised, one at most


def called_by_c(function: _Callback) -> _Callback:
    """Mark a function, and give it back."""
    _codes.add(function.__code__)
    return function


def is_in_callback(frame: FrameType | None) -> bool:
    """Whether a frame, or one that led to it, is of a marked function. None is what a handler gets without a frame."""
    while frame is not None and frame.f_code not in _codes:
        frame = frame.f_back
    return frame is not None


def raise_later(exception: type[BaseException]) -> None:
    """Raise an exception in the main thread a moment from now, or after the marked function that runs then.

    A system call that the main thread waits in is interrupted. On Windows nothing is raised. For the main thread.
    """
    _waiting[:] = [exception]
    if sys.platform != "win32":
        signal.signal(signal.SIGURG, _raise)
        _ring_soon()


def raise_no_more() -> None:
    """Forget what is to be raised later."""
    _waiting.clear()


@contextmanager
def sparing_callbacks() -> Iterator[None]:
    """Inside the block, Ctrl-C raises KeyboardInterrupt after a marked function instead of in it.

    Only in the main thread, and where Ctrl-C raises KeyboardInterrupt anyway, as in notebooks.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        if is_in_callback(frame):
            raise_later(KeyboardInterrupt)
        else:
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler or sys.platform == "win32":
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
        if _waiting:
            raise _waiting.pop()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _raise(number: int, frame: FrameType | None) -> None:
    if _waiting and is_in_callback(frame):
        _ring_soon()
    elif _waiting:
        raise _waiting.pop()


def _ring_soon() -> None:
    """Have `_raise` called. In a thread without `threading`, whose locks the main thread may hold."""
    with suppress(RuntimeError):  # there are too many threads
        _thread.start_new_thread(_ring, ())


def _ring() -> None:
    time.sleep(LATER_S)
    main = threading.main_thread().ident
    if main is not None and sys.platform != "win32":
        signal.pthread_kill(main, signal.SIGURG)  # which the system ignores where nothing handles it
