"""Opening an address with patience that ends: for the next byte, and for a server that drips.

The time is measured where bytes are received, those of headers too. Only waiting counts: a process that was stopped
for an hour, or writes to a slow disk, has waited no longer than one byte may take.
"""

from __future__ import annotations

import io
import time
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from socket import socket
from typing import Any
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

TIMEOUT_S = 30.0  # for a connection, and for the next byte
SLOWEST = 1000  # bytes a second, on average over each span of
SPAN_S = 60.0


def opened(request: Request) -> HTTPResponse:
    """The response to a request, whose body raises what this raises.

    Raises:
        TimeoutError: when the server sends nothing for 30 s, or less than 1,000 bytes a second over 60 s of waiting.
        OSError: when there is no connection or another answer; urllib's errors are such.
        http.client.HTTPException: for what is no answer in HTTP.
        ValueError: when the server sends on to an address that is none, or of another kind than http and https.
    """
    response: HTTPResponse = build_opener(_Http, _Https, _Redirects).open(request, timeout=TIMEOUT_S)
    return response


class _Stream(io.RawIOBase):
    """What a socket receives, as long as it comes fast enough."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream
        self._waited_s = 0.0
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        began = time.monotonic()
        received = self._stream.readinto(buffer)
        self._waited_s += min(time.monotonic() - began, TIMEOUT_S)
        self._received += received or 0
        if self._waited_s > SPAN_S:
            if self._received < SLOWEST * self._waited_s:
                raise TimeoutError(f"it sends less than {SLOWEST:,} bytes a second")
            self._waited_s, self._received = 0.0, 0
        return received

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Stream(self.fp.detach()))


class _HttpConnection(HTTPConnection):
    response_class = _Response


class _HttpsConnection(HTTPSConnection):
    response_class = _Response


class _Http(HTTPHandler):
    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_HttpConnection, request)


class _Https(HTTPSHandler):
    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_HttpsConnection, request)


class _Redirects(HTTPRedirectHandler):
    def redirect_request(self, request: Request, response: Any, *told: Any) -> Request | None:
        response.close()  # it would be read to its end, of whatever length, into memory
        redirected = super().redirect_request(request, response, *told)
        if redirected is not None and redirected.type not in ("http", "https"):
            raise ValueError(f"it sends on to {redirected.type}:, which is not asked")
        return redirected
