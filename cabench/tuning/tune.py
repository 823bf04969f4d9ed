"""Tuning: the same number of trials for every method, a second look at the best, and what is chosen written down.

The test split is neither encoded nor probed: trials are cells on a part of the training split, see
`cabench.data.tuning_split`, and that is all the data that a trial can reach.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from cabench.data.tuning_split import SUFFIX, TuningFile
from cabench.experiment.cell import Cell
from cabench.experiment.computing import compute
from cabench.experiment.executors import Executor, RunSettings, make_executor
from cabench.experiment.plan import Experiment, ready_file
from cabench.experiment.progress import RunReporter
from cabench.experiment.record import Record
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import Task
from cabench.method import ContrastiveAnalysisMethod
from cabench.tuning.choice import choose, finalists
from cabench.tuning.space import check_trials
from cabench.tuning.trials import FINAL_SEEDS, SEED, Trial, TuningOutline, again, tuning_outline
from cabench.tuning.tuned_profile import check_own_profile, write_tuned_profile
from cabench.tuning.tuning_record import Outcome, TrialEntry, TuningRecord, read_tuning_records

CRITERION = "labels"
LOOK_EVERY_S = 1.0


class Tuned(NamedTuple):
    """What tuning came to.

    Attributes:
        records: of the methods and data sets that are through.
        left: how many cells are left, for want of time or to a cluster.
    """

    records: Sequence[TuningRecord]
    left: int


class _Tried(NamedTuple):
    """A method on a data set, with its trials and the cell of each; None for one that was refused."""

    label: str
    name: str
    method: ContrastiveAnalysisMethod
    file: TuningFile
    trials: Sequence[tuple[Trial, Cell | None]]

    @property
    def cells(self) -> list[Cell]:
        return [cell for _, cell in self.trials if cell is not None]


@dataclass(frozen=True)
class Tuning:
    """A request to tune, and what it needs.

    Attributes:
        request: methods, data sets and profile; seeds and controls do not count.
        trials: of each method that has something to search.
        store: the results folder, where trials are kept.
        folder: where tuning records are written.
        profile: the path of the profile that is written.
        settings: how trials are computed.
        reporter: told of progress.
    """

    request: Request
    trials: int
    store: ResultsStore
    folder: Path
    profile: Path
    settings: RunSettings
    reporter: RunReporter

    def run(self) -> Tuned:
        """Compute what is not finished, choose, and write records and profile.

        Raises:
            StopRequested, KeyboardInterrupt: when asked to stop; the same command goes on.
            UserError: for what does not exist, is not allowed or does not fit together, before any work; and when
                something cannot be written.
        """
        check_trials(self.trials)
        check_own_profile(self.profile)
        executor = make_executor(self.request.device, self.settings)
        outlined = tuning_outline(replace(self.request, device=executor.planned_on), self.trials)
        tried = self._tried(outlined)
        self.store.check_writable()
        found: dict[str, Record] = {}
        left = self._compute([cell for each in tried for cell in each.cells], outlined, executor, found)
        if not left:
            last = [cell for each in tried for cell in self._final_cells(outlined, each, found)]
            left = self._compute(last, outlined, executor, found)
        if left:
            return Tuned((), left)
        records = [self._record(outlined, each, found) for each in tried]
        for record in records:
            record.write(self.folder)
        write_tuned_profile(read_tuning_records(self.folder), self.profile)
        return Tuned(records, 0)

    def _tried(self, outlined: TuningOutline) -> list[_Tried]:
        """Every method on every data set that takes it."""
        found = []
        for label, provider in outlined.datasets.items():
            file = ready_file(label, provider, self.request.data_root, self.reporter.say)
            assert isinstance(file, TuningFile)
            taken, left_out = outlined.taken(label, file)
            for name, reason in left_out.items():
                self.reporter.say(f"Left out on {label}: {name} ({reason})")
            for name, method in taken.items():
                trials = outlined.trials_of(method, file)
                cells = [None if t.refused else outlined.cell(name, t.method, label, file, SEED) for t in trials]
                found.append(_Tried(label, name, method, file, list(zip(trials, cells, strict=True))))
        return found

    def _compute(
        self, cells: Sequence[Cell], outlined: TuningOutline, executor: Executor, found: dict[str, Record]
    ) -> int:
        """Compute cells, also while other processes work on some of them, and add their records by key.

        Returns:
            How many are left, for want of time, or as a cluster goes on with them.
        """
        each_once = {cell.identity.key: cell for cell in cells}
        experiment = Experiment(outlined.device, list(each_once.values()))
        while True:
            done = compute(experiment, self.store, self.settings, executor, self.reporter)
            if not (done.is_waited_for and self._wait_for_others(done.left)):
                break
        found |= {record.key: record for record in done.records}
        return len(done.left)

    def _wait_for_others(self, left: Sequence[Task]) -> bool:
        """Wait until nobody works on any of the cells that are left. False where nobody did."""
        was_held = False
        while any(self.store.is_held(task.cell.identity) for task in left):
            was_held = True
            time.sleep(LOOK_EVERY_S)
        return was_held

    def _final_cells(self, outlined: TuningOutline, tried: _Tried, found: Mapping[str, Record]) -> list[Cell]:
        """The cells of the second look: the best trials under more seeds. One trial alone needs none."""
        if len(tried.trials) == 1:
            return []
        cells = {trial.number: cell for trial, cell in tried.trials}
        best = finalists([self._entry(outlined, tried, trial, cell, found) for trial, cell in tried.trials])
        return [more for entry in best if (cell := cells[entry.number]) for more in again(outlined, cell, FINAL_SEEDS)]

    def _record(self, outlined: TuningOutline, tried: _Tried, found: Mapping[str, Record]) -> TuningRecord:
        entries = [self._entry(outlined, tried, trial, cell, found) for trial, cell in tried.trials]
        method, info = tried.method, tried.file.info
        return TuningRecord(
            dataset=tried.label.removesuffix(SUFFIX),
            data={"name": info.name, "config": dict(info.config)},
            content_sha256=info.validation_of,
            profile=self.request.profile,
            method=tried.name,
            name=method.name,
            version=method.version,
            precision=outlined.precision,
            budget=self.trials,
            space={name: repr(searched) for name, searched in type(method.config).searched().items()},
            fixed=method.config.to_dict(),
            criterion=CRITERION,
            chosen=choose(entries).number,
            trials=tuple(entries),
        )

    def _entry(
        self, outlined: TuningOutline, tried: _Tried, trial: Trial, cell: Cell | None, found: Mapping[str, Record]
    ) -> TrialEntry:
        """A trial with what is known of it under any seed."""
        settings, names = trial.method.config.to_dict(), type(tried.method.config).searched()
        cells = [] if cell is None else [cell, *again(outlined, cell, FINAL_SEEDS)]
        records = [record for one in cells if (record := found.get(one.identity.key))]
        searched = {name: settings[name] for name in names}
        return TrialEntry(
            number=trial.number,
            settings=searched,
            refused=trial.refused,
            outcomes=tuple(_outcome(record) for record in records),
        )


def _outcome(record: Record) -> Outcome:
    return Outcome(
        seed=record.seed,
        key=record.key,
        error=record.error["message"] if record.error else "",
        gap=record.separation_gap,
        criteria={},
        train_s=record.cost.get("train_s", 0.0),
        images_seen=record.cost.get("images_seen", 0.0),
    )
