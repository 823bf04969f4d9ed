"""The two errors that users meet, and the words for a name that is not known.

`UserError` is a mistake in what was asked for or in what was given to read: it is said in one or two sentences,
without a traceback, before any work starts, and the command ends with exit status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What was given, what is allowed, and what to do next, in one or two sentences."""


class StopRequested(BaseException):
    """The process was asked to stop. A training loop raises it once its checkpoint is safely on disk.

    A request and not an error: no `except Exception`, of a method from elsewhere say, may take it for one.
    """


def unknown(kind: str, given: str, allowed: Iterable[str]) -> UserError:
    """The error for a name outside a known set, with the closest match.

    Args:
        kind: what the name stands for, in the singular ("method", "data set", "field of sepclr").
        given: the name as it was written.
        allowed: every name that would have been accepted.
    """
    names = sorted(allowed)
    close = difflib.get_close_matches(given, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return UserError(f"Unknown {kind} {given!r}{hint} Known: {', '.join(names) or 'none'}.")
