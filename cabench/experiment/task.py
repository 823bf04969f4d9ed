"""A task: a cell of a run, and how to tell whether the run is through with it. All processes of a run have the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cabench.experiment.cell import Cell
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.hardening.journal import Journal


@dataclass(frozen=True)
class Task:
    """A cell's place in a run.

    Attributes:
        cell: what to compute.
        number: from 1.
        count: of all cells.
        before: stamp of the record that was there when the run began, see `ResultsStore.stamp`; None where there was
            none.
        anew: whether the cell is computed again though that record says that it is finished.
    """

    cell: Cell
    number: int
    count: int
    before: str | None
    anew: bool

    @property
    def title(self) -> str:
        """A name for progress and messages."""
        return f"[{self.number}/{self.count}] {self.cell.identity.title}"

    def has_ended(self, store: ResultsStore) -> bool:
        """Whether nothing is left to do: the cell is finished, or some process of this run or another one ended it,
        well or not, since the run began.
        """
        state = store.state(self.cell.identity)
        if state == "done" and not self.anew:
            return True
        return state in ("done", "failed") and store.stamp(self.cell.identity) != self.before


def tasks_of(cells: Sequence[Cell], store: ResultsStore, force: bool, journal: Journal) -> tuple[Task, ...]:
    """The tasks of a run that begins now.

    Args:
        cells: of the run, in order.
        store: the results folder.
        force: compute those again, from nothing, that are done now.
        journal: of the run. What processes before this one have ended is not done twice.
    """
    ended = journal.all_ended()
    stamps = [None if cell.identity.key in ended else store.stamp(cell.identity) for cell in cells]
    return tuple(
        Task(cell, number, len(cells), stamp, anew=force and stamp is not None)
        for number, (cell, stamp) in enumerate(zip(cells, stamps, strict=True), start=1)
    )


def records_of(tasks: Sequence[Task], store: ResultsStore) -> tuple[list[Record], list[Task]]:
    """The records of the tasks that have ended, in order, and the tasks that have not.

    Profiles share cells: a record is shown under the profile that was asked for.
    """
    records: list[Record] = []
    left: list[Task] = []
    for task in tasks:
        if task.has_ended(store):
            cell = task.cell.identity
            records.append(replace(store.load(cell), profile=cell.profile))
        else:
            left.append(task)
    return records, left
