"""Downloading one file: with its checksum, with progress, and from where an earlier try was cut off."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from cabench.datasets.sources.transfer import transfer

TIMEOUT_S = 30.0  # without a byte
BLOCK = 1 << 18  # bytes read at a time


class FetchError(OSError):
    """A file could not be had; the text says from where, and why."""


def fetch(urls: Sequence[str], path: Path, md5: str) -> None:
    """Download a file from the first of several addresses that gives it whole.

    What has come is kept beside it as `<name>.part` until it is whole; a later try, in this call or another, asks for
    the rest alone, where the server gives parts. Callers see to it that no two processes fetch to one place at once.

    Args:
        urls: addresses of the same content, in the order of preference.
        path: where to put it; its folder is made.
        md5: of the content, in hexadecimal digits.

    Raises:
        FetchError: when no address gives it: for each the reason, a checksum that differs among them, in which case
            what had come is deleted.
        OSError: when the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    reasons = []
    for url in urls:
        try:
            _complete(url, partial)
            _check(url, partial, md5)
        except (FetchError, HTTPException) as error:
            reasons.append(f"{url}: {error}")
        else:
            partial.replace(path)
            return
    raise FetchError("; ".join(reasons))


def _complete(url: str, partial: Path) -> None:
    """Continue a partial file to its end, asking again after each cut as long as that brings it further."""
    while True:
        before = _size(partial)
        try:
            _append(url, partial)
            return
        except (FetchError, HTTPException):
            if _size(partial) <= before:
                raise


def _append(url: str, partial: Path) -> None:
    """Ask once for what a partial file lacks and append it; a server that gives no parts sends all of it anew."""
    have = _size(partial)
    headers = {"User-Agent": "cabench", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # There is no more: the checksum tells whether the file is whole.
        raise FetchError(str(error)) from error
    except OSError as error:
        raise FetchError(str(error)) from error
    with response:
        given = response.headers.get("Content-Range", "")
        if response.status == HTTPStatus.PARTIAL_CONTENT and not given.startswith(f"bytes {have}-"):
            raise FetchError(f"it was asked for the part from byte {have:,} and gave {given or 'another'}")
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            have = 0
        length = response.headers.get("Content-Length")
        whole = have + int(length) if length is not None else None
        with partial.open("ab" if have else "wb") as out, transfer(partial.stem, whole, have) as advance:
            while block := _read(response):
                out.write(block)
                advance(len(block))
            out.flush()
            os.fsync(out.fileno())
    if whole is not None and _size(partial) < whole:
        raise FetchError(
            f"the connection was cut after {_size(partial):,} of {whole:,} bytes, which are kept for the next try"
        )


def _read(response: HTTPResponse) -> bytes:
    """The next bytes of a response; none at its end, whether or not it was cut."""
    try:
        return response.read(BLOCK)
    except OSError as error:
        raise FetchError(str(error)) from error


def _check(url: str, partial: Path, md5: str) -> None:
    with partial.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        partial.unlink()
        raise FetchError(f"its MD5 checksum is {found} where {md5} was published, so what had come was deleted")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
