"""Servers that drip, never end, or say what cannot be: each is left in a sentence, and nothing fills the disk."""

from __future__ import annotations

import hashlib
import io
import itertools
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from cabench.data import download, patience
from cabench.data.download import FetchError, fetch

CONTENT = b"content" * 1000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
HEAD = b"HTTP/1.1 200 OK\r\n"

Serve = Callable[[Iterable[bytes]], str]


class Answering(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        try:
            for piece in self.server.pieces:  # type: ignore[attr-defined]
                self.wfile.write(piece)
        except OSError:  # the other side had enough
            pass


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Gives the address of a server that answers every request with the same bytes."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def start(pieces: Iterable[bytes]) -> str:
            server.pieces = pieces  # type: ignore[attr-defined]
            return f"http://127.0.0.1:{server.server_address[1]}/file.gz"

        yield start
        server.shutdown()
        thread.join()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "file.gz"


def dripping(head: bytes) -> Iterator[bytes]:
    yield head
    for _ in itertools.count():
        time.sleep(0.005)
        yield b"x"


@pytest.mark.parametrize("head", [HEAD + b"\r\n", HEAD + b"Content-Length: 7000\r\n\r\n", HEAD + b"Name: "])
def test_a_server_that_drips_is_left(serve: Serve, place: Path, monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(patience, "SPAN_S", 0.1)

    with pytest.raises(FetchError, match="less than 1,000 bytes a second"):
        fetch([serve(dripping(head))], place, MD5)

    assert not place.exists()


def test_a_download_without_end_is_ended_by_its_size(serve: Serve, place: Path) -> None:
    url = serve(itertools.chain([HEAD + b"\r\n"], itertools.repeat(b"x" * 10_000)))

    with pytest.raises(FetchError, match=r"1,0\d\d,\d\d\d bytes or more, where 1,000,000 are allowed.*deleted"):
        fetch([url], place, MD5, largest=1_000_000)

    assert list(place.parent.iterdir()) == []


def test_a_size_beyond_what_is_allowed_is_not_waited_for(serve: Serve, place: Path) -> None:
    url = serve([HEAD + b"Content-Length: 999999999999\r\n\r\n", b"x"])

    with pytest.raises(FetchError, match=r"999,999,999,999 bytes or more, where 1,000,000,000 are allowed"):
        fetch([url], place, MD5)

    assert list(place.parent.iterdir()) == []


def test_a_server_that_cuts_after_each_byte_is_left(serve: Serve, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MOST_CUTS", 5)
    answers = itertools.count()

    class OneByteEach:
        def __iter__(self) -> Iterator[bytes]:
            have = next(answers)
            yield f"HTTP/1.1 206 Partial\r\nContent-Range: bytes {have}-6999/7000\r\n".encode()
            yield f"Content-Length: {7000 - have}\r\n\r\nx".encode()

    place.with_name("file.gz.part").write_bytes(b"")
    with pytest.raises(FetchError, match="cut after 5 of 7,000 bytes"):
        fetch([serve(OneByteEach())], place, MD5)


@pytest.mark.parametrize("length", [b"abc", b"-5", b"9" * 5000, b"\xb2", b"1_0", b""])
def test_a_length_that_is_no_number_is_said(serve: Serve, place: Path, length: bytes) -> None:
    with pytest.raises(FetchError, match=r"length '.{0,40}', which is no number of bytes"):
        fetch([serve([HEAD + b"Content-Length: " + length + b"\r\n\r\n", CONTENT])], place, MD5)


@pytest.mark.parametrize(
    "address",
    [
        b"http://[::1",
        b"http://127.0.0.1:1/\xe4",
        b"http://127.0.0.1:abc/",
        b"file:///etc/passwd",
        b"ftp://127.0.0.1:1/x",
    ],
)
def test_a_redirection_to_nowhere_is_said(serve: Serve, place: Path, address: bytes) -> None:
    url = serve([b"HTTP/1.1 302 Found\r\nLocation: " + address + b"\r\nContent-Length: 0\r\n\r\n"])

    with pytest.raises(FetchError, match=r"file\.gz: ."):
        fetch([url], place, MD5)


def test_what_comes_with_a_redirection_is_not_read(serve: Serve, place: Path) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"

    with pytest.raises(FetchError, match="refused"):
        fetch([serve(itertools.chain([head], itertools.repeat(b"x" * 10_000)))], place, MD5)


def test_an_hour_in_which_the_process_was_stopped_counts_as_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP, or a laptop that slept: the clock has gone on, and the server is not to blame."""
    now = 0.0

    class Stopped(io.BytesIO):
        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            nonlocal now
            now += 3600.0 if self.tell() == 10 else 0.001
            return super().readinto(memoryview(buffer)[:10])

    monkeypatch.setattr(patience.time, "monotonic", lambda: now)

    assert io.BufferedReader(patience._Stream(Stopped(CONTENT))).read() == CONTENT


def test_another_kind_of_address_is_not_asked(serve: Serve, place: Path) -> None:
    url = serve([b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n"])
    with pytest.raises(FetchError, match="it sends on to ftp:, which is not asked"):
        fetch([url], place, MD5)


def test_long_words_of_a_server_are_cut(serve: Serve, place: Path) -> None:
    with pytest.raises(FetchError) as raised:
        fetch([serve([b"HTTP/1.1 404 " + b"x" * 60_000 + b"\r\n\r\n"])], place, MD5)
    assert len(str(raised.value)) < 500
