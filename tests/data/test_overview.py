from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from cabench import Attribute, Examples, write_arrays
from cabench.data.file import DatasetFile
from cabench.data.overview import HEADERS, MOST_ROWS, group_lines, picture, value_table

KIND = Attribute("kind", "salient", "class", ("a", "b", "never"))
AGE = Attribute("age", "common", "real")


@pytest.fixture
def file(tmp_path: Path) -> DatasetFile:
    """Background is dark, targets of kind a grey and those of kind b bright."""
    generator = np.random.default_rng(0)
    kinds = np.arange(40) % 2
    dark = generator.integers(0, 50, (20, 1, 16, 16), np.uint8)
    bright = (100 * (kinds + 1)[:, None, None, None] + generator.integers(0, 50, (40, 1, 16, 16))).astype(np.uint8)
    ages = np.arange(40.0)
    ages[:4] = np.nan
    return write_arrays(
        tmp_path / "mine.h5",
        Examples(dark, {"age": np.full(20, 7.0)}, is_test=np.arange(20) < 5),
        Examples(bright, {"age": ages, "kind": kinds}, is_test=np.arange(40) >= 30),
        [AGE, KIND],
    )


def test_values_are_counted_by_split_and_population(file: DatasetFile) -> None:
    table = value_table(file)
    assert HEADERS == ("attribute", "value", "train\nbackground", "train\ntarget", "test\nbackground", "test\ntarget")
    assert table == [
        ["age", "(defined)", "15", "26", "5", "10"],
        ["", "mean", "7", "16.5", "7", "34.5"],
        ["", "minimum", "7", "4", "7", "30"],
        ["", "maximum", "7", "29", "7", "39"],
        ["kind", "a", "0", "15", "0", "5"],
        ["", "b", "0", "15", "0", "5"],
        ["", "never", "0", "0", "0", "0"],
        ["", "(undefined)", "15", "0", "5", "0"],
    ]


def test_groups_are_counted_by_split_and_population(file: DatasetFile, tmp_path: Path) -> None:
    assert group_lines(file) == {"train": "none", "test": "none"}
    images = np.random.default_rng(0).integers(0, 256, (2, 30, 1, 16, 16), np.uint8)
    subjects = np.array(["a"] * 10 + ["b"] * 3 + ["c"] * 2 + ["d"] * 9 + ["e"] * 6)
    is_test = np.isin(subjects, ["d", "e"])
    parts = [Examples(part, groups=[f"{n}{s}" for s in subjects], is_test=is_test) for n, part in enumerate(images)]
    grouped = write_arrays(tmp_path / "grouped.h5", *parts)
    assert group_lines(grouped) == {
        "train": "3 background (rows: 2 to 10, median 3), 3 target (rows: 2 to 10, median 3)",
        "test": "2 background (rows: 6 to 9, median 7.5), 2 target (rows: 6 to 9, median 7.5)",
    }
    with h5py.File(grouped.path, "r+") as stored:
        stored["test/groups"][:] = [""] * 30
        stored["train/groups"][:15] = [""] * 15
    assert group_lines(grouped) == {
        "train": "15 background (rows: 1), 3 target (rows: 2 to 10, median 3)",
        "test": "none",
    }


@pytest.fixture
def wide(tmp_path: Path) -> DatasetFile:
    """60 classes whose long names begin alike, an attribute with a long name, and large numbers."""
    classes = tuple(f"a rather long name of disease number {code:02d}" for code in range(60))
    diagnosis = Attribute("diagnosis_of_the_first_reader", "salient", "class", classes)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 2400, 1, 16, 16), np.uint8)
    values = {"diagnosis_of_the_first_reader": np.arange(2400) % 60, "age": generator.normal(-1e6, 1e4, 2400)}
    is_test = np.arange(2400) < 600
    return write_arrays(
        tmp_path / "wide.h5",
        Examples(images[0], is_test=is_test),
        Examples(images[1], values, is_test=is_test),
        [diagnosis, AGE],
    )


