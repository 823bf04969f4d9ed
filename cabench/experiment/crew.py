"""A crew: worker processes on this machine that compute a run together, each taking the next cell that is free.

The results folder divides the work, see `cabench.experiment.store`. The crew starts the workers, shows their progress
in one display, starts another in place of one that dies, and stops all of them when it is asked to.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cabench.errors import UserError
from cabench.experiment.assignment import Assignment
from cabench.experiment.progress import RunReporter
from cabench.experiment.worker import Duty
from cabench.experiment.workforce import Place
from cabench.files.names import printable
from cabench.hardening.import_path import import_path
from cabench.hardening.journal import Journal
from cabench.hardening.stopping import PASSED_ON

MOST_EARLY_DEATHS = 3  # in a row, of workers that began no cell, after which no other takes their place
LAST_WORDS_S = 5.0


@dataclass
class Crew:
    """Workers on one machine.

    Attributes:
        assignment: what they are given.
        places: of the workers, one each.
        reporter: told of all progress.
        journal: of the run. Where it keeps nothing, the workers note in one that ends with them.
    """

    assignment: Assignment
    places: Sequence[Place]
    reporter: RunReporter
    journal: Journal
    _stopping: bool = field(default=False, init=False)
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)
    _failures: list[str] = field(default_factory=list, init=False)
    _said: set[str] = field(default_factory=set, init=False)
    _ends: list[threading.Event] = field(default_factory=list, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def work(self) -> None:
        """Compute the assignment, until nothing is left but what processes outside the crew work on.

        A request to stop (KeyboardInterrupt, StopRequested) is passed on to the workers and raised again when they have
        ended, a training run after a checkpoint. A second one ends them at once.

        Raises:
            UserError: when the results folder can no longer be written to, or workers died before they began a cell, so
                that cells are left.
        """
        packed = self.assignment.packed()
        with tempfile.TemporaryFile("ab+", buffering=0) as file:
            journal = file.fileno() if self.journal.number is None else self.journal.number
            duties = [Duty(packed, place, journal) for place in self.places]
            try:
                for number, duty in enumerate(duties):
                    end = threading.Event()
                    threading.Thread(target=self._attend, args=(number, duty, end), daemon=True).start()
                    self._ends.append(end)
                self._wait()
            except BaseException:
                self.stop()
                raise
            finally:
                self._end_all(signal.SIGKILL)
        for failure in self._failures:
            if not all(task.has_ended(self.assignment.store) for task in self.assignment.tasks):
                raise UserError(failure)
            self.reporter.say(failure)

    def stop(self) -> None:
        """Have the workers end, a training run after a checkpoint, and wait for it. Signal handlers may call this."""
        self._end_all(PASSED_ON)
        self._wait()

    def _wait(self) -> None:
        # Not by Thread.join: once a signal has interrupted that, CPython 3.11 takes the thread for ended.
        for end in self._ends:
            end.wait()

    def _end_all(self, number: signal.Signals) -> None:
        with self._lock:
            self._stopping = True
            for process in self._processes.values():
                process.send_signal(number)

    def _attend(self, number: int, duty: Duty, end: threading.Event) -> None:
        try:
            self._see_done(number, duty)
        except Exception as error:  # such as too many open files; nobody else would hear of it
            self._failures.append(f"A process that computes could not be started or followed ({error}).")
            if number in self._processes:
                self._processes[number].kill()
        finally:
            end.set()

    def _see_done(self, number: int, duty: Duty) -> None:
        """Have one worker after another do a duty, until one comes to its own end."""
        reporter = self.reporter.another()
        died_early = 0
        while True:
            visit = self._one_worker(number, duty, reporter)
            if visit.left or self._stopping:
                return
            cause = signal.Signals(-visit.code).name if visit.code < 0 else "the code it ran"
            died_early = 0 if visit.begun else died_early + 1
            if died_early == MOST_EARLY_DEATHS:
                self._failures.append(f"A process that computes was ended by {cause} before it began a cell.")
                return
            with self._lock:
                self.reporter.say(f"A process that computes was ended by {cause}; another one goes on.")

    def _one_worker(self, number: int, duty: Duty, reporter: RunReporter) -> _Visit:
        visit = _Visit()
        with self._lock:
            if self._stopping:
                return visit
            process = self._processes[number] = _start(duty)
        forwarding = threading.Thread(target=self._forward, args=(process,), daemon=True)
        forwarding.start()
        assert process.stdin is not None
        try:
            pickle.dump(duty, process.stdin)
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it died at once, which its status tells
        listening = threading.Thread(target=self._listen, args=(process, reporter, visit), daemon=True)
        listening.start()
        visit.code = process.wait()
        process.stdin.close()
        for thread in (listening, forwarding):
            # A process that a method left behind may hold the other end for long.
            thread.join(LAST_WORDS_S)
        with self._lock:
            del self._processes[number]
        if visit.under_way:
            with self._lock:
                reporter.ended("its process died")
        return visit

    def _listen(self, process: subprocess.Popen[bytes], reporter: RunReporter, visit: _Visit) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with suppress(ValueError):  # cut short by the worker's death
                self._tell(json.loads(line), reporter, visit)

    def _tell(self, event: list[object], reporter: RunReporter, visit: _Visit) -> None:
        """Pass a worker's event on. The display is one for all: one at a time writes to it."""
        name, *values = event
        with self._lock:
            if name == "said":
                self._say(str(values[0]))
            elif name == "failed":
                self._failures.append(str(values[0]))
            elif name == "left":
                visit.left = True
            else:
                visit.begun = True
                visit.under_way = name != "ended"
                getattr(reporter, str(name))(*values)

    def _say(self, text: str) -> None:
        """Say what no other worker said before: of a cell that kills processes, all of them tell."""
        if text not in self._said:
            self._said.add(text)
            self.reporter.say(text)

    def _forward(self, process: subprocess.Popen[bytes]) -> None:
        """Show what methods and libraries print."""
        assert process.stderr is not None
        for line in process.stderr:
            with self._lock:
                self.reporter.say(printable(line.decode(errors="replace").rstrip("\n")))


@dataclass
class _Visit:
    """What is known of one worker process.

    Attributes:
        begun: whether it began a cell.
        under_way: whether it is at a cell now.
        left: whether it came to its own end.
        code: its exit status, negative for a signal.
    """

    begun: bool = False
    under_way: bool = False
    left: bool = False
    code: int = 0


def _start(duty: Duty) -> subprocess.Popen[bytes]:
    """A worker process, which imports from where this one does.

    It ignores the SIGINT that a terminal sends to all processes of a job, as the crew passes the request on.
    """
    environment = os.environ | {
        "OMP_NUM_THREADS": str(duty.place.threads),
        "PYTHONPATH": import_path(),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "cabench.experiment.worker"],
        env=environment,
        pass_fds=[duty.journal],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
