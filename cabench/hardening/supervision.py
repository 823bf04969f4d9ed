"""A worker process computes a run and another process, the watcher, sees it die, so that its death ends no grid.

A process that the kernel kills for want of memory, or that crashes in a library, cannot tell of it. The watcher then
starts another worker, which does the other cells first; a cell at which three workers in a row died is recorded as
failed, see `cabench.experiment.runner`. A worker never outlives its watcher.
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

from cabench.hardening.import_path import import_path
from cabench.hardening.journal import Journal

# Holds the descriptors of two files that a worker inherits: a pipe that closes when the watcher ends, and the journal.
VARIABLE = "CABENCH_WATCHED"
POSSIBLE = sys.platform != "win32"  # Windows passes no open files on, and has neither SIGHUP nor SIGTSTP
PR_SET_PDEATHSIG = 1  # of prctl(2)
INSISTENCE = 3  # at this request to stop, the worker is killed


def supervise(arguments: Sequence[str]) -> int:
    """Have one worker after another run the command line, until one comes to its own end.

    No worker follows one that was asked to stop, or that died before it began a cell: the next would die in the same
    way. SIGINT and SIGTERM are passed on, and SIGHUP as SIGTERM; the third of them kills the worker.

    Args:
        arguments: of `cabench`, `run` first.

    Returns:
        The last worker's exit status; 128 + the signal's number where a signal ended it, as shells say it. Never 0
        where the worker did not come to its own end, as when a method calls `os._exit`.
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
    """Starts one worker after another, and passes signals on to the present one."""

    def __init__(self, arguments: Sequence[str], journal: int) -> None:
        self._requests: list[signal.Signals] = []
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
        return bool(self._requests)

    def run(self) -> int:
        """Run one worker to its end; gives its exit status, negative for a signal."""
        theirs, ours = os.pipe()
        numbers = [theirs, self._journal]
        # The worker imports from where this process does. It has a session of its own, so that Ctrl-C reaches it once,
        # passed on, and not from the terminal as well.
        environment = os.environ | {
            VARIABLE: " ".join(map(str, numbers)),
            "PYTHONPATH": import_path(),
        }
        try:
            self._worker = subprocess.Popen(self._command, env=environment, pass_fds=numbers, start_new_session=True)
            if self._requests:  # while the worker was being started
                self._worker.send_signal(self._requests[-1])
            return self._worker.wait()
        finally:
            os.close(theirs)
            os.close(ours)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        passed_on = signal.SIGTERM if number == signal.SIGHUP else signal.Signals(number)
        self._requests.append(passed_on if len(self._requests) + 1 < INSISTENCE else signal.SIGKILL)
        if self._worker is not None:
            self._worker.send_signal(self._requests[-1])

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: all stop, until all go on."""
        if self._worker is not None:
            # Its group: a worker may have processes of its own.
            os.killpg(self._worker.pid, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.killpg(self._worker.pid, signal.SIGCONT)


def is_worker() -> bool:
    """Whether a watcher has started this process, and `join` was not called yet."""
    return VARIABLE in os.environ


def join() -> None:
    """Have this worker end when its watcher does, and note its own end in the run's journal."""
    global _journal
    # Processes that this one starts are no workers, and get neither file.
    pipe, journal = map(int, os.environ.pop(VARIABLE).split())
    for number in (pipe, journal):
        os.set_inheritable(number, False)
    end_with(pipe)
    _journal = Journal(journal)
    atexit.register(_journal.left)


_journal = Journal()


def journal() -> Journal:
    """The journal of the run that this worker belongs to. In a process without a watcher it keeps nothing."""
    return _journal


def end_with(pipe: int) -> None:
    """Have this process end when the one that started it does: when nobody holds the other end of `pipe` any more.

    On Linux the kernel sees to it too, even while a library holds Python's lock.
    """
    threading.Thread(target=_end_at_the_end_of, args=(pipe,), daemon=True).start()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_at_the_end_of(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is written to it any more
    os._exit(128 + signal.SIGKILL)
