from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest

from cabench import Attribute
from cabench.data.importing.csv_files import read_table
from cabench.data.importing.labels import Columns, labels_of, parse_columns

BACKGROUND = np.array([True, True, False, False])
NAMES = ["a", "b", "c", "d"]


def labels(tmp_path: Path, text: str, **given: str):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return labels_of(path, read_table(path), parse_columns(**given), NAMES, BACKGROUND)


def test_columns_are_declared_with_their_kind() -> None:
    given = {"common": "sex, age:real", "salient": "lesion:class", "nuisance": "site,dose:real"}
    assert parse_columns(**given, group="subject", split="fold") == Columns(
        (
            Attribute("sex", "common", "class"),
            Attribute("age", "common", "real"),
            Attribute("lesion", "salient", "class"),
            Attribute("site", "nuisance", "class"),
            Attribute("dose", "nuisance", "real"),
        ),
        "subject",
        "fold",
    )
    assert parse_columns().used == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"common": "age:float"},
            "--common 'age:float' is not understood; after a column's name stands :class or :real, such as age:real",
        ),
        (
            {"nuisance": "age:float"},
            "--nuisance 'age:float' is not understood; after a column's name stands :class or :real, such as age:real",
        ),
        ({"common": "age", "salient": "age"}, "'age' is named twice"),
        ({"salient": "age", "nuisance": "age"}, "'age' is named twice"),
        ({"common": "age", "split": "age"}, "'age' is named twice"),
        ({"group": "age", "split": "age"}, "'age' is named twice"),
        ({"common": '"age:real'}, "a name in double quotes ends with one too"),
        ({"common": ":real"}, "such as NAME:real"),
        ({"group_until": "_"}, "--group, which names no column"),
        ({"common": "file"}, "'file' names the images"),
    ],
)
def test_declarations_that_mean_nothing_are_refused(refusal, given: dict[str, str], words: str) -> None:
    assert words in refusal(lambda: parse_columns(**given))


def test_columns_are_read_as_declared(tmp_path: Path) -> None:
    found = labels(
        tmp_path,
        "sex,age,stage,subject,fold\nm,30,2,s1,train\n f ,,2,s1,train\nm,4.5,10,s2,test\nm,7,10,s3,train\n",
        common="sex,age:real",
        salient="stage",
        group="subject",
        split="fold",
    )
    assert [attribute.classes for attribute in found.attributes] == [("f", "m"), (), ("10",)]
    assert found.values["sex"].tolist() == [1, 0, 1, 1]
    np.testing.assert_array_equal(found.values["age"], [30, np.nan, 4.5, 7])
    assert found.values["stage"].tolist() == [-1, -1, 0, 0]
    assert found.groups is not None
    assert found.groups.tolist() == ["s1", "s1", "s2", "s3"]
    assert found.is_test is not None
    assert found.is_test.tolist() == [False, False, True, False]


def test_classes_that_are_numbers_come_in_their_order(tmp_path: Path) -> None:
    assert labels(tmp_path, "n\n10\n9\n10\n9\n", common="n").attributes[0].classes == ("9", "10")


def test_what_spreadsheets_leave_at_the_edges_does_not_count(tmp_path: Path) -> None:
    assert labels(tmp_path, "n,,\na,,\na,,\nb,,\nb,,\n,,\n", common="n").values["n"].tolist() == [0, 0, 1, 1]


def test_words_that_may_stand_for_unknown_are_asked_about(tmp_path: Path, refusal) -> None:
    text = "n\nNA\nNA\nnull\nnull\n"
    assert "n of a is 'NA'; give --missing NA" in refusal(lambda: labels(tmp_path, text, common="n"))
    assert labels(tmp_path, text, common="n", missing="").attributes[0].classes == ("NA", "null")
    assert labels(tmp_path, text, common="n", missing="NA").values["n"].tolist() == [-1, -1, 0, 0]


def test_the_marks_of_spreadsheets_are_read(tmp_path: Path) -> None:
    assert labels(tmp_path, '\ufeff"n"\r\na\r\na\r\n"b"\r\nb\r\n', common="n").attributes[0].classes == ("a", "b")


@pytest.mark.parametrize(
    ("text", "given", "words"),
    [
        ("age\n1\ntwo\n3\n4\n", {"common": "age:real"}, "age of b is 'two'; and a real attribute takes numbers"),
        ("age\n1\n2\ninf\n4\n", {"common": "age:real"}, "age of c is 'inf'"),
        ("id\n1\n2\n3\n4\n", {"common": "id"}, "too many for classes"),
        ("n,m\nx,1\nx,1\n,1\n,1\n", {"salient": "n"}, "the column 'n' is empty"),
        ("sex\n1\n1\n2\n2\n", {"common": "sec"}, "did you mean 'sex'"),
        ("s,x\na,1\n,1\nb,1\nb,1\n", {"group": "s"}, "s of b is empty; fill it in"),
        (
            "s,x\ntrain,1\nvalid,1\ntest,1\ntest,1\n",
            {"split": "s"},
            "s of b is 'valid'; write one of train, test, val",
        ),
        ("a,a\n1,2\n1,2\n1,2\n1,2\n", {"common": "a"}, "two columns called 'a'"),
        ("a;b\n1;2\n", {"common": "a"}, "declare --delimiter ';'"),
        (",,\n,,\n", {"common": "a"}, "is empty"),
        ("a\n", {"common": "a"}, "no rows below its header"),
        ("", {"common": "a"}, "is empty"),
        ("a,b\n1,2\n1,2,3\n", {"common": "a"}, "line 3 has 3 fields, and the header has 2"),
    ],
)
def test_cells_that_are_not_as_declared_are_named(tmp_path: Path, refusal, text: str, given, words: str) -> None:
    assert words in refusal(lambda: labels(tmp_path, text, **given))


def test_what_is_no_text_is_refused(tmp_path: Path, refusal) -> None:
    (tmp_path / "labels.csv").write_bytes(b"a,b\n\xff\xfe\x00,1\n")
    assert "not UTF-8 text" in refusal(lambda: read_table(tmp_path / "labels.csv"))
    assert "name a CSV file" in refusal(lambda: read_table(tmp_path))
    assert "name a CSV file" in refusal(lambda: read_table(tmp_path / "absent.csv"))


def test_a_compressed_table_is_not_unpacked(tmp_path: Path, refusal) -> None:
    for suffix, written in ((".csv.gz", gzip.compress(b"file\na\n")), (".csv.bz2", bz2.compress(b"file\na\n"))):
        path = tmp_path / f"labels{suffix}"
        path.write_bytes(written)
        assert "an archive, not text" in refusal(lambda path=path: read_table(path))


def test_images_that_belong_together_by_their_names_are_said(tmp_path: Path) -> None:
    names = [f"scans/s{row // 2:02}_{'ab'[row % 2]}.png" for row in range(40)]
    path = tmp_path / "labels.csv"
    path.write_text("file,sex\n" + "".join(f"{name},m\n" for name in names))

    def said(**given: str) -> tuple[str, ...]:
        return labels_of(path, read_table(path), parse_columns(common="sex", **given), names, np.zeros(40, bool)).said

    assert said() == (
        "Images seem to belong together by their names: if that is so, import again with --group file --group-until _.",
    )
    assert said(group="file", group_until="_") == ()
    groups = labels_of(path, read_table(path), parse_columns(group="file", group_until="_"), names, np.zeros(40, bool))
    assert groups.groups is not None
    assert groups.groups.tolist() == [name.rpartition("_")[0] for name in names]
