"""Downloads from a server on this machine: whole, in parts, cut off, of other content; and the cache, filled once."""

from __future__ import annotations

import hashlib
import os
import pty
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cabench.data import progress
from cabench.data.download import FetchError, fetch, from_cache
from cabench.data.sources import Source
from cabench.errors import UserError

CONTENT = np.random.default_rng(0).bytes(1_000_000)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture
def url(server) -> str:
    server.files["file.gz"] = CONTENT
    return server.address + "file.gz"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "inner" / "file.gz"


def partial(place: Path, content: bytes) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    path = place.with_name("file.gz.part")
    path.write_bytes(content)
    return path


def alone(place: Path) -> bool:
    return [path.name for path in place.parent.iterdir()] == [place.name]


def test_a_file_is_put_where_it_is_wanted(server, url: str, place: Path) -> None:
    fetch([url], place, MD5)

    assert place.read_bytes() == CONTENT
    assert server.asked == [("file.gz", None)]
    assert alone(place)


@pytest.mark.parametrize("at", [".part", "folder"])
def test_nothing_is_written_through_a_link(
    server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "cache" / "sources" / "set" / "file.gz"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_bytes(CONTENT[:10])
    link = {".part": partial(place, b""), "folder": place.parent}[at]
    place.with_name("file.gz.part").unlink()
    if at == "folder":
        place.parent.rmdir()
    link.symlink_to(tmp_path / "elsewhere" / ("kept" if at == ".part" else ""))
    with pytest.raises(UserError, match="is a link, and none is followed"):
        fetch([url], place, MD5)
    assert server.asked == []
    assert [path.read_bytes() for path in (tmp_path / "elsewhere").iterdir()] == [CONTENT[:10]]


def test_a_partial_file_is_continued(server, url: str, place: Path) -> None:
    partial(place, CONTENT[:400_000])

    fetch([url], place, MD5)

    assert server.asked == [("file.gz", "bytes=400000-")]
    assert place.read_bytes() == CONTENT
    assert alone(place)


def test_a_server_that_gives_no_parts_gives_all_of_it(server, url: str, place: Path) -> None:
    server.gives_parts = False
    partial(place, CONTENT[:400_000])

    fetch([url], place, MD5)

    assert place.read_bytes() == CONTENT
    assert alone(place)


def test_after_each_cut_it_goes_on_from_there(server, url: str, place: Path) -> None:
    server.cuts = [300_000, 1, 200_000]

    fetch([url], place, MD5)

    assert [asked for _, asked in server.asked] == [None, "bytes=300000-", "bytes=300001-", "bytes=500001-"]
    assert place.read_bytes() == CONTENT


def test_what_came_before_the_last_cut_is_kept_for_the_next_try(server, url: str, place: Path) -> None:
    server.cuts = [300_000, 0]

    with pytest.raises(FetchError, match=r"cut after 300,000 of 1,000,000 bytes, which are kept"):
        fetch([url], place, MD5)

    assert not place.exists()
    assert place.with_name("file.gz.part").read_bytes() == CONTENT[:300_000]
    fetch([url], place, MD5)
    assert server.asked[-1] == ("file.gz", "bytes=300000-")
    assert place.read_bytes() == CONTENT


def test_a_server_that_gives_no_parts_and_cuts_is_not_asked_for_ever(server, url: str, place: Path) -> None:
    server.gives_parts = False
    server.cuts = [300_000] * 10

    with pytest.raises(FetchError, match="cut after 300,000"):
        fetch([url], place, MD5)

    assert len(server.asked) == 2


def test_a_partial_file_that_is_whole_is_only_checked(server, url: str, place: Path) -> None:
    partial(place, CONTENT)

    fetch([url], place, MD5)

    assert place.read_bytes() == CONTENT
    assert alone(place)


@pytest.mark.parametrize("kept", [b"", b"x" * 400_000, b"x" * 2_000_000], ids=["nothing", "a part", "more"])
def test_other_content_is_deleted_and_said(server, url: str, place: Path, kept: bytes) -> None:
    if kept:
        partial(place, kept)
    else:
        server.files["file.gz"] = b"<html>not here any more</html>"

    with pytest.raises(FetchError, match=rf"file\.gz: its MD5 checksum is .* where {MD5} was published.*deleted"):
        fetch([url], place, MD5)

    assert list(place.parent.iterdir()) == []
    server.files["file.gz"] = CONTENT
    fetch([url], place, MD5)
    assert place.read_bytes() == CONTENT


def test_the_next_address_is_tried_and_goes_on_where_the_first_was_cut(server, url: str, place: Path) -> None:
    server.cuts = [0]
    partial(place, CONTENT[:100])

    fetch([server.address + "absent", url, url], place, MD5)

    assert server.asked == [("absent", "bytes=100-"), ("file.gz", "bytes=100-"), ("file.gz", "bytes=100-")]
    assert place.read_bytes() == CONTENT


def test_every_address_is_named_with_its_reason(server, url: str, place: Path) -> None:
    nobody = "http://127.0.0.1:1/file.gz"

    with pytest.raises(FetchError, match=rf"absent: HTTP Error 404.*; {nobody}: .*refused"):
        fetch([server.address + "absent", nobody], place, MD5)


def test_a_folder_that_cannot_be_made_is_not_blamed_on_the_server(url: str, tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("a file where the folder should be")

    with pytest.raises(FileExistsError):
        fetch([url], tmp_path / "inner" / "file.gz", MD5)


# Progress


def test_piped_there_is_one_line_at_the_start(url: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    partial(place, CONTENT[:400_000])

    fetch([url], place, MD5)

    said = capsys.readouterr()
    assert said.err == "Downloading file.gz: 400.0 kB of 1.0 MB\n"
    assert said.out == ""


def test_piped_there_are_lines_between_when_it_takes_long(
    url: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", -1.0)

    fetch([url], place, MD5)

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Downloading file.gz: 0 bytes of 1.0 MB"
    assert lines[-1] == "file.gz: 1.0 MB of 1.0 MB"


def test_on_a_terminal_there_is_a_bar(url: str, place: Path) -> None:
    code = "import sys; from pathlib import Path; from cabench.data.download import fetch; "
    code += "fetch([sys.argv[1]], Path(sys.argv[2]), sys.argv[3])"
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    subprocess.run(
        [sys.executable, "-c", code, url, place, MD5], stderr=theirs, env=environment, check=True, timeout=60
    )
    os.close(theirs)
    said = b""
    try:
        while block := os.read(ours, 1 << 16):
            said += block
    except OSError:  # what Linux says at the end of a terminal
        pass
    os.close(ours)

    assert "file.gz" in said.decode()
    assert "━" in said.decode()
    assert "1.0/1.0 MB" in said.decode()
    assert place.read_bytes() == CONTENT


# A process that is killed

HALFWAY = """
import sys, time
from contextlib import nullcontext
from pathlib import Path
from cabench.data import download

url, place, md5 = sys.argv[1:]
kept = Path(f"{place}.part")
download.transfer = lambda *_: nullcontext(lambda _: kept.stat().st_size > 1_000_000 and time.sleep(300))
download.fetch([url], Path(place), md5)
"""


def test_a_killed_download_goes_on(server, url: str, place: Path) -> None:
    content = CONTENT * 40  # more than the connection and the file hold back
    server.files["file.gz"] = content
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    kept = place.with_name("file.gz.part")
    process = subprocess.Popen([sys.executable, "-c", HALFWAY, url, place, md5])
    try:
        while not (kept.exists() and kept.stat().st_size > 1_000_000):
            assert process.poll() is None, "the download was over before it could be killed"
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    assert not place.exists()
    size = kept.stat().st_size

    fetch([url], place, md5)

    assert server.asked[-1] == ("file.gz", f"bytes={size}-")
    assert place.read_bytes() == content


# The cache


@pytest.fixture
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
