"""What a cell's training has logged: `log.jsonl`, a line an epoch, see `cabench.training`.

A kill may have cut the last line short; what follows a damaged line does not count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from typing_extensions import TypedDict

from cabench.files.json import read_json_lines

NAME = "log.jsonl"


class Epoch(TypedDict):
    """What is read of a line: the steps done by then, and the epoch's mean loss terms by name."""

    steps: int
    terms: dict[str, float]


def last_logged(folder: Path) -> tuple[int, dict[str, float]]:
    """The steps done and the loss terms of the last epoch in the log of a cell's folder; (0, {}) without one."""
    epochs = deque(_epochs(folder), maxlen=1)
    return (epochs[0]["steps"], epochs[0]["terms"]) if epochs else (0, {})


def losses(folder: Path) -> list[float]:
    """The mean of the loss to watch in every epoch; empty where it is not logged."""
    return [epoch["terms"]["total"] for epoch in _epochs(folder) if "total" in epoch["terms"]]


def _epochs(folder: Path) -> Iterator[Epoch]:
    with suppress(OSError, ValueError):
        yield from read_json_lines(folder / NAME, Epoch)
