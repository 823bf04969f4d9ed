"""Functions that a C library calls back. What a signal handler raises in one is lost there, or breaks the library."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FrameType
from typing import TypeVar

_Callback = TypeVar("_Callback", bound=Callable[..., object])
_codes: set[CodeType] = set()


def called_by_c(function: _Callback) -> _Callback:
    """Mark a function, and give it back: signal handlers that ask `is_in_callback` raise nothing while it runs."""
    _codes.add(function.__code__)
    return function


def is_in_callback(frame: FrameType | None) -> bool:
    """Whether a frame, or one that led to it, is of a marked function. None is what a handler gets without a frame."""
    while frame is not None and frame.f_code not in _codes:
        frame = frame.f_back
    return frame is not None
