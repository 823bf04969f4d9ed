"""Where built data sets and downloaded sources are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The cache folder: `CABENCH_CACHE` where it is set, else the platform's user cache. It may not exist yet."""
    chosen = os.environ.get("CABENCH_CACHE")
    return Path(chosen or platformdirs.user_cache_dir("cabench", appauthor=False)).absolute()


def download_folder() -> Path:
    """Where raw data is downloaded to when the user names no folder of their own. It may not exist yet."""
    return cache_folder() / "sources"
