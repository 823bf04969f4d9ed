"""JSON from outside is read strictly: what is refused, and that the place is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import TypedDict

from cabench.files.json import parse_json, read_json, read_json_lines


class Point(TypedDict):
    x: float
    names: tuple[str, ...]


def test_a_value_of_the_kind_wanted_is_given() -> None:
    assert parse_json('{"x": 1, "names": ["a"]}', Point) == {"x": 1.0, "names": ("a",)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"x": "1", "names": []}', "^x: "),
        ('{"x": 1, "names": ["a", 2]}', "^names.1: "),
        ('{"x": 1}', "^names: "),
        ('{"x": 1, "x": 2, "names": []}', "'x' is there twice"),
        ('{"x": NaN, "names": []}', "it holds the number NaN"),
        ('{"x": 1e400, "names": []}', "it holds the number 1e400"),
        ('{"x": -1e101, "names": []}', "it holds the number -1e101"),
        ('{"x": 9223372036854775808, "names": []}', "more than 64 bits"),
        (f'{{"x": {"9" * 5000}, "names": []}}', "digits"),
        ('{"x": 1, "names": ["\\ud800"]}', "surrogates"),
        ("{", "Expecting"),
        ("", "Expecting"),
    ],
)
def test_anything_else_is_refused_with_the_place(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(text, Point)


@pytest.mark.parametrize("levels", [60, 100_000])
def test_deep_nesting_is_refused(levels: int) -> None:
    with pytest.raises(ValueError, match="nested deeper than 50 levels"):
        parse_json("[" * levels + "]" * levels, list[Any])


def test_a_pipe_and_a_folder_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", tmp_path):
        with pytest.raises(ValueError, match="no regular file"):
            read_json(path, Point)
        with pytest.raises(ValueError, match="no regular file"):
            list(read_json_lines(path, Point))


def test_lines_are_given_up_to_the_one_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("1\n2\n[\n4\n", encoding="utf-8")
    lines = read_json_lines(tmp_path / "a.jsonl", int)
    assert [next(lines), next(lines)] == [1, 2]
    with pytest.raises(ValueError, match="Expecting"):
        next(lines)
