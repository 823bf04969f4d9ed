"""Whether what is known of rows says that several belong together, such as the mice of mouse_1 and mouse_2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
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


def said_of_identifiers(columns: Mapping[str, Iterable[str]]) -> list[str]:
    """Which columns seem to say what was sampled, as their texts name groups.

    Args:
        columns: of those called like identifiers, the texts of all rows; "" = not known.
    """
    found = {name: grouping(name, filter(None, texts)) for name, texts in columns.items()}
    return [
        f"Rows seem to belong together, as {name!r} says: if that is what was sampled, import again with {options}."
        for name, options in found.items()
        if options
    ]


def said_of_folders(paths: Iterable[str], options: str) -> list[str]:
    """Whether images seem to lie in a folder for each subject: in several folders, most of them with several images.

    Args:
        paths: of images, with forward slashes.
        options: those that make groups of the paths up to the last slash.
    """
    folders = [path.rpartition("/")[0] for path in paths]
    if not repeats(folders):
        return []
    return [
        f"Images seem to belong together, as they lie in folders such as {max(folders)!r}: if each is of one subject, "
        f"import again with {options}."
    ]
