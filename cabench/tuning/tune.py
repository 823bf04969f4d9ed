"""Tuning: the same number of trials for every method, a second look at the best, and what is chosen written down.

The test split is neither encoded nor probed: trials are cells on a part of the training split, see
`cabench.data.tuning_split`, and that is all the data that a trial can reach.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

from cabench.data.tuning_split import SUFFIX
from cabench.experiment.computing import compute
from cabench.experiment.executors import Executor, RunSettings, make_executor
from cabench.experiment.plan import Experiment, ready_file
from cabench.experiment.progress import RunReporter
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import Task
from cabench.tuning.choice import choose
from cabench.tuning.judging import EVERY
from cabench.tuning.places import check_place
from cabench.tuning.rules import Rule
from cabench.tuning.terms import Placed, Terms, check_profile_of, check_terms, terms_of
from cabench.tuning.trials import MethodTrials, TuningOutline, tuning_outline
from cabench.tuning.tuned_profile import check_own_profile, write_tuned_profile
from cabench.tuning.tuning_record import TuningRecord, read_tuning_records

LOOK_EVERY_S = 1.0


class Tuned(NamedTuple):
    """What tuning came to.

    Attributes:
        records: of every method and data set; empty as long as cells are left.
        left: how many cells of the round are left, for want of time or to a cluster.
    """

    records: Sequence[TuningRecord]
    left: int


@dataclass(frozen=True)
class Tuning:
    """A request to tune, and what it needs.

    Attributes:
        request: methods, data sets and profile; seeds and controls do not count.
        trials: of each method that has something to search.
        longest: how many times the profile's epochs a method is trained at most; see `cabench.tuning.length`.
        rule: what chooses among trials.
        store: the results folder, where trials are kept.
        folder: where tuning records are written.
        profile: the path of the profile that is written.
        settings: how trials are computed.
        reporter: told of progress.
    """

    request: Request
    trials: int
    longest: int
    rule: Rule
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
        check_own_profile(self.profile)
        check_place(self.folder, "--records")
        executor = make_executor(self.request.device, self.settings)
        planned = replace(self.request, device=executor.planned_on)
        outlined = tuning_outline(planned, self.trials, self.longest, self.rule, self.store)
        there = read_tuning_records(self.folder)
        check_profile_of(self.folder, there, self.request.profile)
        tried = self._tried(outlined)
        check_terms(terms_of(there) | self._terms(tried))
        self.store.check_writable()
        if left := self._compute_all(tried, Experiment(outlined.device, []), executor):
            return Tuned((), left)
        earlier = read_tuning_records(self.folder)
        records = [self._record(each).with_test_gaps_of(earlier) for each in tried]
        for reason in outlined.judge.unread.values():
            self.reporter.say(f"A trial is judged without its vectors: {reason}")
        for record in records:
            if len(record.trials) > 1 and not self.rule.costs(record.trials):
                self.reporter.say(
                    f"{record.dataset} / {record.method}: no trial can be judged by {self.rule.name}; the settings of "
                    f"profile {record.profile} stay."
                )
            record.write(self.folder)
        write_tuned_profile(read_tuning_records(self.folder), self.profile)
        return Tuned(records, 0)

    def _tried(self, outlined: TuningOutline) -> list[MethodTrials]:
        """Every method on every data set that takes it."""
        tried: list[MethodTrials] = []
        for label, provider in outlined.datasets.items():
            found, left_out = outlined.methods_on(
                label, ready_file(label, provider, self.request.data_root, self.reporter.say)
            )
            for name, reason in left_out.items():
                self.reporter.say(f"Left out on {label}: {name} ({reason})")
            tried += found
        return tried

    def _terms(self, tried: Sequence[MethodTrials]) -> dict[Placed, Terms]:
        """On what terms methods are to be tuned."""
        return {
            (each.label.removesuffix(SUFFIX), each.name): Terms(
                self.trials, self.rule.name, each.file.info.validation_of
            )
            for each in tried
        }

    def _compute_all(self, tried: Sequence[MethodTrials], experiment: Experiment, executor: Executor) -> int:
        """Compute round after round, also while other processes work on some of the cells.

        Returns:
            How many cells of a round are left, for want of time, or as a cluster goes on with them.
        """
        ended: set[str] = set()  # well or not: what failed is not tried again in the next round
        rounds = count(1)
        while cells := [cell for each in tried for cell in each.cells() if cell.identity.key not in ended]:
            self.reporter.say(
                f"Round {next(rounds)}: {len(cells)} cells; what follows from them comes in a further round."
            )
            done = compute(replace(experiment, cells=cells), self.store, self.settings, executor, self.reporter)
            ended |= {record.key for record in done.records}
            if done.left and not (done.is_waited_for and self._wait_for_others(done.left)):
                return len(done.left)
        return 0

    def _wait_for_others(self, left: Sequence[Task]) -> bool:
        """Wait until nobody works on any of the cells that are left. False where nobody did, or time is limited.

        Who worked on one may have ended it since it was found to be left.
        """
        if self.settings.time_limit:
            return False
        was_held = False
        while any(self.store.is_held(task.cell.identity) for task in left):
            was_held = True
            time.sleep(LOOK_EVERY_S)
        return was_held or any(task.has_ended(self.store) for task in left)

    def _record(self, tried: MethodTrials) -> TuningRecord:
        self.reporter.say(f"Judging the trials of {tried.name} on {tried.label}.")  # half a second each
        entries, info, settings = tried.entries(EVERY), tried.file.info, tried.settings()
        return TuningRecord(
            dataset=tried.label.removesuffix(SUFFIX),
            data={"name": info.name, "config": dict(info.config)},
            content_sha256=info.validation_of,
            profile=self.request.profile,
            method=tried.name,
            name=tried.method.name,
            version=tried.method.version,
            supervised=tried.method.supervised,
            one_space=tried.method.one_space,
            precision=tried.outline.precision,
            budget=self.trials,
            space={name: repr(found) for name, found in tried.searched().items()},
            fixed=settings.to_dict(),
            criterion=self.rule.name,
            chosen=choose(entries, self.rule).number,
            trials=tuple(entries),
        )
