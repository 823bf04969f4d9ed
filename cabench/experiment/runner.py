"""Computes cells: fit, encode, probe, record. A cell that fails leaves a record that says so; the others go on."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from filelock import Timeout
from PIL import Image
from torch import Tensor

from cabench.context import FitContext, FitCost, Randomness
from cabench.data.dataset import SPACES, ContrastiveDataset, Population, as_float, float_batches
from cabench.data.file import DatasetFile
from cabench.errors import StopRequested, UserError
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.evaluate import EVALUATION, Evaluation, evaluate
from cabench.evaluation.grid import separation_gap
from cabench.experiment.cell import Cell, evaluation
from cabench.experiment.progress import RunReporter
from cabench.experiment.provenance import now, peak_memory_gib, provenance
from cabench.experiment.record import ErrorEntry, Record
from cabench.experiment.store import ResultsStore
from cabench.files.atomic import StorageError
from cabench.files.names import printable
from cabench.hardening.journal import Journal
from cabench.method import ContrastiveAnalysisMethod, Generative
from cabench.pictures.generation import picture_grid
from cabench.pictures.maps import maps
from cabench.pictures.neighbours import neighbour_grid

PICTURES = 8  # of either population, in the grid of a method with a decoder
DEATHS = 3  # processes that died at a cell in a row, without a checkpoint between, after which it counts as failed


class ProcessDiedError(RuntimeError):
    """Stands in a record for the error that processes could not tell of any more."""

    def __init__(self, deaths: int) -> None:
        super().__init__(
            f"{deaths} processes in a row died at this cell without an error, as when the kernel ends them for want of "
            "memory; use smaller batches or images."
        )


@dataclass(frozen=True)
class Runner:
    """Runs cells into a results folder, beside other processes that may be doing the same.

    Attributes:
        store: the results folder.
        device: for training and encoding.
        reporter: told of progress.
        checkpoint_every_s: seconds between two checkpoints of a training run.
        journal: of the run, which processes before this one may have begun.
    """

    store: ResultsStore
    device: torch.device
    reporter: RunReporter
    checkpoint_every_s: float = 60.0
    journal: Journal = field(default_factory=Journal)

    def run(self, cells: Sequence[tuple[Cell, DatasetFile]], force: bool) -> list[Record]:
        """Compute every cell that is not done, and give the records of all that ended, in the order of the cells.

        Cells that another process works on, and those whose last process died at them, are left at first, so that the
        others come before. Then they are looked at again, until another process works on each that is left.

        Args:
            cells: each with its data set.
            force: compute those again, from nothing, that are done when this begins.

        Raises:
            StopRequested: when the process was asked to stop. What was done so far is on disk.
            UserError: when the results folder can no longer be written to.
        """
        ended_before = self.journal.all_ended()
        left = [
            _Task(
                cell,
                file,
                number,
                len(cells),
                has_ended=cell.key in ended_before,
                replaces=self.store.stamp(cell) if force and cell.key not in ended_before else None,
            )
            for number, (cell, file) in enumerate(cells, start=1)
        ]
        ended: dict[int, Record] = {}
        first_time = True
        while left:
            for task in left:
                record = self._visit(task, first_time)
                if record is not None:
                    ended[task.number] = record
            remaining = [task for task in left if task.number not in ended]
            if len(remaining) == len(left) and not first_time:
                break
            left, first_time = remaining, False
        for task in left:
            self.reporter.say(f"{task.title}: left to the process that is working on it")
        return [ended[number] for number in sorted(ended)]

    def _visit(self, task: _Task, first_time: bool) -> Record | None:
        """The record of a cell, which is computed now where it is not done; None where it is left for later."""
        if self._is_done(task):
            return self._load(task.cell)
        try:
            with self.store.lock(task.cell):
                # Another process may have finished the cell since it was looked at.
                if self._is_done(task):
                    return self._load(task.cell)
                if first_time and (deaths := self.store.deaths(task.cell)):
                    died = "a process" if deaths == 1 else f"{deaths} processes in a row"
                    self.reporter.say(f"{task.title}: comes last, because {died} died at it")
                    return None
                self.reporter.started(task.cell.title, task.number, task.count)
                return self._compute(task)
        except Timeout:
            return None
        except OSError as error:
            raise UserError(f"{task.cell.title} could not be saved in {self.store.folder}: {error}.") from error

    def _is_done(self, task: _Task) -> bool:
        state = self.store.state(task.cell)
        if not (state == "done" or (state == "failed" and task.has_ended)):
            return False
        return task.replaces is None or task.replaces != self.store.stamp(task.cell)

    def _load(self, cell: Cell) -> Record:
        """The record of a cell that ended. Profiles share cells; it shows under the one that is asked for now."""
        self.store.drop_checkpoint(cell)  # left where a process was killed after it had written the record
        return replace(self.store.load(cell), profile=cell.profile)

    def _compute(self, task: _Task) -> Record:
        """Compute one cell and write its record, whatever comes of it."""
        cell, state = task.cell, self.store.state(task.cell)
        if state == "damaged":
            aside = self.store.set_aside(cell)
            self.reporter.say(f"{task.title}: its record cannot be read and was set aside as {aside}")
        elif state == "failed" or task.replaces is not None:
            self.store.clear(cell)
        deaths = self.store.begin(cell)
        self.journal.begun(cell.key)
        try:
            record, outcome = self._outcome(task, deaths)
        except BaseException:
            self.reporter.ended("stopped; the same command continues it")
            raise
        finally:
            self.store.end(cell)
        self.reporter.ended(outcome)
        return record

    def _outcome(self, task: _Task, deaths: int) -> tuple[Record, str]:
        """The cell's record, which is written by now, and in a few words what it says."""
        attempt = _Attempt(task.cell, self.device, now())
        try:
            if deaths >= DEATHS:
                attempt.cost.steps, attempt.cost.last_terms = self.store.last_logged(task.cell)
                raise ProcessDiedError(deaths)
            record = self._attempt(attempt, task.file)
            self._write(task.cell, record)
            return record, f"separation gap {record.separation_gap:.3f}, {record.cost['train_s']:.0f} s of training"
        except (StopRequested, KeyboardInterrupt, StorageError):
            raise
        except BaseException as error:  # whatever a method raises, the other cells must go on
            record, outcome = attempt.failed(error), f"FAILED: {type(error).__name__}: {_message(error)}"
        # The error held the method and all its tensors; the next cell may need the room.
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._write(task.cell, record)
        return record, outcome

    def _write(self, cell: Cell, record: Record) -> None:
        self.store.check_present(cell)
        self.store.write_record(cell, record)
        self.journal.ended(cell.key)

    def _attempt(self, attempt: _Attempt, file: DatasetFile) -> Record:
        cell, cost, method = attempt.cell, attempt.cost, attempt.cell.new_method()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        context = FitContext(
            device=self.device,
            precision=cell.precision,
            randomness=Randomness(cell.seed, cell.dataset.content_sha256, self.device),
            folder=cell.folder(self.store.folder),
            identity=cell.key,
            checkpoint_every_s=self.checkpoint_every_s,
            reporter=self.reporter,
            cost=cost,
        )
        train = file.read("train")
        started = time.monotonic()
        method.fit(train, context)
        if cost.steps == 0:
            cost.train_s = time.monotonic() - started
            cost.images_seen = len(train.background) + len(train.target) if method.learns else 0
        test = file.read("test")
        encoded_train, encoded_test = self._encode(method, train), self._encode(method, test)
        self.store.check_present(cell)
        self.store.write_representations(cell, encoded_train, encoded_test)
        started = time.monotonic()
        measured = evaluate(encoded_train, encoded_test, cell.dataset.attributes, EVALUATION)
        probe_s = time.monotonic() - started
        self.store.write_views(cell, _pictures(method, test, encoded_test), maps(encoded_test, cell.dataset.attributes))
        return attempt.succeeded(measured, probe_s, method.parameter_count())

    def _encode(self, method: ContrastiveAnalysisMethod, split: ContrastiveDataset) -> EncodedSplit:
        return EncodedSplit(*(_encode(method, part, self.device) for part in (split.background, split.target)))


