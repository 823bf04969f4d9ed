"""How far a run or a download is, told on stderr: a live display on a terminal, plain lines when piped."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cabench.files.names import message

PLAIN_EVERY_S = 15.0


class RunReporter(ABC):
    """Receives the progress of a run: cells, and within them training."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(message(text), markup=False, highlight=False, soft_wrap=True)

    @abstractmethod
    def another(self) -> RunReporter:
        """A reporter of cells that are computed at the same time, which shares the display with this one."""

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

    def another(self) -> PlainReporter:
        """See `RunReporter`."""
        return PlainReporter(self.console)

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
    """A bar for every cell under way; one line replaces it when the cell is over."""

    def __init__(self, console: Console, display: Progress | None = None) -> None:
        super().__init__(console)
        self._display = display or Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def another(self) -> LiveReporter:
        """See `RunReporter`."""
        return LiveReporter(self.console, self._display)

    def started(self, title: str, number: int, count: int) -> None:
        """See `RunReporter`."""
        self._title = f"[{number}/{count}] {title}"
        self._bar = self._display.add_task(self._title, total=1.0, detail="")
        self._display.start()

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        """See `RunReporter`."""
        detail = f"epoch {epoch}/{epochs}, {images_per_s:,.0f} images/s"
        self._display.update(self._bar, completed=fraction, detail=detail)

    def ended(self, text: str) -> None:
        """See `RunReporter`."""
        self._display.remove_task(self._bar)
        if not self._display.tasks:
            self._display.stop()
        self.say(f"{self._title}: {text}")


def make_reporter() -> RunReporter:
    """The reporter that fits where stderr goes."""
    console = Console(stderr=True)
    return LiveReporter(console) if console.is_terminal else PlainReporter(console)
