"""The Markdown report of a whole results folder. Of a large one, processes read and write a data set each.

Of ten thousand records it takes a process of its own 25 s: a record takes 2.5 ms to read, compare and write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cabench.experiment.asked import Asked, read_asked
from cabench.experiment.many_records import in_processes
from cabench.experiment.store import ResultsStore
from cabench.report.markdown import SectionText, joined, section_texts, tables_of
from cabench.report.summary import Section, check_datasets, check_reference, grouped, listed, sections_of_some


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
        asked, damaged = read_asked(self.results)
        parts = in_processes(partial(self._part, asked), list(by_dataset.values()))
        found = [section for part in parts for section in part.sections]
        check_reference(self.reference, {name for section in found for name in section.names})
        return joined(found), [*damaged, *(reason for part in parts for reason in part.unreadable)]

    def _part(self, asked: Asked, paths: Sequence[Path]) -> _Part:
        records, unreadable = ResultsStore(self.results).readable_records(paths)
        found = sections_of_some(asked.shown(records), self.stale, self.reference)
        del records  # so that each section's can be let go
        return _Part(section_texts(found, self.text), unreadable)