def test_long_lists_are_cut_and_names_can_still_be_told_apart(wide: DatasetFile) -> None:
    table = value_table(wide)
    names = [row[1] for row in table[:19]]
    assert len(set(names)) == 19
    assert [row[1] for row in table[19:22]] == ["(41 other classes)", "(undefined)", "(defined)"]
    assert table[19][3] == "1,230"
    assert sum(int(row[3].replace(",", "")) for row in table[:20]) == 1800


def test_the_description_fits_a_terminal(wide: DatasetFile, cabench_here) -> None:
    described = cabench_here("data", "info", str(wide.path))
    assert described.returncode == 0, described.stderr
    table = described.stdout.split("attribute  ")[1].splitlines()[1:-2]
    assert max(map(len, table)) == 100


def test_every_class_has_a_row_in_the_picture_though_names_are_long(wide: DatasetFile) -> None:
    assert picture(wide).height == (2 + MOST_ROWS) * 66


def test_a_file_with_a_broken_layout_is_refused_and_one_with_broken_values_described(
    file: DatasetFile, cabench_here
) -> None:
    with h5py.File(file.path, "r+") as stored:
        stored["test/attributes/kind"][8] = 7
        stored["train/attributes/age"][3] = np.inf
    assert cabench_here("data", "info", str(file.path)).returncode == 0
    with h5py.File(file.path, "r+") as stored:
        del stored["test/attributes/kind"]
    refused = cabench_here("data", "info", str(file.path))
    assert refused.returncode == 2
    assert "/test/attributes/kind is missing" in refused.stderr
    assert "mine.h5 is not a data set file of cabench" in refused.stderr


def test_the_picture_shows_background_and_a_row_of_each_salient_class(file: DatasetFile) -> None:
    pixels = np.asarray(picture(file).convert("L"))[:, 130:]  # right of the labels
    rows = [pixels[top : top + 64] for top in range(0, len(pixels) - 2, 66)]
    assert len(rows) == 4
    brightness = [np.median(row[:, :64]) for row in rows]
    assert max(brightness[:2]) < 50
    assert 100 <= brightness[2] < 150
    assert 200 <= brightness[3] < 250


def test_the_command_writes_it_where_it_says(file: DatasetFile, tmp_path: Path, cabench_here) -> None:
    info = partial(cabench_here, "data", "info", str(file.path))

    done = info()
    assert done.returncode == 0, done.stderr
    assert "maximum" in done.stdout
    with Image.open(tmp_path / "mine.images.png") as drawn:
        assert drawn.size[1] == 4 * 66
    assert info("--picture", str(tmp_path / "other.png")).returncode == 0
    assert (tmp_path / "other.png").exists()
    refused = info("--picture", str(tmp_path / "mine.h5" / "x.png"))
    assert refused.returncode == 2
    assert "The picture cannot be written to" in refused.stderr


def test_a_table_has_counts_and_no_picture(tmp_path: Path, cabench_here) -> None:
    generator = np.random.default_rng(0)
    parts = [Examples(generator.standard_normal((20, 3)).astype(np.float32)) for _ in range(2)]
    file = write_arrays(tmp_path / "table.h5", *parts)
    assert value_table(file) == []
    with pytest.raises(ValueError, match="no pictures"):
        picture(file)
    done = cabench_here("data", "info", str(file.path))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "table.images.png").exists()


def test_no_command_shows_what_a_terminal_would_obey(file: DatasetFile, cabench_here) -> None:
    with h5py.File(file.path, "r+") as opened:
        opened.attrs["name"] = "\x1b]0;title\x07"
        opened.attrs["notes"] = json.dumps(["\x1b[2J", "\x9b2J"])
        for split in ("train", "test"):
            opened[f"{split}/attributes/kind"].attrs["classes"] = ["a", "\x1b[31m", "never"]
    for command, shown in (("info", "\\x1b[31m"), ("verify", "content hash")):
        done = cabench_here("data", command, str(file.path))
        said = done.stdout + done.stderr
        assert shown in said
        assert not {"\x1b", "\x07", "\x9b"} & set(said)
        assert "Traceback" not in said
