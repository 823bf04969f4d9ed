"""The two errors that users meet, and the message for an unknown name.

`UserError` is a mistake in a request or in a file that was given. It is reported in one or two sentences, without a
traceback, before any work starts, and the command ends with exit status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED = 12  # names that fit into a sentence


class UserError(Exception):
    """What was given, what is allowed, and what to do next, in one or two sentences."""


class StopRequested(BaseException):
    """The process was asked to stop. A training loop raises it once its checkpoint is safely on disk.

    It is a request, not an error: no `except Exception`, such as that of an external method, may catch it.
    """


def unknown(kind: str, given: str, allowed: Iterable[str], shown_by: str = "") -> UserError:
    """The error for a name outside a known set, with the closest match, and with all names where they are few.

    Args:
        kind: what is named, in the singular ("method", "data set", "field of sepclr").
        given: the name as it was written.
        allowed: every known name.
        shown_by: the command that shows all names, where there is one.
    """
    names = sorted(allowed)
    close = difflib.get_close_matches(given, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    if len(names) <= LISTED:
        known = f"Known: {', '.join(names) or 'none'}."
    elif shown_by:
        known = f"{shown_by} shows all names."
    else:
        known = f"Known: {', '.join(names[:LISTED])} and {len(names) - LISTED:,} more."
    return UserError(f"Unknown {kind} {given!r}{hint} {known}")
