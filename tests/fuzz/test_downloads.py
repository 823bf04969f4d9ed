"""Whatever a server answers, a download is complete, or refused with a reason; nothing else is raised."""

from __future__ import annotations

import hashlib
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabench.data.download import fetch, from_cache
from cabench.data.sources import Source

EXAMPLES = settings(settings.get_profile("cabench"), max_examples=60 * int(os.environ.get("CABENCH_FUZZ", "1")))
Attempt = Callable[[str, Path, Callable[[], Any]], Any]
BODY = b"letters\n" * 100
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()

numbers = st.one_of(
    st.integers(-5, 1000).map(str), st.sampled_from(("abc", "", "9" * 30, "9" * 5000, "1_0", "0x10", "1e3", "800,800"))
).map(str.encode)
addresses = st.sampled_from(
    (
        *(b"http://[::1", b"http://127.0.0.1:99999999/", b"http://127.0.0.1:abc/", b"http://a\x01b/", b"//", b""),
        *(
            b"http://127.0.0.1:1/\xe4",
            b"file:///etc/passwd",
            b"data:,letters",
            b"http://127.0.0.1:1/" + b"a" * 9000,
            b"/again",
        ),
    )
)
fields = st.one_of(
    numbers.map(lambda number: b"Content-Length: " + number),
    st.tuples(numbers, numbers).map(lambda ends: b"Content-Range: bytes %b-%b/800" % ends),
    addresses.map(lambda address: b"Location: " + address),
    st.sampled_from((b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"X: " + b"x" * 70_000, b"no field")),
    st.binary(max_size=20),
)
statuses = st.sampled_from(
    (*(b"200 OK", b"206 Partial", b"302 Found", b"307", b"404 \x1b[2J", b"416 None", b"401 Who", b"999"), b"abc", b"")
)
bodies = (
    st.sampled_from((BODY, b"", b"zz\r\n", b"5\r\nabcde\r\n0\r\n\r\n", b"-1\r\n", b"f" * 40 + b"\r\n")) | st.binary()
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return b"HTTP/1.1 200 OK\r\n\r\n" + BODY
    head = [b"HTTP/1.1 " + draw(statuses), *draw(st.lists(fields, max_size=3)), b"", b""]
    return b"\r\n".join(head) + draw(bodies)


class Answering(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        try:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(self.server.answer)  # type: ignore[attr-defined]
        except OSError:  # the other side had enough
            pass


@pytest.fixture(scope="module")
def server() -> Iterator[socketserver.TCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as answering:
        answering.daemon_threads = True
        thread = threading.Thread(target=answering.serve_forever, args=(0.01,))
        thread.start()
        yield answering
        answering.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("CABENCH_CACHE", str(folder))
        yield folder


@EXAMPLES
@given(answer=answers())
def test_answers(attempt: Attempt, server: socketserver.TCPServer, cache: Path, answer: bytes) -> None:
    server.answer = answer  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{server.server_address[1]}/letters"
    place = cache / "sources" / "letters"

    def find(folder: Path) -> Source | None:
        return Source("Letters", (place,)) if place.is_file() else None

    def download(folder: Path) -> None:
        fetch([url], place, MD5)

    def read() -> None:
        try:
            from_cache("Letters", "letters", "letters", find, download)
        finally:
            for left in (place, place.with_name("letters.part")):
                left.unlink(missing_ok=True)

    (cache / "sources").mkdir(exist_ok=True)
    (cache / "sources" / "Letters.lock").touch()
    attempt("answers of servers", cache, read)