@dataclass(frozen=True)
class _Task:
    """A cell's place in a run.

    Attributes:
        cell: what to compute.
        file: its data set.
        number: from 1.
        count: of all cells.
        has_ended: whether it ended earlier in this run, well or not.
        replaces: stamp of the record that is to be computed again, see `ResultsStore.stamp`; None where there is none.
    """

    cell: Cell
    file: DatasetFile
    number: int
    count: int
    has_ended: bool
    replaces: str | None

    @property
    def title(self) -> str:
        return f"[{self.number}/{self.count}] {self.cell.title}"


@dataclass(frozen=True)
class _Attempt:
    """One try at a cell: what its record needs, however it ends."""

    cell: Cell
    device: torch.device
    started: str
    cost: FitCost = field(default_factory=FitCost)

    def succeeded(self, measured: Evaluation, probe_s: float, parameters: int) -> Record:
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
        gap = separation_gap(measured.scores)
        return replace(self._record("ok"), separation_gap=gap, cost=cost, **measured._asdict())

    def failed(self, error: BaseException) -> Record:
        terms = self.cost.last_terms
        cause: ErrorEntry = {
            "type": type(error).__name__,
            "message": _message(error),
            "traceback": printable("".join(traceback.format_exception(error))),
            "step": int(self.cost.steps) or None,
            # JSON has no word for infinities and NaN.
            "last_terms": {name: str(value) for name, value in terms.items()} if terms else None,
        }
        return replace(self._record("failed"), error=cause)

    def _record(self, status: Literal["ok", "failed"]) -> Record:
        """A record of what is known however the attempt ends."""
        cell = self.cell
        return Record(
            key=cell.key,
            status=status,
            method={
                "name": cell.method.name,
                "label": cell.method_label,
                "version": cell.method.version,
                "config": cell.method.config.to_dict(),
            },
            dataset={
                "name": cell.dataset.name,
                "label": cell.dataset_label,
                "builder_version": cell.dataset.builder_version,
                "config": dict(cell.dataset.config),
                "content_sha256": cell.dataset.content_sha256,
                "sources": list(cell.dataset.sources),
            },
            evaluation=evaluation(),
            profile=cell.profile,
            seed=cell.seed,
            precision=cell.precision,
            scores=(),
            separation_gap=None,
            cost={},
            provenance=provenance(self.device, self.started),
            error=None,
        )


