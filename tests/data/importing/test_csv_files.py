from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cabench.data.importing.csv_files import names_in, open_table, read_table
from cabench.data.importing.labels import parse_columns
from cabench.data.importing.populations import Choice
from cabench.data.importing.splitting import Drawn
from cabench.data.importing.tables.files import TableForm, import_table

ROWS, FEATURES = 1500, 400
MEGABYTE = 1 << 20


def test_what_pandas_writes_is_read_as_it_stands(tmp_path: Path) -> None:
    texts = ["a", ' b"', "c,d", "e\nf", "g\r\nh", "", "é", "'", "1e5"]
    table = pd.DataFrame({"x": texts, "a b": texts[::-1]})
    for name, options in (
        ("a", {}),
        ("b", {"encoding": "utf-8-sig"}),
        ("c", {"quoting": 1}),
        ("d", {"encoding": "utf-16"}),
    ):
        table.to_csv(tmp_path / f"{name}.csv", **options)
        read = read_table(tmp_path / f"{name}.csv")
        assert read.to_dict("list") == {
            "Unnamed: 0": [str(row) for row in range(len(texts))],
            **{column: [text.strip() for text in table[column]] for column in table},
        }


def test_line_ends_of_all_systems_are_read(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        (tmp_path / "t.csv").write_bytes(end.join(("x,y", "1,2", "3,4", "")).encode())
        assert read_table(tmp_path / "t.csv").to_dict("list") == {"x": ["1", "3"], "y": ["2", "4"]}


def test_what_is_no_file_is_refused(tmp_path: Path, refusal) -> None:
    assert "cannot be read" in refusal(lambda: open_table(tmp_path / "absent.csv"))
    assert "not a regular file" in refusal(lambda: open_table(tmp_path))
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in refusal(lambda: open_table(tmp_path / "pipe.csv"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n\xff,3\n", "not UTF-8 text"),
        (b"\xff\xfea\x00,", "not UTF-8 text"),
        (b"a\x00,b\n1,2\n", "printable texts"),
        (b'a,b\n1,"2"x\n', "line 2"),
        (b"a,b\n1," + b"2" * 200_000, "field limit"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, refusal, content: bytes, words: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert words in refusal(lambda: read_table(tmp_path / "t.csv"))


def test_names_of_an_option() -> None:
    assert names_in(' a ,"b, c":real, d[1] ,,"e ""f"""') == ("a", "b, c:real", "d[1]", 'e "f"')
    assert names_in("") == names_in(" , ") == ()


def test_memory_is_that_of_the_arrays(tmp_path: Path) -> None:
    """Beside the features as float64 there are pieces of a bounded size: cells as text would take ten times as much."""
    values = np.random.default_rng(0).normal(size=(ROWS, FEATURES)).round(4)
    path = tmp_path / "t.csv"
    table = pd.DataFrame(values).add_prefix("x").assign(kind=["a", "b"] * (ROWS // 2))
    table.to_csv(path, index=False)
    arguments = (path, Choice("kind", ("a",), ("b",)), tmp_path / "t.h5", TableForm(), parse_columns(), Drawn())
    tracemalloc.start()
    try:
        file = import_table(*arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.info.image_shape == (FEATURES,)
    array = values.nbytes / MEGABYTE
    assert peak / MEGABYTE < array + 16, f"{peak / MEGABYTE:.0f} MB at most, of which the features are {array:.0f}"
