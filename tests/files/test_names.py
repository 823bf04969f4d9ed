"""Names that become folders, and what a terminal is shown of text from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from cabench.files.names import is_line, is_name, message, printable, skeleton, told_apart


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


@pytest.mark.parametrize(
    "name", ["sepclr", "a-b.c_1", "_x", "7", "é", "łódź", "š2", "β-vae", "数据", "かな", "データ", "한국", "x" * 100]
)
def test_names_that_lead_nowhere_else_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "-x", "a/b", "a\\b", "../x", "/x", "a b", "a\n", "a\0", "x" * 101]
)
def test_what_could_lead_out_of_a_folder_or_be_no_folder_is_no_name(name: str) -> None:
    assert not is_name(name)


# Each passes for "mmcvae" or "pca": Cyrillic and Greek letters, fillers, joiners, full width, a letter and its accent.
LOOK_ALIKE = (
    *("mmcv\u0430e", "\u0440\u0441\u0430", "\u03c1ca", "mmcvae\u3164", "mmcvae\uffa0", "mm\u115fcvae", "pc\u0251"),
    *(
        "mmcvae\u200b",
        "mm\u00adcvae",
        "mmcvae\ufe0f",
        "mm\u034fcvae",
        "\uff50ca",
        "pca\u0301",
        "\u217cda",
        "ld\u0131",
        "\u0133x",
        "\u0138",
        "\u017fx",
    ),
)


@pytest.mark.parametrize("name", LOOK_ALIKE, ids=ascii)
def test_what_passes_for_another_name_is_no_name(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("\u041c\u0443\u0436\u0441\u043a\u043e\u0439", "\u043c\u0443\u0436\u0441\u043a\u043e\u0439"),
        ("\u039dO", "NO"),
        ("\u039d\u03cc\u03c3\u03bf\u03c2", "\u03bd\u03cc\u03c3\u03bf\u03c2"),
        ("m\u0430le", "male"),
        ("\u041c\u0410LE", "male"),
        ("male\u3164", "male"),
        ("ma\u200ble", "Male"),
        ("male\ufe0f", "male"),
        ("\uff4dale", "male"),
        ("\u03bfther", "other"),
        ("two  words ", "Two words"),
    ],
    ids=ascii,
)
def test_texts_that_look_alike_have_one_skeleton(text: str, other: str) -> None:
    assert skeleton(text) == skeleton(other)


@pytest.mark.parametrize("other", ["mail", "female", "m\u00e4le", "\u4e2d\u6587"], ids=ascii)
def test_texts_that_look_otherwise_have_another(other: str) -> None:
    assert skeleton(other) != skeleton("male")


@pytest.mark.parametrize("text", ["male\u3164", "male\ufe0f", "ma\u034fle", "\u2800", "a\nb"], ids=ascii)
def test_a_line_shows_all_that_it_holds(text: str) -> None:
    assert not is_line(text)


def test_no_line_of_a_message_passes_for_another_message() -> None:
    assert message("There is no folder a\n3 cells: done.\r\n\x1b[2J") == (
        "There is no folder a\n  3 cells: done.\\r\n  \\x1b[2J"
    )


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


@pytest.mark.parametrize("alphabet", [range(0x0391, 0x03AA), range(0x0410, 0x0430), range(0x0041, 0x005B)], ids=str)
def test_a_letter_in_either_case_has_one_skeleton(alphabet: range) -> None:
    for letter in filter(str.isalpha, map(chr, alphabet)):
        assert skeleton(letter) == skeleton(letter.lower())


def test_a_message_that_nobody_would_read_to_its_end_is_cut() -> None:
    assert message("k" * 1_000_000) == "k" * 20_000 + " ..."
