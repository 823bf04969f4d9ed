"""Telling how far a run or a download is, on stderr: a live display on a terminal, plain lines when piped."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cabench.names import printable

PLAIN_EVERY_S = 15.0


class RunReporter(ABC):
    """Receives the progress of a run: cells, and within them training."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    @abstractmethod
    def started(self, title: str, number: int, count: int) -> None:
        """A cell begins: number `number` of `count`."""

    @abstractmethod
    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        """Training goes on; see `cabench.context.EpochReporter`."""

    @abstractmethod
    def ended(self, text: str) -> None:
        """The cell is over; `text` says how it went."""


class PlainReporter(RunReporter):
    """One line when a cell begins and ends, and one every few seconds between."""

    def started(self, title: str, number: int, count: int) -> None:
        """See `RunReporter`."""
        self._title = f"[{number}/{count}] {title}"
        self._said = time.monotonic()
        self.say(self._title)

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        """See `RunReporter`."""
        if time.monotonic() - self._said > PLAIN_EVERY_S:
            self._said = time.monotonic()
            self.say(f"{self._title}: epoch {epoch}/{epochs}, {fraction:.0%}, {images_per_s:,.0f} images/s")

    def ended(self, text: str) -> None:
        """See `RunReporter`."""
        self.say(f"{self._title}: {text}")


class LiveReporter(RunReporter):
    """A bar for the cell under way, which gives way to one line when it is over."""

    def started(self, title: str, number: int, count: int) -> None:
        """See `RunReporter`."""
        self._title = f"[{number}/{count}] {title}"
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self.console, transient=True)
        self._task = self._progress.add_task(self._title, total=1.0, detail="")
        self._progress.start()

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        """See `RunReporter`."""
        detail = f"epoch {epoch}/{epochs}, {images_per_s:,.0f} images/s"
        self._progress.update(self._task, completed=fraction, detail=detail)

    def ended(self, text: str) -> None:
        """See `RunReporter`."""
        self._progress.stop()
        self.say(f"{self._title}: {text}")


def make_reporter() -> RunReporter:
    """The reporter that fits where stderr goes."""
    console = Console(stderr=True)
    return LiveReporter(console) if console.is_terminal else PlainReporter(console)


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
