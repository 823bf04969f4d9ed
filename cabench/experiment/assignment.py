"""What the workers of a run are given: the same for all of them, on whatever machine they are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import cloudpickle

from cabench.errors import UserError
from cabench.experiment.progress import RunReporter
from cabench.experiment.runner import Runner
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import Task
from cabench.experiment.time_limit import TimeLimit
from cabench.experiment.workforce import Place
from cabench.hardening.journal import Journal


@dataclass(frozen=True)
class Assignment:
    """The cells of a run, and how they are computed.

    Attributes:
        tasks: every cell, with what was there when the run began.
        store: the results folder, by an absolute path.
        checkpoint_every_s: seconds between two checkpoints of a training run.
        keep_models: whether the fitted method is kept with its cell.
        time_limit_s: seconds from the start of the run after which no cell is begun any more; None for no limit. A run
            starts when the first process of its journal does.
    """

    tasks: Sequence[Task]
    store: ResultsStore
    checkpoint_every_s: float
    keep_models: bool
    time_limit_s: int | None = None

    def work(self, place: Place, reporter: RunReporter, journal: Journal) -> None:
        """Compute, in this process, what no other process computes; see `cabench.experiment.runner.Runner.run`."""
        limit_s, limit = self.time_limit_s, None
        if limit_s is not None:
            limit = TimeLimit(self.store, place, journal.started_s() + limit_s)
        runner = Runner(self.store, place.device, reporter, self.checkpoint_every_s, self.keep_models, journal, limit)
        runner.run(self.tasks)

    def packed(self) -> bytes:
        """All of it, for another process of this user to unpickle.

        Classes of methods that are defined in a notebook, a script or a file outside `sys.path` go along by value.
        """
        for kind in {type(task.cell.method) for task in self.tasks}:
            module = sys.modules.get(kind.__module__)  # None where the class itself came by value
            if module is not None and not _can_be_imported(module.__name__):
                cloudpickle.register_pickle_by_value(module)
        try:
            packed: bytes = cloudpickle.dumps(self)
        except Exception as error:  # whatever a class refers to may raise anything
            raise UserError(
                f"Workers cannot be given these methods ({type(error).__name__}: {error}); put their classes into a "
                ".py file that can be imported, or take one worker."
            ) from error
        return packed


def _can_be_imported(module: str) -> bool:
    """Whether another process finds a module by its name, as it does not find one that was loaded from some file."""
    package = module.partition(".")[0]
    return any(finder.find_spec(package, None) for finder in sys.meta_path)
