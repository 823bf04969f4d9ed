"""Fixtures of the tests of shared results folders."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# Seconds, as short against the leases of these tests as those of NFS, 60, are against the leases of two minutes.
REMEMBERS = "attr_timeout=0.3,entry_timeout=0.3"


@pytest.fixture
def two_views(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """One folder under two paths, as two machines see a network file system that passes no flock on.

    Each is a mount of bindfs: a lock taken under one path is not seen under the other, two names cannot be exchanged,
    and there are no files without a name.
    """
    if shutil.which("bindfs") is None:
        pytest.skip("bindfs, which mounts a folder a second time without its locks, is not installed")
    folder = tmp_path / "on the server"
    views = tmp_path / "first view", tmp_path / "second view"
    for path in (folder, *views):
        path.mkdir()
    mounted = []
    try:
        for view in views:
            command = ["bindfs", "--no-allow-other", "-o", REMEMBERS, folder, view]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"bindfs cannot mount a folder here: {done.stderr.strip()}")
            mounted.append(view)
        yield views
    finally:
        for view in mounted:
            subprocess.run(["fusermount", "-u", "-z", view], check=True)
