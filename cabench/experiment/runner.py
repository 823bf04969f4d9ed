"""Computes cells: fit, encode, probe, record. A cell that fails leaves a record that says so; the others go on."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import Timeout

from cabench.context import FitContext, FitCost, Randomness
from cabench.data.dataset import ContrastiveDataset
from cabench.data.preparation import said_of
from cabench.errors import StopRequested, UserError
from cabench.evaluation.encoded import EncodedSplit
from cabench.experiment.cell import Cell
from cabench.experiment.encoding import encode_split
from cabench.experiment.fitted_rows import FittedRows
from cabench.experiment.flatness import is_flat
from cabench.experiment.identity import Identity
from cabench.experiment.keepsakes import keep_maps, keep_method, keep_picture, said
from cabench.experiment.locks import LeaseLostError
from cabench.experiment.measuring import keep_and_measure
from cabench.experiment.progress import RunReporter
from cabench.experiment.provenance import now, peak_memory_gib, provenance
from cabench.experiment.record import ErrorEntry, Record
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import Task, claiming_order
from cabench.experiment.time_limit import TimeLimit
from cabench.experiment.traceback_text import traceback_text
from cabench.experiment.training_log import last_logged, losses
from cabench.files.atomic import StorageError
from cabench.files.names import printable
from cabench.hardening.deaths import MOST_DEATHS, ProcessDiedError, deaths_at, describe_deaths, noting_death
from cabench.hardening.journal import Journal
from cabench.hardening.stopping import heed_lost_request
from cabench.method import ContrastiveAnalysisMethod
from cabench.profiles import ProfileEntry
from cabench.training import GradientTrainedMethod

PATIENCE_S = 1.0  # looking at a cell's state takes its lock for a moment
LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Runner:
    """Runs cells into a results folder, beside other processes that may be doing the same.

    Attributes:
        store: the results folder.
        device: for training and encoding.
        reporter: told of progress.
        checkpoint_every_s: seconds between two checkpoints of a training run.
        keep_models: whether the fitted method is kept with its cell.
        journal: of the run, which processes before this one may have begun.
        time_limit: says whether there is time left for a cell; None where there always is.
    """

    store: ResultsStore
    device: torch.device
    reporter: RunReporter
    checkpoint_every_s: float = 60.0
    keep_models: bool = True
    journal: Journal = field(default_factory=Journal)
    time_limit: TimeLimit | None = None

    def run(self, tasks: Sequence[Task]) -> None:
        """Compute every cell that has not ended, until nothing is left but what other processes work on, or what there
        is no time for.

        A first round leaves out the cells that another process works on, or at which a process died. Further rounds
        look at these again.

        Args:
            tasks: the cells, see `cabench.experiment.task.tasks_of`.

        Raises:
            StopRequested: when the process was asked to stop. What was done so far is on disk.
            UserError: when the results folder can no longer be written to.
        """
        left = [task for task in claiming_order(tasks, self.device) if not self._visit(task, first_round=True)]
        while left:
            remaining = [task for task in left if not self._visit(task, first_round=False)]
            in_time = [task for task in remaining if self._is_in_time(task)]
            if len(remaining) == len(left) and not (in_time and self._is_one_freed(in_time)):
                break
            left = remaining

    def _is_one_freed(self, tasks: Sequence[Task]) -> bool:
        """Whether one of the cells that others work on ends, or is free, before a lease of the dead has run out."""
        deadline = time.monotonic() + self.store.locks.lease_s
        while time.monotonic() < deadline:
            time.sleep(min(LOOK_EVERY_S, self.store.locks.lease_s))
            if not all(self.store.is_held(task.cell.identity) for task in tasks):
                return True
        return False

    def _visit(self, task: Task, first_round: bool) -> bool:
        """Whether a cell has ended: it is computed now where it has not. False where it is left for later."""
        heed_lost_request()
        cell = task.cell.identity
        if task.has_ended(self.store):
            self.store.drop_checkpoint(cell)  # left where a process was killed after it had written the record
            return True
        if not self._is_in_time(task):
            return False
        try:
            with self.store.lock(cell, patience_s=0.0 if first_round else PATIENCE_S):
                # Another process may have finished the cell since it was looked at.
                if task.has_ended(self.store):
                    return True
                if first_round and self._comes_last(task):
                    return False
                if self.time_limit:
                    self.time_limit.begun()
                self.reporter.started(task.cell.title, task.number, task.count)
                self._compute(task)
                return True
        except Timeout:
            return False
        except OSError as error:
            raise UserError(f"{cell.title} could not be saved in {self.store.folder}: {error}.") from error

    def _is_in_time(self, task: Task) -> bool:
        return self.time_limit is None or self.time_limit.leaves_room_for(task.cell)

    def _comes_last(self, task: Task) -> bool:
        """Whether a process died at the cell: it may end this one as well, so that the other cells come first."""
        deaths = deaths_at(self._folder(task.cell.identity))
        if deaths:
            self.reporter.say(f"{task.title}: comes last, because {describe_deaths(deaths)} died at it")
        return deaths > 0

    def _folder(self, cell: Identity) -> Path:
        return cell.folder(self.store.folder)

    def _compute(self, task: Task) -> None:
        """Compute one cell and write its record, whatever comes of it."""
        cell = task.cell.identity
        state = self.store.state(cell)
        if state == "damaged":
            aside = self.store.set_aside(cell)
            self.reporter.say(f"{task.title}: its record cannot be read and was set aside as {aside}")
        elif state in ("done", "failed"):  # what is done has not ended: it is computed anew
            self.store.clear(cell)
        try:
            with noting_death(self._folder(cell), cell.key, self.journal) as deaths:
                outcome = self._outcome(task.cell, deaths)
        except LeaseLostError:
            self.reporter.ended("taken over by another process")
            raise
        except BaseException:
            self.reporter.ended("stopped; the same command continues it")
            raise
        self.reporter.ended(outcome)

    def _outcome(self, cell: Cell, deaths: int) -> str:
        """What the cell's record, which is written by now, says in a few words."""
        attempt = _Attempt(cell.identity, cell.profile, cell.place(self.device), now())
        try:
            if deaths >= MOST_DEATHS:
                attempt.cost.steps, attempt.cost.last_terms = last_logged(self._folder(cell.identity))
                raise ProcessDiedError(deaths)
            record = self._attempt(attempt, cell)
            self._write(record)
            return f"separation gap {record.separation_gap:.3f}, {record.cost['train_s']:.0f} s of training"
        except (StopRequested, KeyboardInterrupt, StorageError):
            raise
        except BaseException as error:  # whatever a method raises, the other cells must go on
            heed_lost_request()
            record, outcome = attempt.failed(error), f"FAILED: {type(error).__name__}: {said(error)}"
        # The error held the method and all its tensors; the next cell may need the room.
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._write(record)
        return outcome

    def _write(self, record: Record) -> None:
        self.store.check_present(record)
        self.store.write_record(record)
        self.journal.ended(record.key)

    def _attempt(self, attempt: _Attempt, cell: Cell) -> Record:
        identity, info, cost, method = cell.identity, cell.data.info, attempt.cost, cell.new_method()
        device = attempt.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        context = FitContext(
            device=device,
            precision=identity.precision,
            randomness=Randomness(identity.seed, info.content_sha256, device),
            folder=self._folder(identity),
            identity=identity.key,
            checkpoint_every_s=self.checkpoint_every_s,
            reporter=self.reporter,
            cost=cost,
            check_folder=partial(self.store.check_present, identity),
        )
        train = cell.data.read("train")
        fitted = FittedRows.of(method, cell.data, train)
        train = fitted.given(train)
        started = time.monotonic()
        method.fit(train, context)
        if cost.steps == 0:
            cost.train_s = time.monotonic() - started
            cost.images_seen = sum(len(getattr(train, population)) for population in method.learns_from)
        test = fitted.given(cell.data.read("test"))
        rows = cell.data.read_all_rows()
        vectors = encode_split(method, train, rows["train"], device), encode_split(method, test, rows["test"], device)
        parameters = method.parameter_count()
        measured, probe_s = keep_and_measure(self.store, identity, cell.data, *vectors)
        measured["prepared"] = said_of(info, method.takes)
        measured["loss_is_flat"] = self._is_flat(method, identity)
        measured["improvised_common"] = method.improvised_common
        measured["unmade"] = self._keep(method, identity, test, vectors[1], fitted)
        return attempt.succeeded(measured, probe_s, parameters)

    def _is_flat(self, method: ContrastiveAnalysisMethod, cell: Identity) -> bool | None:
        is_told = isinstance(method, GradientTrainedMethod) and not method.loss_may_rise
        return is_flat(losses(self._folder(cell))) if is_told else None

    def _keep(
        self,
        method: ContrastiveAnalysisMethod,
        cell: Identity,
        test: ContrastiveDataset,
        encoded: EncodedSplit,
        fitted: FittedRows,
    ) -> dict[str, str]:
        """Keep what can be looked at and used again. Gives what could not be made: see `Record.unmade`.

        Nobody looks at trials of settings: they keep their method alone.
        """
        unmade: dict[str, str] = {}
        if not test.info.validation_of:
            self.store.check_present(cell)  # each may take long, and the cell may be another process's by then
            unmade |= keep_picture(self.store, cell, test, encoded, method)
            self.store.check_present(cell)
            unmade |= keep_maps(self.store, cell, test.info.attributes, encoded)
        if self.keep_models:
            self.store.check_present(cell)
            unmade |= keep_method(self.store, cell, method, test.info.image_shape, fitted)
        for name, reason in unmade.items():
            self.reporter.say(f"{cell.title}: {name} could not be made ({reason})")
        return unmade


