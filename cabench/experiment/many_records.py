"""What many record files come to, worked out by several processes.

A record takes 0.6 ms to read; to read, compare and write it into a report takes 2.5 ms.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from threadpoolctl import threadpool_limits

from cabench.errors import UserError
from cabench.experiment.without_collecting import without_collecting
from cabench.experiment.workforce import available_cores

MANY = 2000
"""Records from which on several processes take less time than one."""
MOST_PROCESSES = 8  # each takes 0.4 GiB
_REQUESTS = (signal.SIGINT, signal.SIGTERM)
# A copy of this process has all libraries loaded. macOS and Windows have to start anew.
_CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
_Found = TypeVar("_Found")


def in_processes(work: Callable[[Sequence[Path]], _Found], parts: Sequence[Sequence[Path]]) -> list[_Found]:
    """What some work comes to on each part of the record files, in order; by several processes where there are many.

    Args:
        work: is given the files of a part; it and what it gives can be pickled.
        parts: files of records.

    Raises:
        UserError: where a process died.
    """
    few = sum(map(len, parts)) < MANY
    may_start = not multiprocessing.current_process().daemon
    processes = 1 if few or not may_start else min(len(parts), available_cores(), MOST_PROCESSES)
    alone = partial(_alone, work)
    return _shared_out(alone, parts, processes) if processes > 1 else [alone(part) for part in parts]


def _alone(work: Callable[[Sequence[Path]], _Found], part: Sequence[Path]) -> _Found:
    with without_collecting(), threadpool_limits(limits=1):
        return work(part)


def _shared_out(
    work: Callable[[Sequence[Path]], _Found], parts: Sequence[Sequence[Path]], processes: int
) -> list[_Found]:
    """What all parts came to.

    Processes hand it over in files: one that dies while it writes to a pipe would leave this one waiting.
    """
    others = multiprocessing.active_children()
    make = partial(ProcessPoolExecutor, processes, _CONTEXT, initializer=_end_with_the_first)
    with TemporaryDirectory(prefix="cabench-") as folder, make() as pool:
        files = [Path(folder) / str(number) for number in range(len(parts))]
        try:
            with _requests_held_back():
                ended = pool.map(partial(_leave, work), parts, files)
            return [pickle.loads(file.read_bytes()) for _, file in zip(ended, files, strict=True)]
        except BrokenProcessPool as error:
            raise UserError(
                "A process that read records was ended by something else, as for want of memory; --datasets names a "
                "part of them."
            ) from error
        except BaseException:
            for child in multiprocessing.active_children():
                if child not in others:
                    child.terminate()
            raise


def _leave(work: Callable[[Sequence[Path]], _Found], part: Sequence[Path], file: Path) -> None:
    file.write_bytes(pickle.dumps(work(part)))


@contextmanager
def _requests_held_back() -> Iterator[None]:
    """Put requests to stop off while processes start: what their handler raises during a fork, Python drops."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_the_first() -> None:
    """Have this process end when the one that started it does. Ctrl-C reaches both, and that one ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
    threading.Thread(target=_wait_for_its_end, daemon=True).start()


def _wait_for_its_end() -> None:
    first = multiprocessing.parent_process()
    assert first is not None
    first.join()
    os._exit(128 + signal.SIGTERM)