def _encode(method: ContrastiveAnalysisMethod, population: Population, device: torch.device) -> EncodedPopulation:
    batches = [method.encode(images) for images in float_batches(population.images, device)]
    spaces = {
        space: np.concatenate([getattr(batch, space).float().cpu().numpy() for batch in batches]) for space in SPACES
    }
    for space, vectors in spaces.items():
        if len(vectors) != len(population):
            raise ValueError(f"{method.name} gives {len(vectors)} {space} vectors for {len(population)} images.")
    return EncodedPopulation(spaces, population.attributes)


def _message(error: BaseException) -> str:
    """What an error says, as text that every file and terminal takes. It may be of a class that somebody else wrote."""
    try:
        return printable(str(error))
    except Exception as broken:
        return f"(it cannot say what happened: {type(broken).__name__})"


def _pictures(method: ContrastiveAnalysisMethod, test: ContrastiveDataset, encoded: EncodedSplit) -> Image.Image | None:
    """What a method with a decoder makes of some images; of any other, which images it holds to be alike.

    A table has no pictures.
    """
    if test.info.is_table:
        return None
    if isinstance(method, Generative):
        return picture_grid(method, _some(test.background), _some(test.target))
    return neighbour_grid(test.background.images, test.target.images, encoded)


def _some(population: Population) -> Tensor:
    """A few images from all over a population, as floats."""
    return as_float(population.images[:: max(1, len(population) // PICTURES)][:PICTURES])
