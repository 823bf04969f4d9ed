"""Names that become folders, and text from outside made safe to show."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

LONGEST_NAME = 100  # file systems allow 255 bytes


def is_name(text: str) -> bool:
    """Whether this may name a method, a data set or a variant, whose cells are kept in a folder of that name.

    Letters, digits and _, and after the first character also - and .; at most 100. No such name leads out of a folder.
    """
    return len(text) <= LONGEST_NAME and re.fullmatch(r"\w[\w.-]*", text) is not None


def is_line(text: str) -> bool:
    """Whether a text can be shown unchanged, in one line."""
    return text == printable(text) and "\n" not in text


def printable(text: str) -> str:
    """The text with control characters, invisible ones and halves of surrogate pairs as their escapes; lines stay.

    A terminal would obey some of them: they move the cursor, set its title, or turn the direction of writing.
    """
    if text.isprintable():  # nearly all is, and letter by letter takes fifty times as long
        return text
    return "".join(c if c in "\n\t" or _is_seen(c) else c.encode("unicode_escape").decode() for c in text)


def inert(text: str) -> str:
    """The text made safe for a spreadsheet: an apostrophe before what it would take for a formula."""
    return f"'{printable(text)}" if text.lstrip().startswith(("=", "+", "-", "@")) else printable(text)


def told_apart(first: Path, second: Path) -> tuple[str, str]:
    """The ends of two different paths, with as many folders as it takes to tell them apart, and forward slashes."""
    parts = [path.absolute().parts[1:] for path in (first, second)]
    length = next(length for length in range(1, max(map(len, parts)) + 1) if parts[0][-length:] != parts[1][-length:])
    one, other = ("/".join(part[-length:]) for part in parts)
    return one, other


def _is_seen(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] != "C" and category not in ("Zl", "Zp")
