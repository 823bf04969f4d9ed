"""Runs on a SLURM cluster: an array of identical tasks, each a crew of one worker, submitted through submitit.

The results folder divides the work, as it does between processes on one machine; SLURM gives places and time. Settings
stand in a TOML file, under the names that `sbatch` has for them:

[slurm]
time = 240                  # minutes; the only one that must be there
partition = "gpu"
gres = "gpu:1"
cpus_per_task = 4           # threads of a worker; 1 by default
array_parallelism = 8       # tasks that run at a time
setup = ["module load cuda"]
additional_parameters = { reservation = "course" }    # what submitit has no name for
"""

from __future__ import annotations

import io
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from typing import Any

from cabench.config import read_toml
from cabench.errors import StopRequested, UserError, unknown
from cabench.experiment.assignment import Assignment
from cabench.experiment.progress import RunReporter
from cabench.experiment.record import Record
from cabench.experiment.task import Task
from cabench.files.names import printable
from cabench.files.regular import plain

DEFAULTS = {"job_name": "cabench", "cpus_per_task": 1, "stderr_to_stdout": True, "max_num_timeout": 100}
"""Of settings. A task that meets its time limit goes on where it was, so that a hundred limits are no failure."""
OURS = {"cpus_per_gpu", "map_count", "nodes", "nonslurm", "ntasks_per_node", "num_gpus", "use_srun"}
"""What submitit knows and nobody sets: a task is one process on one node, with `cpus_per_task`, started by srun."""
SIGNAL_DELAY_S = 90  # of submitit
LISTS = {"setup", "teardown", "srun_args"}
NUMBERS = {"time", "array_parallelism", "cpus_per_task", "max_num_timeout", "signal_delay_s"}
LOOK_EVERY_S, ASK_EVERY_S = 2.0, 10.0
MOST_WORDS = 300  # characters of a log's last line that are shown


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, with defaults, for `submit`.

    Raises:
        UserError: for a file or setting that cannot be, and where this machine has no SLURM or no submitit.
    """
    if find_spec("submitit") is None:
        raise UserError("--executor slurm needs submitit, which is not installed: pip install 'cabench[slurm]'.")
    from submitit import SlurmExecutor

    try:
        content = read_toml(path)
    except (OSError, ValueError) as error:
        raise UserError(f"The cluster's settings {path} cannot be read: {error}.") from error
    table = content.get("slurm")
    if not isinstance(table, dict) or len(content) > 1:
        raise UserError(f"{path} must hold one table, [slurm], with settings such as time and partition.")
    known = (SlurmExecutor._valid_parameters() | {"python", "max_num_timeout"}) - OURS
    for name, value in table.items():
        if name not in known:
            raise unknown(f"setting in [slurm] of {path}", name, known)
        _check(name, value, path)
    delay_s = table.get("signal_delay_s", SIGNAL_DELAY_S)
    if "time" in table and table["time"] * 60 <= delay_s:
        raise UserError(
            f"time = {table['time']} in [slurm] of {path} leaves no time: a task writes its checkpoint {delay_s} s "
            "before its end (signal_delay_s); give it more minutes."
        )
    if "time" not in table:
        raise UserError(f"[slurm] in {path} has no time; give the minutes that a task may take, such as time = 240.")
    if not (shutil.which("sbatch") and shutil.which("srun")):
        raise UserError(
            "There is no SLURM on this machine (sbatch and srun are not found); start the run where jobs are "
            "submitted, or without --executor."
        )
    return {**DEFAULTS, **table}


def _check(name: str, value: object, path: Path) -> None:
    if name in LISTS:
        kind, fits = "a list of texts", isinstance(value, list) and all(isinstance(item, str) for item in value)
    elif name == "additional_parameters":
        kind, fits = "a table", isinstance(value, dict)
    elif name in NUMBERS:
        kind, fits = "a whole number from 1", isinstance(value, int) and not isinstance(value, bool) and value > 0
    else:
        kind, fits = "text, a number, true or false", isinstance(value, str | int | float)
    if not fits:
        meant = "in minutes, such as 240" if name == "time" else f"such as {name} = ..."
        raise UserError(f"{name} = {value!r} in [slurm] of {path} is not allowed; it takes {kind}, {meant}.")


def submit(assignment: Assignment, device: str, settings: Mapping[str, Any], tasks: int) -> Job:
    """Put an array of tasks into the queue.

    Args:
        assignment: what all of them compute.
        device: as it was asked for.
        settings: see `read_settings`.
        tasks: how many.

    Raises:
        UserError: where SLURM refuses, or the job's files cannot be written.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    from cabench.experiment.array_task import ArrayTask

    parameters = dict(settings)
    own = {name: parameters.pop(name) for name in ("max_num_timeout", "python") if name in parameters}
    # Since SLURM 22.05 steps do not inherit it.
    # A task is one process, also where the job has whole nodes.
    own_step = ["--ntasks=1", f"--cpus-per-task={parameters['cpus_per_task']}"]
    parameters["srun_args"] = [*parameters.get("srun_args", []), *own_step]
    if "%" in str(assignment.store.folder):  # which stands for numbers of jobs in the names of their logs
        raise UserError(f"SLURM cannot write logs below {assignment.store.folder}; choose a folder without %.")
    results = assignment.store.folder
    folder = plain(results / "slurm" / f"{datetime.now():%Y%m%d-%H%M%S}-{token_hex(2)}", below=results)
    try:
        folder.mkdir(0o700, parents=True)  # what is unpickled, nobody else may write
        packed = folder / "assignment.pickle"
        packed.write_bytes(assignment.packed())
        executor = SlurmExecutor(folder, **own)
        executor.update_parameters(**parameters)
        with redirect_stderr(io.StringIO()):  # what sbatch says is in the error as well
            first, *_ = executor.submit_array([ArrayTask(packed, device)] * tasks)
    except (FailedJobError, FailedSubmissionError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"SLURM did not take the job: {_refusal(str(error))}. `sinfo` tells whether SLURM answers here, and which "
            "partitions there are."
        ) from error
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"The job's files could not be written to {folder} ({error.strerror}); make room, or choose another "
            "folder with --results."
        ) from error
    return Job(first.job_id.partition("_")[0], tasks, folder)


