"""Where the cells of a run are computed: on this machine, or on a SLURM cluster."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cabench.errors import UserError, unknown
from cabench.experiment.assignment import Assignment
from cabench.experiment.cell import Cell
from cabench.experiment.crew import Crew
from cabench.experiment.device import check_device, check_gpu
from cabench.experiment.estimate import estimate
from cabench.experiment.plan import Experiment
from cabench.experiment.progress import RunReporter
from cabench.experiment.record import Record
from cabench.experiment.slurm import read_settings, submit
from cabench.experiment.task import Task
from cabench.experiment.workforce import Place, parse_workers, workforce
from cabench.hardening.supervision import POSSIBLE, journal


@dataclass(frozen=True)
class RunSettings:
    """How a request is computed; none of it changes what is computed. `cabench.api.run` says what each field means."""

    force: bool = False
    checkpoint_seconds: float = 60.0
    protocols: Sequence[str] = ()
    models: bool = True
    workers: int | str = 1
    time_limit: str = ""
    only_gpu: bool = False
    executor: str = "local"
    cluster: Path | None = None
    wait: bool = False

    def __post_init__(self) -> None:
        """Refuse seconds that cannot be waited."""
        if not 0 <= self.checkpoint_seconds < math.inf:
            raise UserError(
                f"--checkpoint-seconds {self.checkpoint_seconds} is not allowed; it must be from 0, such as 60."
            )


class Executor(ABC):
    """Has an assignment computed.

    Attributes:
        planned_on: the device that the run is resolved for here, as of `cabench.experiment.device.resolve_device`.
    """

    planned_on: str

    @abstractmethod
    def compute(self, assignment: Assignment, experiment: Experiment, reporter: RunReporter) -> bool:
        """Have the tasks computed that have not ended. False where they go on without being waited for.

        Raises:
            StopRequested, KeyboardInterrupt: when this process was asked to stop.
            UserError: when cells cannot be computed.
        """


@dataclass(frozen=True)
class ThisMachine(Executor):
    """In this process, or by a crew of workers.

    Attributes:
        planned_on: see `Executor`.
        workers: how many; None for as many as the machine takes.
    """

    planned_on: str
    workers: int | None

    def compute(self, assignment: Assignment, experiment: Experiment, reporter: RunReporter) -> bool:
        """See `Executor`."""
        left = [task.cell for task in _left(assignment, reporter)]
        finished = assignment.store.records_beside([cell.identity for cell in left])
        alone = Place(experiment.device, torch.get_num_threads())
        if self.workers == 1:
            self._say_time(left, finished, [alone], reporter)
            assignment.work(alone, reporter, journal())
        elif left:
            crew = workforce(self.workers, experiment.device, experiment.cells, len(left), finished)
            self._say_time(left, finished, crew.places, reporter)
            reporter.say(crew.said)
            Crew(assignment, crew.places, reporter, journal()).work()
        return True

    @staticmethod
    def _say_time(
        left: Sequence[Cell], finished: Sequence[Record], places: Sequence[Place], reporter: RunReporter
    ) -> None:
        if said := estimate(left, finished, places):
            reporter.say(said)


@dataclass(frozen=True)
class Slurm(Executor):
    """By an array of tasks in SLURM's queue.

    Attributes:
        device: as it was asked for. What GPUs the nodes have, they find out themselves.
        settings: see `cabench.experiment.slurm.read_settings`.
        tasks: how many at most.
        wait: whether to wait until all cells have ended.
    """

    device: str
    settings: Mapping[str, Any]
    tasks: int
    wait: bool
    planned_on = "cpu"

    def compute(self, assignment: Assignment, experiment: Experiment, reporter: RunReporter) -> bool:
        """See `Executor`."""
        left = _left(assignment, reporter)
        if not left:
            return True
        job = submit(assignment, self.device, self.settings, min(self.tasks, len(left)))
        reporter.say(job.described(assignment.store.folder))
        if self.wait:
            job.wait(assignment, reporter)
        return self.wait


def make_executor(device: str, settings: RunSettings) -> Executor:
    """The executor that is asked for.

    Args:
        device: as it was asked for.
        settings: of the run.

    Raises:
        UserError: for settings that are not allowed or do not go together.
    """
    workers = parse_workers(settings.workers)
    if settings.executor == "local":
        for option, given in (("--cluster", settings.cluster), ("--wait", settings.wait)):
            if given:
                raise UserError(f"{option} goes with --executor slurm alone; leave it out, or add that.")
        if settings.only_gpu:
            check_gpu(device)
        if workers != 1 and not POSSIBLE:
            raise UserError("--workers is not for Windows; leave it out, or start the same command several times.")
        return ThisMachine(device, workers)
    if settings.executor != "slurm":
        raise unknown("executor", settings.executor, ("local", "slurm"))
    if settings.time_limit:
        raise UserError("--time-limit is for runs on this machine; tasks on SLURM have the time that --cluster says.")
    if workers is None:
        raise UserError("--workers auto counts the processors of this machine; give a number of tasks, such as 8.")
    if settings.cluster is None:
        raise UserError(
            "--executor slurm takes its settings from a file: name one with --cluster, see docs/clusters.md."
        )
    check_device(device)
    return Slurm(device, read_settings(settings.cluster), workers, settings.wait)


def _left(assignment: Assignment, reporter: RunReporter) -> list[Task]:
    """The tasks that have not ended; how many have is said."""
    left = [task for task in assignment.tasks if not task.has_ended(assignment.store)]
    if done := len(assignment.tasks) - len(left):
        reporter.say(f"{done} of {len(assignment.tasks)} cells are finished already.")
    return left
