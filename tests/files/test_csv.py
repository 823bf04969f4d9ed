"""Tables as CSV: every text in quotes, nothing that a spreadsheet computes, and all else as pandas writes it."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest

from cabench.files.csv import csv_lines, inert

NUMBERS = [0.1, -2.5e-300, 1e22, 3.0, np.nan]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        (" @x", "' @x"),
        ("-2 is too small", "'-2 is too small"),
        ("x;=1+1", "x;'=1+1"),
        ("x\t=1+1", "x\t'=1+1"),
        ("x;\t +1", "x;\t' +1"),
        ("x\n=1+1", "x\n'=1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("x;\uff0b1", "x;'\uff0b1"),
        ("\ufe661", "'\ufe661"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a = b, -1; c-d", "a = b, -1; c-d"),
        ("plain", "plain"),
    ],
    ids=ascii,
)
def test_what_a_spreadsheet_would_compute_is_made_inert(text: str, shown: str) -> None:
    assert inert(text) == shown


def csv_text_of(table: pd.DataFrame) -> str:
    return "".join(csv_lines(table))


def test_texts_are_quoted_and_numbers_are_not() -> None:
    table = pd.DataFrame({"name": ["a", 'say "x;=1"', None], "value": [0.5, np.nan, 2.0], "flag": [True, None, False]})

    assert csv_text_of(table) == 'name,value,flag\n"a",0.5,True\n"say ""x;\'=1""",,\n,2.0,False\n'


def test_numbers_are_written_as_pandas_writes_them() -> None:
    table = pd.DataFrame(
        {
            "double": NUMBERS,
            "single": np.array(NUMBERS, np.float32),
            "counts": pd.array([1, None, 3, 4, 2**62], "Int64"),
            "whole": np.arange(5),
            "flag": [True, False, True, True, False],
        }
    )

    assert csv_text_of(table) == table.to_csv(index=False, lineterminator="\n")


def test_a_long_table_is_written_whole() -> None:
    table = pd.DataFrame({"name": np.arange(10_000).astype(str), "value": np.arange(10_000) / 7})
    again = pd.read_csv(io.StringIO(csv_text_of(table)), dtype={"name": object})
    pd.testing.assert_frame_equal(again, table.astype({"name": object}))


@pytest.mark.parametrize("text", ["a,b", 'quo"ted', "two\nlines", " spaced ", "x;y", ""], ids=ascii)
def test_texts_come_back(text: str) -> None:
    (_, (name, value)) = csv.reader(
        io.StringIO(csv_text_of(pd.DataFrame({"name": [text], "value": [1.5]})), newline="")
    )

    assert (name, value) == (text, "1.5")
