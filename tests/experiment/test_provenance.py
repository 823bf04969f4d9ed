"""Where a record was computed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import torch

import cabench
from cabench.experiment.provenance import commit, peak_memory_gib


def test_the_commit_is_that_of_the_checkout() -> None:
    if not (Path(cabench.__file__).parents[1] / ".git").exists():
        pytest.skip("this is no checkout")
    at, dirty = commit()
    assert re.fullmatch("[0-9a-f]{40}", at or "")
    assert isinstance(dirty, bool)


@pytest.mark.parametrize("hook", [True, False], ids=["as git sets it for hooks", "of the user"])
def test_another_repository_in_the_environment_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: bool
) -> None:
    expected = commit()
    if expected == (None, None):
        pytest.skip("this is no checkout")
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE" if hook else "GIT_WORK_TREE", str(tmp_path / "other"))
    assert commit() == expected


def test_memory_is_that_of_this_process() -> None:
    assert 0.05 < peak_memory_gib(torch.device("cpu")) < 1000  # torch alone takes more
