"""Files that another process holds open for writing, and what is said of files that may be sound."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import Examples, write_arrays
from cabench.errors import UserError
from cabench.experiment.store import ResultsStore

HOLD = """
import sys, time, h5py
with h5py.File(sys.argv[1], "r+") as file:
    print("open", flush=True)
    time.sleep(300)
"""
Hold = Callable[[Path], None]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (2, 100, 1, 8, 8), dtype=np.uint8)
    return write_arrays(tmp_path / "mine.h5", *map(Examples, images)).path


@pytest.fixture
def hold(tmp_path: Path, start_python) -> Iterator[Hold]:
    """Has another process hold a file open for writing until the test ends."""
    holding = []

    def start(path: Path) -> None:
        holding.append(start_python(tmp_path, "-c", HOLD, path))
        holding[-1].wait_for("open\n")

    yield start
    for process in holding:
        process.send_signal(9)
        process.communicate()


@pytest.mark.parametrize(
    "command",
    [
        ("data", "verify", "mine.h5"),
        ("data", "info", "mine.h5"),
        ("plan", "--methods", "pca", "--datasets", "mine.h5"),
        ("run", "--methods", "pca", "--datasets", "mine.h5"),
    ],
)
def test_a_file_that_is_being_written_is_in_use_and_not_called_damaged(mine, hold, cabench_here, command):
    hold(mine)
    refused = cabench_here(*command)
    assert refused.returncode == 2
    assert "mine.h5 is in use: another program holds it open for writing. Close it there, or wait" in refused.stderr
    assert not re.search("delete|damaged|not a data set", refused.stderr, re.IGNORECASE)


def test_a_file_that_is_in_use_is_read_once_it_is_closed(mine, start_python, tmp_path):
    writer = start_python(tmp_path, "-c", HOLD, mine)
    writer.wait_for("open\n")
    with pytest.raises(UserError, match="is in use"):
        DatasetFile.open_from_elsewhere(mine)
    writer.send_signal(2)
    writer.communicate()
    assert DatasetFile.open_from_elsewhere(mine).verify().info.counts["train"]["target"] == 80


def test_what_a_killed_writer_leaves_is_a_mark_and_not_called_damage(start_python, tmp_path):
    path = tmp_path / "latest.h5"
    with h5py.File(path, "w", libver="latest"):  # older formats have no such mark
        pass
    writer = start_python(tmp_path, "-c", HOLD, path)
    writer.wait_for("open\n")
    writer.send_signal(9)
    writer.communicate()
    with pytest.raises(UserError, match=r"latest\.h5 is marked as open for writing: .* was killed .*h5clear -s"):
        DatasetFile.open_from_elsewhere(path)


def test_vectors_and_contributions_that_are_in_use_are_not_computed_again(cabench_here, mine, hold, tmp_path):
    made = cabench_here("run", "--methods", "chance", "--datasets", "mine.h5", "--no-controls", "--seeds", "0")
    assert made.returncode == 0, made.stderr
    store = ResultsStore(tmp_path / "results" / "runs")
    (record,) = store.records()
    folder = record.folder(store.folder)
    hold(folder / "representations.h5")
    encoded = cabench_here("encode", str(folder), "--output", "vectors.csv")
    assert "representations.h5 is in use" in encoded.stderr
    hold(folder / "contributions.h5")
    (reason,) = store.readable_records()[1]
    assert "contributions.h5 is in use" in reason


def test_what_the_system_refuses_is_no_damage(mine, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Unable to synchronously open file (unable to open file: errno = 13)")

    monkeypatch.setattr("h5py.File", refuse)
    with pytest.raises(UserError) as refused:
        DatasetFile.open(mine)
    assert str(refused.value) == f"{mine} cannot be opened: Permission denied."


def test_nobody_is_told_to_delete_a_file_of_their_own_and_what_the_cache_lost_is_built_again(mine, cache, tmp_path):
    mine.write_bytes(mine.read_bytes()[:3000])
    with pytest.raises(UserError, match="Import or write it again, or get another copy") as own:
        DatasetFile.open(mine)
    assert "Delete" not in str(own.value)
    (cache / "datasets").mkdir(exist_ok=True)
    built = Path(shutil.copy(mine, cache / "datasets" / "some-0123.h5"))
    with pytest.raises(UserError, match="Delete it, and it is built again"):
        DatasetFile.open(built)
    built.unlink()