def _refusal(text: str) -> str:
    """What sbatch says, in one line."""
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in text.splitlines()]
    return printable("; ".join(dict.fromkeys(line.rstrip(".") for line in lines if line)))


@dataclass(frozen=True)
class Job:
    """An array in SLURM's queue.

    Attributes:
        number: by which SLURM's commands know it.
        tasks: how many it has.
        folder: of its logs.
    """

    number: str
    tasks: int
    folder: Path

    def described(self, results: Path) -> str:
        """Where its logs are, and which commands watch, report and end it."""
        return (
            f"Job {self.number} with {self.tasks} {'task' if self.tasks == 1 else 'tasks'} is in SLURM's queue; its "
            f"logs will be in {self.folder}.\n"
            f"  watch:   `squeue --job {self.number}`, and `cabench plan` with the same options\n"
            f"  tables:  `cabench report --results {results}`\n"
            f"  end:     `scancel {self.number}`; the same command goes on from there"
        )

    def wait(self, assignment: Assignment, reporter: RunReporter) -> None:
        """Wait until every cell has ended, or the job has.

        Raises:
            UserError: when the job ended with cells left that no other process works on.
        """
        try:
            left = self._watch(assignment, reporter)
        except (KeyboardInterrupt, StopRequested):
            reporter.say(f"Job {self.number} goes on without being waited for; `scancel {self.number}` ends it.")
            raise
        lost = [task for task in left if assignment.store.state(task.cell.identity) != "running"]
        if lost:
            raise UserError(
                f"Job {self.number} has ended, and {len(lost)} of {len(assignment.tasks)} cells are left. "
                f"{self._last_words()}; the same command goes on from here."
            )

    def _watch(self, assignment: Assignment, reporter: RunReporter) -> list[Task]:
        """Tell of cells that end, until all have or the job has; gives those that have not."""
        left, state, asked = list(assignment.tasks), "", -ASK_EVERY_S
        while left := _told(left, assignment, reporter):
            if time.monotonic() - asked >= ASK_EVERY_S:
                asked, before, state = time.monotonic(), state, self.state()
                if not state:
                    return _told(left, assignment, reporter)
                if state != before:
                    reporter.say(f"Job {self.number}: {state}")
            time.sleep(LOOK_EVERY_S)
        return []

    def state(self) -> str:
        """How many tasks run and wait, and why they do; empty when none is left."""
        command = ["squeue", "--noheader", "--array", f"--jobs={self.number}", "--format=%T %r"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            # SLURM forgets a job some minutes after its end. A controller that does not answer may do so later.
            return "" if "Invalid job id" in done.stderr else "SLURM does not answer"
        counts = Counter(line.strip().lower().replace(" none", "") for line in done.stdout.splitlines())
        return ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in sorted(counts.items()))

    def _last_words(self) -> str:
        """The last line of the log that was written to last; srun tells after it that its command failed."""
        for log in sorted(self.folder.glob("*_log.*"), key=lambda path: path.stat().st_mtime, reverse=True):
            lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
            if said := [line for line in lines if line and not line.startswith("srun:")]:
                return printable(f"The last line in {log} is: {said[-1][:MOST_WORDS].rstrip('.')}")
        return f"It wrote no log into {self.folder}: the nodes must see that folder, and have this Python"


def _told(tasks: list[Task], assignment: Assignment, reporter: RunReporter) -> list[Task]:
    """The tasks that have not ended; of the others it is told how they did."""
    store, left = assignment.store, []
    for task in tasks:
        # Most have no record yet, which is quickly seen.
        if not (store.has_record(task.cell.identity) and task.has_ended(store)):
            left.append(task)
        else:
            record = Record.load(task.cell.identity.folder(store.folder) / "record.json")
            reporter.say(f"{task.title}: {_outcome(record)}")
    return left


def _outcome(record: Record) -> str:
    if record.error:
        return f"FAILED: {record.error.get('type')}: {record.error.get('message')}"
    return f"separation gap {record.separation_gap:.3f}, {record.cost['train_s']:.0f} s of training"
