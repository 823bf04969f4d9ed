"""The Markdown report of a whole results folder. Of a large one, processes read and write a data set each.

Of ten thousand records it takes a process of its own 25 s: a record takes 2.5 ms to read, compare and write.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from cabench.errors import UserError
from cabench.experiment.store import ResultsStore
from cabench.experiment.without_collecting import without_collecting
from cabench.experiment.workforce import available_cores
from cabench.report.markdown import SectionText, joined, section_texts, tables_of
from cabench.report.summary import Section, check_datasets, check_reference, grouped, listed, sections_of_some

MANY = 2000
"""Records from which on several processes take less time than one."""
MOST_PROCESSES = 8  # each takes 0.4 GiB
_REQUESTS = (signal.SIGINT, signal.SIGTERM)
# A copy of this process has all libraries loaded. macOS and Windows have to start anew.
_CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


class _Part(NamedTuple):
    """What the records of one data set came to.

    Attributes:
        sections: of its profiles and precisions.
        unreadable: why records cannot be read.
    """

    sections: list[SectionText]
    unreadable: list[str]


@dataclass(frozen=True)
class FolderMarkdown:
    """What is reported of a results folder.

    Attributes:
        results: the folder.
        datasets: labels of data sets, separated by commas; "" for all.
        stale: whether records of older versions are compared with the others, under their version.
        reference: the name of a row that the others are compared with, as was said beforehand; "" for none.
        text: writes a section, such as `tables_of` or `summary_of`; it can be pickled.
    """

    results: Path
    datasets: str = ""
    stale: bool = False
    reference: str = ""
    text: Callable[[Section], str] = tables_of

    def write(self) -> tuple[str, list[str]]:
        """The report, and why records that are missing in it cannot be read.

        Raises:
            UserError: for a data set or a reference that is not there, and where a process died.
        """
        by_dataset = grouped(ResultsStore(self.results).paths(), lambda path: path.parts[-4])
        if self.datasets:
            check_datasets(self.datasets, by_dataset)
            by_dataset = {label: by_dataset[label] for label in listed(self.datasets)}
        count = sum(map(len, by_dataset.values()))
        processes = min(len(by_dataset), available_cores(), MOST_PROCESSES) if count >= MANY else 1
        read = partial(self._by_many, processes) if processes > 1 else partial(map, self._part)
        parts = [*read(by_dataset.values())]
        found = [section for part in parts for section in part.sections]
        check_reference(self.reference, {name for section in found for name in section.names})
        return joined(found), [reason for part in parts for reason in part.unreadable]

    def _by_many(self, processes: int, by_dataset: Iterable[Sequence[Path]]) -> list[_Part]:
        """What all data sets came to, by several processes.

        They hand it over in files: a process that dies while it writes to a pipe would leave this one waiting.
        """
        make = partial(ProcessPoolExecutor, processes, _CONTEXT, initializer=_end_with_the_first)
        with TemporaryDirectory(prefix="cabench-") as folder, make() as pool:
            try:
                with _requests_held_back():
                    files = pool.map(partial(self._leave_part, folder), by_dataset)
                return [pickle.loads(file.read_bytes()) for file in files]
            except BrokenProcessPool as error:
                raise UserError(
                    f"A process that read {self.results} was ended by something else, as for want of memory; "
                    "--datasets reports a part of it."
                ) from error
            except BaseException:
                for child in multiprocessing.active_children():
                    child.terminate()
                raise

    def _leave_part(self, folder: str, paths: Sequence[Path]) -> Path:
        file = Path(folder) / paths[0].parts[-4]
        file.write_bytes(pickle.dumps(self._part(paths)))
        return file

    def _part(self, paths: Sequence[Path]) -> _Part:
        with without_collecting(), threadpool_limits(limits=1):
            records, unreadable = ResultsStore(self.results).readable_records(paths)
            found = sections_of_some(records, self.stale, self.reference)
            del records  # so that each section's can be let go
            return _Part(section_texts(found, self.text), unreadable)


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
