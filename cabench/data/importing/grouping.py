"""Whether names of rows say that several belong together, such as the mice of mouse_1 and mouse_2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from shlex import quote

SEPARATORS = ("_", "-", ".", " ")
LONGEST_END = 3  # characters after the separator: a count, or a letter
FEWEST_GROUPS = 5  # with fewer stems, they may as well be populations or sites


def repeats(texts: Iterable[str]) -> bool:
    """Whether texts name groups: there are several different ones, most of them more than once."""
    counts = Counter(texts)
    return len(counts) >= FEWEST_GROUPS and sum(count > 1 for count in counts.values()) > len(counts) / 2


def grouped_until(texts: Iterable[str]) -> str:
    """The separator before whose last place texts name groups, as "_" does in mouse_1 and mouse_2; "" if there is none.

    All texts differ and have it, with something short behind, and what stands before it repeats.
    """
    given = list(texts)
    if len(set(given)) < len(given):
        return ""
    for separator in SEPARATORS:
        parts = [text.rpartition(separator) for text in given]
        if all(stem and 0 < len(end) <= LONGEST_END for stem, _, end in parts) and repeats(
            stem for stem, _, _ in parts
        ):
            return separator
    return ""


def grouping(column: str, texts: Iterable[str]) -> str:
    """The options that make groups of a column's texts, such as "--group mouse --group-until _"; "" for no groups."""
    given = list(texts)
    if repeats(given):
        return f"--group {quote(column)}"
    until = grouped_until(given)
    return f"--group {quote(column)} --group-until {quote(until)}" if until else ""
