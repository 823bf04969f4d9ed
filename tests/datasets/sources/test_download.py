"""Filling the download cache: once, however many ask at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cabench.data.sources import Source
from cabench.datasets.sources.download import from_cache
from cabench.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def find(folder: Path) -> Source | None:
    return Source("Letters", (folder / "letters",)) if (folder / "letters").is_file() else None


def test_of_several_that_ask_at_once_one_downloads(cache: Path) -> None:
    start, downloads = threading.Barrier(4), []

    def download(folder: Path) -> None:
        downloads.append(folder)
        time.sleep(0.1)  # in which the others come to the lock
        (folder / "letters").write_bytes(b"abc")

    def ask(_: int) -> Source:
        start.wait()
        return from_cache("Letters", "letters", "letters", find, download)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))

    assert downloads == [cache / "sources"]
    assert found == [Source("Letters", (cache / "sources" / "letters",))] * 4


@pytest.mark.parametrize("error", [OSError("disk full"), RuntimeError("torchvision::nms"), EOFError("ended")], ids=repr)
def test_a_failure_says_what_was_wanted_and_what_to_do(cache: Path, error: Exception) -> None:
    def fail(folder: Path) -> None:
        raise error

    with pytest.raises(UserError) as raised:
        from_cache("Letters", "the letters", "letters/", find, fail)

    message = str(raised.value)
    for part in (f"Letters could not be downloaded ({error})", "the letters", str(cache / "sources"), "letters/"):
        assert part in message
    assert "CABENCH_DATA" in message
    assert raised.value.__cause__ is error
