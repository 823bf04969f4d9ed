"""Functions that no signal handler may interrupt, and exceptions that wait until none of them runs.

What a handler raises in a function that a C library calls is lost there, or breaks the library. A handler that may come
up there asks `is_uninterrupted`, and then raises later. What it raises while Python frees an object is lost as well,
which happens all the time in code that uses h5py; `none_lost` has that raised later too.
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

LATER_S = 0.01  # from an exception that would be lost to the next try; by then Python has freed the object

_Function = TypeVar("_Function", bound=Callable[..., object])
_codes: set[CodeType] = set()
_waiting: list[type[BaseException]] = []  # what is to be raised, one at most: a later one takes its place


def uninterrupted(function: _Function) -> _Function:
    """Mark a function, and give it back."""
    _codes.add(function.__code__)
    return function


def is_uninterrupted(frame: FrameType | None) -> bool:
    """Whether a frame, or one that led to it, is of a marked function. None is what a handler gets without a frame."""
    while frame is not None and frame.f_code not in _codes:
        frame = frame.f_back
    return frame is not None


@contextmanager
def none_lost(exception: type[BaseException]) -> Iterator[None]:
    """Inside the block, exceptions of a class that Python drops are raised later, as is what `raise_later` is given.

    Whoever opens the block decides by `forget` about one that still waits at its end. For the main thread.
    """

    def notice(dropped: sys.UnraisableHookArgs) -> None:
        if isinstance(dropped.exc_value, exception):
            raise_later(exception)
        else:
            notice_before(dropped)

    notice_before, sys.unraisablehook = sys.unraisablehook, notice
    ring_before = signal.signal(signal.SIGURG, _raise) if sys.platform != "win32" else None
    try:
        yield
    finally:
        sys.unraisablehook = notice_before
        if sys.platform != "win32":
            signal.signal(signal.SIGURG, ring_before)


def raise_later(exception: type[BaseException]) -> None:
    """Raise an exception in the main thread a moment from now, or as soon as no marked function runs there any more.

    What the main thread waits for is interrupted. On Windows nothing is raised.
    """
    _waiting[:] = [exception]
    if sys.platform != "win32":
        with suppress(RuntimeError):  # there are too many threads
            _thread.start_new_thread(_ring, ())  # `threading` has locks, which the main thread may hold


def forget(exception: type[BaseException]) -> bool:
    """Raise an exception no more that was to be raised later; gives whether there was one."""
    was_waiting = exception in _waiting
    if was_waiting:
        _waiting.clear()
    return was_waiting


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Inside the block, no Ctrl-C is lost: KeyboardInterrupt comes as soon as no marked function runs, or at the end.

    Only in the main thread, where Ctrl-C raises KeyboardInterrupt anyway, as in notebooks, and not on Windows.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        if is_uninterrupted(frame):
            raise_later(KeyboardInterrupt)
        else:
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler or sys.platform == "win32":
        yield
        return
    with none_lost(KeyboardInterrupt):
        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if forget(KeyboardInterrupt):
                raise KeyboardInterrupt


def _raise(number: int, frame: FrameType | None) -> None:
    if _waiting and not is_uninterrupted(frame):
        raise _waiting.pop()


def _ring() -> None:
    """Have `_raise` called, until nothing waits any more."""
    main = threading.main_thread().ident
    while _waiting and main is not None and sys.platform != "win32":
        time.sleep(LATER_S)
        signal.pthread_kill(main, signal.SIGURG)  # which the system ignores where nothing handles it
