"""A run is computed by a worker process that another one watches, so that the death of the first does not end the grid.

When the kernel ends a process for want of memory, or a fault in a library does, nothing in the process can tell of it.
The one that watches then starts another worker, which leaves the cell at which the first died until the others are
done; the fourth records it as failed, see `cabench.experiment.runner`. A worker never outlives the process that
watches it.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from types import FrameType

from cabench.hardening.journal import Journal

# The numbers of two open files that a worker gets: a pipe, whose end tells that the process that watches has ended; and
# the journal, which has no name, so that nothing is left of it.
VARIABLE = "CABENCH_WATCHED"
POSSIBLE = sys.platform != "win32"  # where no open file can be passed on, and no terminal closes with SIGHUP
PR_SET_PDEATHSIG = 1  # of prctl(2)
INSISTENCE = 3  # requests to stop after which a worker is killed


def supervise(arguments: Sequence[str]) -> int:
    """Have workers run the command line until one ends of itself, and give its exit status.

    None follows one that was asked to stop, or that had not begun a cell: the next would die in the same way. SIGINT
    and SIGTERM are passed on, and SIGHUP as SIGTERM; the third of them ends a worker that does not heed them.

    Args:
        arguments: of `cabench`, `run` first.

    Returns:
        The exit status, that of a shell (128 + the signal's number) where a signal ended the last worker; never 0 where
        the last one did not come to its own end, as when a method calls `os._exit`.
    """
    with tempfile.TemporaryFile("ab+", buffering=0) as file:
        journal, watch = Journal(file.fileno()), _Watch(arguments, file.fileno())
        while True:
            before = journal.count_begun()
            code = watch.run()
            status = code if code >= 0 else 128 - code
            if journal.has_left():
                return status
            cause = signal.Signals(-code).name if code < 0 else "the code it ran"
            if watch.asked_to_stop or journal.count_begun() == before:
                print(f"Error: the process that computes was ended by {cause}.", file=sys.stderr)
                return status or 1
            print(f"The process that computes was ended by {cause}; another one goes on.", file=sys.stderr)


class _Watch:
    """Starts one worker after another, and passes signals on to the one that there is."""

    def __init__(self, arguments: Sequence[str], journal: int) -> None:
        self._requests = 0
        self._command = [sys.executable, "-P", "-m", "cabench", *arguments]
        self._journal = journal
        self._worker: subprocess.Popen[bytes] | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A shell's background jobs ignore SIGINT, and those of nohup SIGHUP.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._pass_on)
        signal.signal(signal.SIGTSTP, self._suspend)

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal was passed on."""
        return self._requests > 0

    def run(self) -> int:
        """Run one worker. Gives its exit status, negative for a signal."""
        theirs, ours = os.pipe()
        numbers = [theirs, self._journal]
        # The worker imports from where this process does. In a session of its own, it gets no other Ctrl-C from the
        # terminal than the one that is passed on.
        environment = os.environ | {
            VARIABLE: " ".join(map(str, numbers)),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        try:
            self._worker = subprocess.Popen(self._command, env=environment, pass_fds=numbers, start_new_session=True)
            if self.asked_to_stop:  # while it was started
                self._worker.terminate()
            return self._worker.wait()
        finally:
            os.close(theirs)
            os.close(ours)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._requests += 1
        passed_on = signal.SIGTERM if number == signal.SIGHUP else number
        if self._worker is not None:
            self._worker.send_signal(passed_on if self._requests < INSISTENCE else signal.SIGKILL)

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: both stop, until both go on."""
        if self._worker is not None:
            self._worker.send_signal(signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            self._worker.send_signal(signal.SIGCONT)


def is_worker() -> bool:
    """Whether a process that watches has started this one, and `join` was not called yet."""
    return VARIABLE in os.environ


def join() -> None:
    """Have this worker end with the process that watches it, and note its own end in the run's journal."""
    global _journal
    # Processes that this one starts are not watched, and get neither file.
    pipe, journal = map(int, os.environ.pop(VARIABLE).split())
    for number in (pipe, journal):
        os.set_inheritable(number, False)
    threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()
    _end_by_the_kernel()
    _journal = Journal(journal)
    atexit.register(_journal.left)


_journal = Journal()


def journal() -> Journal:
    """The journal of the run that this process works for. It keeps nothing where no process watches this one."""
    return _journal


def _end_by_the_kernel() -> None:
    """On Linux, have this process killed with the other one also where a library holds Python's lock for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is ever written to it
    os._exit(128 + signal.SIGKILL)
