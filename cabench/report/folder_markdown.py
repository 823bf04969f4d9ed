"""The Markdown report of a whole results folder. Of a large one, processes read and write a data set each.

Of ten thousand records it takes a process of its own 25 s: a record takes 2.5 ms to read, compare and write.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from cabench.errors import UserError
from cabench.experiment.store import ResultsStore
from cabench.experiment.without_collecting import without_collecting
from cabench.experiment.workforce import available_cores
from cabench.report.markdown import SectionText, joined, section_texts, summary_of, tables_of
from cabench.report.published import Published
from cabench.report.summary import Section, check_datasets, check_reference, grouped, listed, sections_of_some

MANY = 2000
"""Records from which on several processes take less time than one."""
MOST_PROCESSES = 8  # each takes 0.4 GiB
# A copy of this process has all libraries loaded. macOS and Windows have to start anew.
_CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


class _Part(NamedTuple):
    """What the records of some data sets came to.

    Attributes:
        sections: of those data sets that are reported.
        labels: of all data sets.
        unreadable: why records cannot be read.
    """

    sections: list[SectionText]
    labels: frozenset[str]
    unreadable: list[str]


@dataclass(frozen=True)
class FolderMarkdown:
    """What is reported of a results folder.

    Attributes:
        results: the folder.
        datasets: labels of data sets, separated by commas; "" for all.
        published: figures from papers, set beside scores of the same protocol.
        stale: whether records of older versions are compared with the others, under their version.
        reference: the name of a row that the others are compared with, as was said beforehand; "" for none.
        is_summary: whether of every section the overview alone is written.
    """

    results: Path
    datasets: str = ""
    published: Sequence[Published] = ()
    stale: bool = False
    reference: str = ""
    is_summary: bool = False

    def write(self) -> tuple[str, list[str]]:
        """The report, and why records that are missing in it cannot be read.

        Raises:
            UserError: for a data set or a reference that is not there, and where a process died.
        """
        paths = ResultsStore(self.results).paths()
        by_dataset = [*grouped(paths, lambda path: path.parts[-4]).values()]
        processes = min(len(by_dataset), available_cores(), MOST_PROCESSES) if len(paths) >= MANY else 1
        parts = [*map(self._part, by_dataset)] if processes == 1 else self._all_parts(by_dataset, processes)
        there = {label for part in parts for label in part.labels}
        found = [section for part in parts for section in part.sections]
        if self.datasets:
            check_datasets(self.datasets, there)
        check_reference(self.reference, {name for section in found for name in section.names})
        return joined(found), [reason for part in parts for reason in part.unreadable]

    def _all_parts(self, by_dataset: Iterable[Sequence[Path]], processes: int) -> list[_Part]:
        with ProcessPoolExecutor(processes, _CONTEXT, initializer=_end_with_the_first) as pool:
            try:
                return [*pool.map(self._part, by_dataset)]
            except BrokenProcessPool as error:
                raise UserError(
                    f"A process that read {self.results} was ended by something else, as for want of memory; "
                    "--datasets reports a part of it."
                ) from error
            except BaseException:
                for child in multiprocessing.active_children():
                    child.terminate()
                raise

    def _part(self, paths: Sequence[Path]) -> _Part:
        with without_collecting(), threadpool_limits(limits=1):
            records, unreadable = ResultsStore(self.results).readable_records(paths)
            labels = frozenset(record.dataset["label"] for record in records)
            if self.datasets:
                records = [record for record in records if record.dataset["label"] in listed(self.datasets)]
            found = sections_of_some(records, self.stale, self.reference)
            del records
            return _Part(section_texts(found, self._text), labels, unreadable)

    def _text(self, section: Section) -> str:
        return summary_of(section) if self.is_summary else tables_of(section, self.published)


def _end_with_the_first() -> None:
    """Have this process end when the one that started it does. Ctrl-C reaches both, and that one ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_wait_for_its_end, daemon=True).start()


def _wait_for_its_end() -> None:
    first = multiprocessing.parent_process()
    assert first is not None
    first.join()
    os._exit(128 + signal.SIGTERM)
