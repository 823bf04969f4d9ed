"""JSON from outside is read strictly: what is refused, and that the place is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from cabench.files import json as json_file
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


def test_of_many_keys_the_repeated_one_is_named_at_once() -> None:
    keys = ", ".join(f'"k{number}": 1' for number in range(200_000))
    with pytest.raises(ValueError, match="'k199999' is there twice"):
        parse_json(f'{{{keys}, "k199999": 1}}', dict[str, int])


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


TEXTS = st.text(alphabet='ab:"\\\u00e9 \n', max_size=6).map(json.dumps)
SPACES = st.sampled_from(["", " ", "\n ", "\t"])
NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65).map(str), st.floats().map(str), st.sampled_from(["1e99", "-1e101", "1e400", "01"])
)


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(st.one_of(TEXTS, st.sampled_from(['"a"', '"\\u0061"', '"\\u003a"', '"\\ud800"'])), SPACES, values)
    return st.lists(pairs.map(lambda pair: f"{pair[0]}{pair[1]}:{pair[2]}"), max_size=3).map(
        lambda items: f"{{{','.join(items)}}}"
    )


def _arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda items: f"[{', '.join(items)}]")


JSON = st.recursive(st.one_of(TEXTS, NUMBERS, st.just("null")), lambda v: _objects(v) | _arrays(v), max_leaves=12)


@settings(max_examples=2000, derandomize=True)
@given(JSON)
def test_what_a_quick_look_lets_pass_a_close_one_does_too(text: str) -> None:
    if json_file._is_sound(text):
        json_file._look_closely(text)


def test_published_records_need_no_close_look() -> None:
    paths = list(Path("results/published").glob("*/*/*/record.json"))
    assert len(paths) > 100
    assert all(json_file._is_sound(path.read_text(encoding="utf-8")) for path in paths)
