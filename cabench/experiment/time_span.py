"""Spans of time as people write them on a command line: "3h50m", "45m", "90s", "1d2h"."""

from __future__ import annotations

import re

from cabench.errors import UserError
from cabench.experiment.estimate import HOUR, MINUTE

DAY = 24 * HOUR
UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": 1}
LONGEST_S = 1000 * DAY


def parse_span(text: str) -> int:
    """The seconds behind "3h50m" and the like: whole numbers with their units, from days to seconds.

    A number alone is refused, as some programs mean minutes by it and others seconds.

    Raises:
        UserError: for anything else, and for no time at all or over 1,000 days.
    """
    found = isinstance(text, str) and re.fullmatch(
        r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", text.strip(), re.ASCII
    )
    numbers = found.groups() if found else ()
    seconds = sum(int(number or 0) * size for number, size in zip(numbers, UNITS.values(), strict=False))
    if not 0 < seconds <= LONGEST_S:
        raise UserError(
            f"{text!r} is no span of time; write numbers with their units, the largest first, such as 3h50m, 45m, 90s "
            "or 1d2h."
        )
    return seconds


def span_text(seconds: int) -> str:
    """Seconds, from 1, as `parse_span` reads them."""
    parts, rest = [], seconds
    for unit, size in UNITS.items():
        number, rest = divmod(rest, size)
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts)
