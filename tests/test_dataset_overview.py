from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cabench import Attribute, Examples, write_arrays
from cabench.dataset_file import DatasetFile
from cabench.dataset_overview import HEADERS, picture, value_table

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
    assert HEADERS == ("attribute", "value", "train background", "train target", "test background", "test target")
    assert table == [
        ["age", "(defined)", 15, 26, 5, 10],
        ["age", "mean (range)", "7 (7 to 7)", "16.5 (4 to 29)", "7 (7 to 7)", "34.5 (30 to 39)"],
        ["kind", "a", 0, 15, 0, 5],
        ["kind", "b", 0, 15, 0, 5],
        ["kind", "never", 0, 0, 0, 0],
        ["kind", "(undefined)", 15, 0, 5, 0],
    ]


def test_the_picture_shows_background_and_a_row_of_each_salient_class(file: DatasetFile) -> None:
    pixels = np.asarray(picture(file).convert("L"))[:, 130:]  # right of the labels
    rows = [pixels[top : top + 64] for top in range(0, len(pixels) - 2, 66)]
    assert len(rows) == 4
    brightness = [np.median(row[:, :64]) for row in rows]
    assert max(brightness[:2]) < 50
    assert 100 <= brightness[2] < 150
    assert 200 <= brightness[3] < 250


def test_the_command_writes_it_where_it_says(file: DatasetFile, tmp_path: Path) -> None:
    def info(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cabench", "data", "info", str(file.path), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = info()
    assert done.returncode == 0, done.stderr
    assert "mean (range)" in done.stdout
    with Image.open(tmp_path / "mine.images.png") as drawn:
        assert drawn.size[1] == 4 * 66
    assert info("--picture", str(tmp_path / "other.png")).returncode == 0
    assert (tmp_path / "other.png").exists()
    refused = info("--picture", str(tmp_path / "mine.h5" / "x.png"))
    assert refused.returncode == 2
    assert "The picture cannot be written to" in refused.stderr


def test_a_table_has_counts_and_no_picture(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    parts = [Examples(generator.standard_normal((20, 3)).astype(np.float32)) for _ in range(2)]
    file = write_arrays(tmp_path / "table.h5", *parts)
    assert value_table(file) == []
    with pytest.raises(ValueError, match="no pictures"):
        picture(file)
    command = [sys.executable, "-m", "cabench", "data", "info", str(file.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "table.images.png").exists()
