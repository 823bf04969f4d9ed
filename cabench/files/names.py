"""Names that become folders, and text from outside made safe to show."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

LONGEST_NAME = 100  # file systems allow 255 bytes
NAME_LETTERS = "letters that pass for no others from a to z, digits, _ and -"
"""What `is_name` allows, for messages."""
LONGEST_MESSAGE = 20_000  # characters: the paths of a hundred files
# Letters that nobody takes for others from a to z: those with marks, but for \u0131, \u0133, \u0138 and \u017f; some
# Greek ones; and those of Chinese, Japanese and Korean.
_LETTER = (
    "[0-9A-Za-z_\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0130\u0134-\u0137\u0139-\u0148\u014a-\u017e"
    "\u0393\u0394\u0398\u039b\u039e\u03a0\u03a3\u03a6\u03a8\u03a9\u03b2\u03b4\u03b5\u03b6\u03b8\u03bb\u03bc\u03be\u03c0\u03c3\u03c6\u03c8"
    "\u3005\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]"
)
# Fillers, joiners and selectors of variants: Unicode calls them letters and marks, and nothing is shown for them.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Without the small \u03bd: it looks like v, and is an N in lower case.
_FOREIGN = (
    "\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425"  # Cyrillic
    "\u0430\u0435\u0455\u0456\u0458\u043e\u0440\u0441\u0443\u0445\u04bb\u04cf\u0501\u051b\u051d"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf"  # Greek
)
_LATIN = "ABESIJKMHOPCTYXaesijopcyxhldqwABEZHIKMNOPTYXo"
# In lower case, as skeletons are: what looks alike in either case counts.
_TWINS = {ord(foreign.casefold()): latin.casefold() for foreign, latin in zip(_FOREIGN, _LATIN, strict=True)}


def is_name(text: str) -> bool:
    """Whether this may name a method, a data set or a variant, whose cells are kept in a folder of that name.

    Letters, digits and _, and after the first character also - and .; at most 100. No such name leads out of a folder,
    and none passes for one of letters from a to z, as those of a Cyrillic or an invisible letter would.
    """
    return len(text) <= LONGEST_NAME and re.fullmatch(rf"{_LETTER}(?:{_LETTER}|[.-])*", text) is not None


def is_line(text: str) -> bool:
    """Whether a text can be shown unchanged, in one line."""
    return text == printable(text) and "\n" not in text


def printable(text: str) -> str:
    """The text with control characters, invisible ones and halves of surrogate pairs as their escapes; lines stay.

    A terminal would obey some of them: they move the cursor, set its title, or turn the direction of writing.
    """
    # Nearly all is, but for lines; letter by letter takes fifty times as long.
    if text.replace("\n", " ").replace("\t", " ").isprintable() and not _INVISIBLE.search(text):
        return text
    return "".join(c if c in "\n\t" or _is_seen(c) else c.encode("unicode_escape").decode() for c in text)


def message(text: str) -> str:
    """One message as a terminal may show it: `printable`, with its further lines set in, so that none of them, such as
    a line break in a path, passes for a message of its own; and cut where it is longer than anybody reads.
    """
    cut = text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]} ..."
    return printable(cut).replace("\n", "\n  ")


def skeleton(text: str) -> str:
    """What a text has in common with all that look or mean nearly the same: without case, width, blanks that repeat and
    invisible letters, and with Latin letters in place of the Cyrillic and Greek ones that look like them.
    """
    seen = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold().translate(_TWINS)
    return " ".join("".join(filter(_is_seen, seen)).split())


def told_apart(first: Path, second: Path) -> tuple[str, str]:
    """The ends of two different paths, with as many folders as it takes to tell them apart, and forward slashes."""
    parts = [path.absolute().parts[1:] for path in (first, second)]
    length = next(length for length in range(1, max(map(len, parts)) + 1) if parts[0][-length:] != parts[1][-length:])
    one, other = ("/".join(part[-length:]) for part in parts)
    return one, other


def _is_seen(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] != "C" and category not in ("Zl", "Zp") and not _INVISIBLE.match(character)
