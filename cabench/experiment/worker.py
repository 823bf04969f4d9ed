"""A worker process of a crew: it is given an assignment on its standard input, and tells of its work on its output.

`python -m cabench.experiment.worker` is started by `cabench.experiment.crew` alone. Each line of its output is an
event: a JSON array of a name and what belongs to it. What methods print goes to standard error.

The events are the calls of a `RunReporter` ("said", "started", "advanced", "ended"); "failed" with a sentence, where
the worker cannot go on; and "left" at its own end, whatever came of it. A worker that dies never tells the last.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

import torch
from rich.console import Console

from cabench.errors import StopRequested, UserError
from cabench.experiment.assignment import Assignment
from cabench.experiment.progress import RunReporter
from cabench.experiment.workforce import Place
from cabench.hardening.journal import Journal
from cabench.hardening.stopping import PASSED_ON, stopping_at
from cabench.hardening.supervision import end_with

ADVANCED_EVERY_S = 0.5


@dataclass(frozen=True)
class Duty:
    """What one worker is given.

    Attributes:
        assignment: a packed `Assignment`.
        place: where it computes.
        journal: descriptor of the run's journal, which the worker has inherited.
    """

    assignment: bytes
    place: Place
    journal: int


class EventReporter(RunReporter):
    """Tells of progress in events."""

    def __init__(self, events: TextIO) -> None:
        super().__init__(Console(stderr=True))
        self._events = events
        self._advanced = -ADVANCED_EVERY_S

    def tell(self, event: str, *values: object) -> None:
        """Write an event. A crew that is gone ends this process elsewhere."""
        with suppress(BrokenPipeError):
            print(json.dumps([event, *values]), file=self._events, flush=True)

    def say(self, text: str) -> None:
        """See `RunReporter`."""
        self.tell("said", text)

    def another(self) -> RunReporter:
        """See `RunReporter`."""
        return EventReporter(self._events)

    def started(self, title: str, number: int, count: int) -> None:
        """See `RunReporter`."""
        self.tell("started", title, number, count)

    def advanced(self, epoch: int, epochs: int, fraction: float, images_per_s: float) -> None:
        """See `RunReporter`."""
        if time.monotonic() - self._advanced >= ADVANCED_EVERY_S:
            self._advanced = time.monotonic()
            self.tell("advanced", epoch, epochs, fraction, images_per_s)

    def ended(self, text: str) -> None:
        """See `RunReporter`."""
        self.tell("ended", text)


def main() -> None:
    """Do the duty that is read from standard input."""
    reporter = EventReporter(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):  # sent to all processes; the crew passes them on
        signal.signal(number, signal.SIG_IGN)
    duty: Duty = pickle.load(sys.stdin.buffer)
    end_with(sys.stdin.fileno())
    torch.set_num_threads(duty.place.threads)
    try:
        with stopping_at(PASSED_ON):
            assignment: Assignment = pickle.loads(duty.assignment)
            assignment.work(duty.place, reporter, Journal(duty.journal))
    except UserError as error:
        reporter.tell("failed", str(error))
    except StopRequested:
        pass
    except BaseException as error:
        reporter.tell("failed", f"A worker cannot go on ({type(error).__name__}: {error}).")
        raise
    finally:
        reporter.tell("left")


if __name__ == "__main__":
    main()