@dataclass(frozen=True)
class _Attempt:
    """One try at a cell: what its record needs, however it ends."""

    identity: Identity
    profile: ProfileEntry
    device: torch.device
    started: str
    cost: FitCost = field(default_factory=FitCost)

    def succeeded(self, measured: Mapping[str, Any], probe_s: float, parameters: int) -> Record:
        cost = {
            "train_s": self.cost.train_s,
            "compile_s": 0.0,
            "probe_s": probe_s,
            "images_per_s": self.cost.images_seen / self.cost.train_s if self.cost.train_s else 0.0,
            "steps": self.cost.steps,
            "images_seen": self.cost.images_seen,
            "parameters": parameters,
            "peak_memory_gib": peak_memory_gib(self.device),
        }
        return replace(self._record("ok"), cost=cost, **measured)

    def failed(self, error: BaseException) -> Record:
        terms = self.cost.last_terms
        cause: ErrorEntry = {
            "type": type(error).__name__,
            "message": said(error),
            "traceback": printable(traceback_text(error)),
            "step": int(self.cost.steps) or None,
            # JSON has no word for infinities and NaN.
            "last_terms": {name: str(value) for name, value in terms.items()} if terms else None,
        }
        return replace(self._record("failed"), error=cause)

    def _record(self, status: Literal["ok", "failed"]) -> Record:
        """A record of what is known however the attempt ends."""
        where = provenance(self.device, self.started, self.profile)
        return Record.of(self.identity, status, scores=(), separation_gap=None, cost={}, provenance=where, error=None)
