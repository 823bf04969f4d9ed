"""A file where an option names a folder is told so by every command, and nothing is computed."""

from __future__ import annotations

import pytest

PLANTED = ("--methods", "pca", "--datasets", "planted", "--profile", "smoke")


@pytest.mark.parametrize(
    "command",
    [
        ("run", *PLANTED, "--results"),
        ("plan", *PLANTED, "--results"),
        ("plan", *PLANTED, "--trials", "2", "--results"),
        ("submit", *PLANTED, "--script", "shell", "--results"),
        ("report", "--results"),
        ("evaluate", "--results"),
        ("publish", "--output", "a.zip", "--results"),
        ("gate", "--baseline", "baseline.json", "--results"),
        ("merge", "other", "--results"),
        ("check-store", "--results"),
        ("tune", *PLANTED, "--trials", "2", "--results"),
        ("tune", *PLANTED, "--trials", "2", "--records"),
        ("open-trials", "--records"),
        ("open-trials", "--trials"),
    ],
    ids=" ".join,
)
def test_a_file_is_no_folder(cabench_here, tmp_path, command):
    (tmp_path / "other").mkdir()
    (tmp_path / "file").write_text("mine")
    refused = cabench_here(*command, "file")
    assert refused.returncode == 2
    assert command[-1] in refused.stderr
    assert "is a file" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]
    assert (tmp_path / "file").read_text() == "mine"
