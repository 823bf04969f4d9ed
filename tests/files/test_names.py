"""Names that become folders, and what a terminal is shown of text from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from cabench.files.names import is_name, printable, told_apart


@pytest.mark.parametrize(
    ("first", "second", "ends"),
    [
        ("/data/a", "/data/b", ("a", "b")),
        ("/data/a/images", "/data/b/images", ("a/images", "b/images")),
        ("/images", "/a/images", ("images", "a/images")),
        ("/x/a/b", "/y/a/b", ("x/a/b", "y/a/b")),
        ("/x/../data/./a", "/data/b", ("a", "b")),
    ],
)
def test_two_paths_are_told_apart_by_their_ends(first: str, second: str, ends: tuple[str, str]) -> None:
    assert told_apart(Path(first), Path(second)) == ends


@pytest.mark.parametrize("name", ["sepclr", "a-b.c_1", "_x", "7", "é", "x" * 100])
def test_names_that_lead_nowhere_else_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "-x", "a/b", "a\\b", "../x", "/x", "a b", "a\n", "a\0", "x" * 101]
)
def test_what_could_lead_out_of_a_folder_or_be_no_folder_is_no_name(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 🙂\n\ttext", "plain é 🙂\n\ttext"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\rb\0", r"a\rb\x00"),
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u2028b", r"a\u2028b"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
