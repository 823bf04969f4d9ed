"""What configurations say of files, and what others are told of them."""

from __future__ import annotations

import json

import pytest

from cabench.data.named_files import is_path, names_a_file, without_folders

ORIGIN = {"of": "file", "of_config": '{"path":"/home/me/mine.h5"}'}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("path", "mine.h5", True),
        ("weights_path", "weights", True),
        ("path", "", False),
        ("of", "/home/me/mine.h5", True),
        ("of", "mine.h5x", False),
        ("weights", "mine.pth", True),
        ("weights", "imagenet", False),
        ("pathology", "none", False),
    ],
)
def test_which_values_are_paths(field: str, value: str, expected: bool) -> None:
    assert is_path(field, value) is expected
    assert names_a_file({"size": 3, field: value}) is expected


def test_a_file_that_another_data_set_is_made_of_counts() -> None:
    assert names_a_file(ORIGIN)
    assert not names_a_file({"of": "planted", "of_config": '{"repeats":1}'})
    assert not names_a_file({"of": "planted", "of_config": "no JSON"})


def test_files_are_told_by_their_names() -> None:
    told = without_folders({"path": "/home/me/mine.h5", "weights_path": "", "size": 3, "split": "given/a", **ORIGIN})
    assert told == {
        "path": "mine.h5",
        "weights_path": "",
        "size": 3,
        "split": "given/a",
        "of": "file",
        "of_config": '{"path":"mine.h5"}',
    }
    assert without_folders(told) == told


def test_a_data_set_made_of_one_that_is_made_of_a_file() -> None:
    config = {"of": "features", "of_config": json.dumps(ORIGIN)}
    assert names_a_file(config)
    assert "/home" not in json.dumps(without_folders(config))
