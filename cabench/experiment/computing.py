"""Computing the cells of an experiment, and what has become of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cabench.experiment.asked import asked_cells, note
from cabench.experiment.assignment import Assignment
from cabench.experiment.executors import Executor, RunSettings
from cabench.experiment.plan import Experiment
from cabench.experiment.progress import RunReporter
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import Task, reasons_for, records_of, tasks_of, tasks_on_gpu
from cabench.experiment.time_span import parse_span
from cabench.hardening.supervision import journal


class Computed(NamedTuple):
    """What cells came to.

    Attributes:
        records: of those that ended, in order.
        left: those that did not.
        is_waited_for: false where a cluster goes on with what is left.
    """

    records: list[Record]
    left: Sequence[Task]
    is_waited_for: bool


def compute(
    experiment: Experiment, store: ResultsStore, settings: RunSettings, executor: Executor, reporter: RunReporter
) -> Computed:
    """Compute what is not finished. What is left, to other processes or for want of time, is said.

    Args:
        experiment: the cells.
        store: the results folder, which can be written to.
        settings: how the run computes.
        executor: where.
        reporter: told of progress.

    Raises:
        StopRequested, KeyboardInterrupt, UserError: as `Executor.compute`.
        UserError, StorageError: where the folder's note of what profiles ask for cannot be read or written.
    """
    note(store.folder, asked_cells((cell.identity, cell.profile) for cell in experiment.cells))
    limit_s = parse_span(settings.time_limit) if settings.time_limit else None
    tasks = tasks_of(experiment.cells, store, settings.force, journal())
    mine = tasks_on_gpu(tasks) if settings.only_gpu else tasks
    assignment = Assignment(mine, store, settings.checkpoint_seconds, settings.models, limit_s)
    is_waited_for = executor.compute(assignment, experiment, reporter)
    records, left = records_of(tasks, store)
    for sentence in reasons_for(left, store, mine, limit_s) if is_waited_for else ():
        reporter.say(sentence)
    return Computed(records, left, is_waited_for)
