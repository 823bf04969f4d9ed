"""Telling how far a download is, on stderr: a live display on a terminal, plain lines when piped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

PLAIN_EVERY_S = 15.0


@contextmanager
def transfer(title: str, total: int | None, done: int) -> Iterator[Callable[[int], None]]:
    """Tell how far a download is: a bar on a terminal, else one line when it begins and one every few seconds.

    Args:
        title: what is downloaded.
        total: its size in bytes, None where the server does not say.
        done: bytes that were there before.

    Yields:
        A function to be told of every further piece, in bytes.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(TextColumn("{task.description}", markup=False), *columns, console=console) as progress:
            task = progress.add_task(title, total=total, completed=done)
            yield lambda count: progress.advance(task, count)
        return
    size = f" of {decimal(total)}" if total is not None else ""
    said = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if time.monotonic() - said > PLAIN_EVERY_S:
            said = time.monotonic()
            say(f"{title}: {decimal(done)}{size}")

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"Downloading {title}: {decimal(done)}{size}")
    yield advance
