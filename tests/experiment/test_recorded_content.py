"""A data set that was replaced, hash and all, is told from what finished cells say of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest

import cabench
from cabench.data.writing import content_sha256


def run(results: Path, seeds: str, size: int = 1) -> cabench.Results:
    settings: dict[str, Any] = {"datasets": "planted", "profile": "smoke", "controls": False, "device": "cpu"}
    return cabench.run("chance", results=results, seeds=seeds, sets=[f"planted.repeats={size}"], **settings)


def replaced(path: Path) -> None:
    """One attribute of the test split is another, and the hash fits."""
    with h5py.File(path, "r+") as file:
        values = next(iter(file["test/attributes"].values()))
        values[0] = values[-1]
        file.attrs["content_sha256"] = content_sha256(file)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    run(tmp_path / "results", "0")
    return tmp_path / "results"


def test_the_same_data_and_other_ones_are_no_reason_to_speak(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(results, "0-1")
    run(results, "0-1", size=2)
    shutil.rmtree(results.parent / "cache")  # built again it is the same
    run(results, "0-2")
    assert "another content" not in capsys.readouterr().err


def test_a_data_set_that_was_replaced_with_its_hash_is_told(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (results.parent / "cache" / "datasets").glob("*.h5")
    replaced(path)
    for seeds in ("0", "1"):
        assert run(results, seeds).records[0].status == "ok"
        said = capsys.readouterr().err
        assert f"The data set planted in {path} has another content (" in said
        assert "than what planted / chance / seed 0 was computed on" in said


def test_it_is_told_among_cells_of_other_data(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (results.parent / "cache" / "datasets").glob("*.h5")
    run(results, "0-9", size=2)  # by their keys, their records stand before that of the other or behind it
    replaced(path)
    run(results, "10")
    assert "The data set planted in " in capsys.readouterr().err
