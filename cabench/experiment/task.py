"""A task: a cell of a run, and how to tell whether the run is through with it. All processes of a run have the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cabench.experiment.cell import Cell
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.hardening.journal import Journal

MOST_NAMED = 3  # cells in a sentence


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


def claiming_order(tasks: Sequence[Task], device: torch.device) -> list[Task]:
    """The tasks in the order in which a worker on a device takes them.

    A worker that holds a GPU takes cells that use it first, so that it leaves others to workers without one.
    """
    return sorted(tasks, key=lambda task: device.type != "cpu" and not task.cell.method.uses_device)


def tasks_on_gpu(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks whose methods compute on a GPU where a run has one."""
    return tuple(task for task in tasks if task.cell.method.uses_device)


def records_of(tasks: Sequence[Task], store: ResultsStore) -> tuple[list[Record], list[Task]]:
    """The records of the tasks that have ended, in order, and the tasks that have not.

    Profiles share cells: a record is shown under the profile that was asked for.
    """
    records: list[Record] = []
    left: list[Task] = []
    for task in tasks:
        if task.has_ended(store):
            records.append(store.load(task.cell.identity).under(task.cell.profile))
        else:
            left.append(task)
    return records, left


def reasons_for(
    left: Sequence[Task], store: ResultsStore, mine: Sequence[Task], time_limit_s: float | None
) -> list[str]:
    """Sentences on the tasks that a run leaves.

    Args:
        left: these tasks.
        store: the results folder.
        mine: the tasks that the run was to compute; it leaves others to processes without a GPU.
        time_limit_s: of the run; None for no limit.
    """
    own = {task.number for task in mine}
    others = [task for task in left if task.number not in own]
    late = [
        task for task in left if time_limit_s and task.number in own and store.state(task.cell.identity) != "running"
    ]
    busy = [task for task in left if task not in others and task not in late]
    sentences = [f"{task.title}: left to the process that is working on it" for task in busy]
    if others:
        sentences.append(f"Left to processes without a GPU: {_some(others)}.")
    if late:
        sentences.append(f"Left for want of time: {_some(late)}; the same command goes on with them.")
    return sentences


def _some(tasks: Sequence[Task]) -> str:
    """How many tasks, and the first of them by name."""
    named = ", ".join(task.cell.identity.title for task in tasks[:MOST_NAMED])
    return (
        f"{len(tasks):,} {'cell' if len(tasks) == 1 else 'cells'} ({named}{', …' if len(tasks) > MOST_NAMED else ''})"
    )
