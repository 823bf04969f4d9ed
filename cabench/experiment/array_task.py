"""One task of a job array: what a cluster's node runs."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from submitit.helpers import DelayedSubmission

from cabench.errors import StopRequested, UserError
from cabench.experiment.assignment import Assignment
from cabench.experiment.crew import Crew
from cabench.experiment.device import resolve_device
from cabench.experiment.progress import make_reporter
from cabench.experiment.workforce import available_cores, workforce
from cabench.files.names import message
from cabench.hardening.journal import Journal
from cabench.hardening.stopping import stopping_at

GRACE_S = 600.0


@dataclass
class ArrayTask:
    """A crew of one worker on an assignment. All tasks of an array are the same.

    submitit calls it on a node. Some time before the time limit, and where pre-emption says so, SLURM sends SIGUSR2;
    submitit then calls `checkpoint` and puts the job back into the queue.

    Attributes:
        assignment: the file with a packed `Assignment`.
        device: as it was asked for; the node knows what "auto" and "cuda" mean.
    """

    assignment: Path
    device: str
    _crews: list[Crew] = field(default_factory=list, init=False)

    def __call__(self) -> None:
        """Compute until nothing is left but what other tasks work on. A `UserError` ends it in a sentence."""
        try:
            self._work()
        except UserError as error:
            print(message(f"Error: {error}"), file=sys.stderr)
            sys.exit(2)

    def checkpoint(self) -> DelayedSubmission:
        """Stop the crew, and give what goes on when the job is started again."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # SLURM ends a job that is put back into the queue
        for crew in self._crews:
            crew.stop()
        return DelayedSubmission(ArrayTask(self.assignment, self.device))

    def _work(self) -> None:
        assignment = self._read()
        # Not what the shell had set in which the job was submitted.
        os.environ["OMP_NUM_THREADS"] = str(available_cores())
        cells = [task.cell for task in assignment.tasks]
        places = workforce(1, resolve_device(self.device), cells, left=1, records=[]).places
        crew = Crew(assignment, places, make_reporter(), Journal())
        self._crews.append(crew)
        try:
            with stopping_at(signal.SIGTERM):
                crew.work()
        except StopRequested:
            # SLURM is about to end the job. One that ends by itself while pre-emption leaves it time is not put back
            # into the queue.
            time.sleep(GRACE_S)

    def _read(self) -> Assignment:
        """The assignment, all of whose files can be seen from here.

        Raises:
            UserError: when one cannot. Otherwise this node would record all cells as failed.
        """
        try:
            assignment: Assignment = pickle.loads(self.assignment.read_bytes())
            for path in {assignment.store.folder, *(task.cell.data.path for task in assignment.tasks)}:
                path.stat()
        except OSError as error:
            raise UserError(
                f"The node {socket.gethostname()} cannot read {error.filename} ({error.strerror}); results folder and "
                "data cache (CABENCH_CACHE) must be on a file system that all nodes share."
            ) from error
        return assignment
