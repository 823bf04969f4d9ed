"""Where tuning is to write: what is refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cabench.errors import UserError
from cabench.tuning.places import check_place


def test_a_folder_that_is_there_or_can_be_made_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "new" / "folder", Path("new"), Path()):
        check_place(folder, "--records")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below" / "it"):
        with pytest.raises(UserError, match=f"{file} is a file and no folder; choose another place with --records"):
            check_place(folder, "--records")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda place, mode: mode != os.W_OK)
    with pytest.raises(UserError, match=f"Nothing can be written in the folder {tmp_path}; choose another with --out"):
        check_place(tmp_path / "new", "--output")
