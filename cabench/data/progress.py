"""How far a download or a computation is, told on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn

from cabench.files.names import message

PLAIN_EVERY_S = 15.0  # between lines, where there is no terminal


@contextmanager
def shown(
    verb: str,
    title: str,
    total: int | None,
    done: int,
    columns: Sequence[ProgressColumn],
    amount: Callable[[int], str] = "{:,}".format,
) -> Iterator[Callable[[int], None]]:
    """Show progress: a bar on a terminal, else a line at the start and one every few seconds.

    Args:
        verb: what happens, such as "Downloading"; in the first of the lines.
        title: what it happens to.
        total: how much there is, None where that is not known.
        done: how much of it is done already.
        columns: of the bar, after the title.
        amount: writes how much is done as text.

    Yields:
        A function to call with the size of every further piece.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(TextColumn("{task.description}", markup=False), *columns, console=console) as progress:
            task = progress.add_task(title, total=total, completed=done)
            yield lambda count: progress.advance(task, count)
        return
    whole = f" of {amount(total)}" if total is not None else ""
    said = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if time.monotonic() - said > PLAIN_EVERY_S:
            said = time.monotonic()
            say(f"{title}: {amount(done)}{whole}")

    def say(text: str) -> None:
        console.print(message(text), markup=False, highlight=False, soft_wrap=True)

    say(f"{verb} {title}: {amount(done)}{whole}")
    yield advance
