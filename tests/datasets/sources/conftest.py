"""A file server on this machine, which can be told to give no parts of files and to cut connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class FileServer(ThreadingHTTPServer):
    """Serves `files`, by name.

    Attributes:
        files: what it serves.
        gives_parts: whether it heeds Range.
        cuts: for each of the next answers, after how many bytes of it the connection is cut.
        asked: name and Range of every request so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.gives_parts = True
        self.cuts: list[int] = []
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        """Of its folder, with a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        name, wanted = self.path.lstrip("/"), self.headers.get("Range")
        self.server.asked.append((name, wanted))
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.gives_parts else 0
        if first and first >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(content)
        self.wfile.write(content[first : first + cut])
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="session")
def torchvision() -> None:
    """Skips a test where torchvision cannot be imported."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        pytest.skip(f"torchvision is not built for the torch that is installed: {error}")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()
