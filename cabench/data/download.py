"""Downloads with checksum, progress and resume; the download cache; and the errors for what is missing."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from itertools import count
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError
from urllib.request import Request

from filelock import FileLock
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

from cabench.data.cache import checked, download_folder
from cabench.data.patience import opened
from cabench.data.progress import shown
from cabench.data.sources import Source
from cabench.errors import UserError
from cabench.files.regular import plain

BLOCK = 1 << 18  # bytes read at a time
LARGEST = 1_000_000_000  # bytes of a file, unless its source says otherwise
MOST_CUTS = 100  # after which an address is not asked again
LONGEST_TEXT = 40  # characters shown of a length that is none
LONGEST_REASON = 300  # characters shown of why a download failed, which may be a server's own words
Algorithm = Literal["md5", "sha256"]


def raw_data_root(given: str | Path | None) -> Path | None:
    """The folder of raw data, absolute, as methods may change the working folder.

    Args:
        given: the folder; None for what CABENCH_DATA names.

    Returns:
        None where neither names one: raw data is downloaded.
    """
    root = given or os.environ.get("CABENCH_DATA")
    return Path(root).absolute() if root else None


def not_found(title: str, root: Path, looked_for: str, layout: str, owner: str = "") -> UserError:
    """The error for a folder that does not hold a source.

    Args:
        title: the source's title, e.g. "MNIST".
        root: the folder that was searched.
        looked_for: the files wanted and the places that were tried.
        layout: what the folder should hold, e.g. "MNIST/raw/".
        owner: what to get and from whom, for a source that only its owner may distribute.
    """
    absent = "" if root.is_dir() else ", which is not a folder"
    advice = f"Set CABENCH_DATA or --data-root to a folder that holds {layout}."
    if owner:
        advice = (
            f"Its licence does not let it be downloaded for you: get {owner}, agree to the terms, and put it as "
            f"{layout} into a folder that CABENCH_DATA or --data-root names."
        )
    return UserError(f"{title} was not found in {root}{absent}: looked for {looked_for}. {advice}")


def from_cache(
    title: str,
    wanted: str,
    layout: str,
    find: Callable[[Path], Source | None],
    download: Callable[[Path], None],
) -> Source:
    """Find a source in the download cache; download it there first if it is not complete.

    Args:
        title: the source's title, e.g. "MNIST".
        wanted: the files, named for the error.
        layout: what a folder given in place of the download should hold, e.g. "MNIST/raw/".
        find: gives the complete source under a folder (which may not exist), or None.
        download: puts the source under a folder that exists.

    Raises:
        UserError: when the download fails or leaves the source incomplete.
    """
    folder = checked(download_folder())
    source = find(folder)
    if source is not None:
        return source
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # If two commands start at once, the second waits and finds what the first has downloaded.
        with FileLock(folder / f"{title}.lock"):
            if find(folder) is None:
                download(folder)
            source = find(folder)
    # FetchError is an OSError; RuntimeError comes from a torchvision that does not fit the installed torch.
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise _failed(title, wanted, layout, folder, " ".join(str(error).split())) from error
    if source is None:
        raise _failed(title, wanted, layout, folder, "files are missing after the download")
    return source


def _failed(title: str, wanted: str, layout: str, folder: Path, reason: str) -> UserError:
    return UserError(
        f"{title} could not be downloaded ({reason}); looked for {wanted} in {folder}. "
        f"Set CABENCH_DATA or --data-root to a folder that holds {layout}, or try again with network access."
    )


class FetchError(OSError):
    """A file could not be downloaded; the text says from where and why."""


def fetch(urls: Sequence[str], path: Path, checksum: str, algorithm: Algorithm = "md5", largest: int = LARGEST) -> None:
    """Download a file from the first of several addresses that gives all of it.

    Until it is complete, it is kept as `<name>.part`. A later try, in this call or another, asks only for the rest if
    the server can send parts. Callers make sure that no two processes fetch to one place at once.

    Args:
        urls: addresses of the same content, in the order of preference.
        path: where to put it; its folder is made.
        checksum: of the content, in hexadecimal digits: all, or the first ones where no more are published.
        algorithm: of the checksum.
        largest: bytes that it may have; a server that announces or sends more is not believed.

    Raises:
        FetchError: when no address gives it, with the reason for each; after a wrong checksum or too many bytes the
            partial file is deleted.
        OSError: when the folder cannot be written to.
        UserError: for a link in the place of the partial file, or in the cache folder.
    """
    checked(path.parent).mkdir(parents=True, exist_ok=True)
    partial = plain(path.with_name(f"{path.name}.part"), below=path.parent)
    reasons = []
    for url in urls:
        try:
            _complete(url, partial, largest)
            _check(url, partial, checksum, algorithm)
        except (FetchError, HTTPException) as error:
            reasons.append(f"{url}: {_shortened(str(error))}")
        else:
            partial.replace(path)
            return
    raise FetchError("; ".join(reasons))


def _complete(url: str, partial: Path, largest: int) -> None:
    """Continue a partial file to its end, asking again after a cut if the file has grown."""
    for cuts in count(1):
        before = _size(partial)
        try:
            _append(url, partial, largest)
            return
        except (FetchError, HTTPException):
            if _size(partial) <= before or cuts == MOST_CUTS:
                raise


def _append(url: str, partial: Path, largest: int) -> None:
    """Ask once for the rest of a partial file and append it; a server that sends no parts sends all of it again."""
    have = _size(partial)
    headers = {"User-Agent": "cabench", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = opened(Request(url, headers=headers))
    except (OSError, ValueError) as error:  # ValueError: of an address that it sent us on to
        if isinstance(error, HTTPError) and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # There is no more: the checksum tells whether the file is complete.
        raise FetchError(str(error)) from error
    with response:
        given = response.headers.get("Content-Range", "")
        if response.status == HTTPStatus.PARTIAL_CONTENT and not given.startswith(f"bytes {have}-"):
            raise FetchError(f"asked for the part from byte {have:,}, it sent {given or 'another'}")
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            have = 0
        length = _length(response)
        whole = have + length if length is not None else None
        _check_size(whole or 0, partial, largest)
        with partial.open("ab" if have else "wb") as out, transfer(partial.stem, whole, have) as advance:
            while block := _read(response):
                have += len(block)
                _check_size(have, partial, largest)
                out.write(block)
                advance(len(block))
            out.flush()
            os.fsync(out.fileno())
    if whole is not None and have < whole:
        raise FetchError(f"the connection was cut after {have:,} of {whole:,} bytes, which are kept for the next try")


def _shortened(text: str) -> str:
    """What is shown of a reason, which may hold a server's own words."""
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def _length(response: HTTPResponse) -> int | None:
    """How many bytes a response says that it has; None where it does not say."""
    text = response.headers.get("Content-Length")
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,18}", text):
        raise FetchError(f"it sent the length {text[:LONGEST_TEXT]!r}, which is no number of bytes")
    return int(text)


def _check_size(size: int, partial: Path, largest: int) -> None:
    """Refuse more than a file may have, and delete what came of it."""
    if size > largest:
        partial.unlink(missing_ok=True)
        raise FetchError(f"it has {size:,} bytes or more, where {largest:,} are allowed, so the download was deleted")


def _read(response: HTTPResponse) -> bytes:
    """The next bytes of a response; none at its end, whether it was cut or not."""
    try:
        return response.read(BLOCK)
    except OSError as error:
        raise FetchError(str(error)) from error


def _check(url: str, partial: Path, checksum: str, algorithm: Algorithm) -> None:
    with partial.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if not found.startswith(checksum):
        partial.unlink()
        raise FetchError(
            f"its {algorithm.upper()} checksum is {found} where {checksum} was published, so the download was deleted"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def transfer(title: str, total: int | None, done: int) -> AbstractContextManager[Callable[[int], None]]:
    """Show the progress of a download, as `shown` does.

    Args:
        title: what is downloaded.
        total: its size in bytes, None where the server does not say.
        done: bytes that were already there.

    Returns:
        A context manager; it gives a function to call with the size of every further piece, in bytes.
    """
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return shown("Downloading", title, total, done, columns, decimal)
