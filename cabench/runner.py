"""Computes cells: fit, encode, probe, record. A cell that fails leaves a record that says so; the others go on."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Literal

import numpy as np
import torch
from filelock import Timeout
from PIL import Image
from torch import Tensor

from cabench.context import FitContext, FitCost, StopFlag
from cabench.dataset import SPACES, ContrastiveDataset, Population, as_float, float_batches
from cabench.dataset_file import DatasetFile
from cabench.errors import StopRequested, UserError
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.evaluate import Evaluation, evaluate
from cabench.evaluation.grid import separation_gap
from cabench.experiment import EVALUATION, Cell, evaluation
from cabench.generation import picture_grid
from cabench.method import ContrastiveAnalysisMethod, Generative
from cabench.progress import RunReporter
from cabench.provenance import now, peak_memory_gib, provenance
from cabench.randomness import Randomness
from cabench.record import Record
from cabench.store import ResultsStore
from cabench.training import NonFiniteLossError
from cabench.views import maps, neighbour_grid

PICTURES = 8  # of either population, in the grid of a method with a decoder


@dataclass(frozen=True)
class Runner:
    """Runs cells into a results folder.

    Attributes:
        store: the results folder.
        device: for training and encoding.
        reporter: told of progress.
        checkpoint_every_s: seconds between two checkpoints of a training run.
        stop: set at SIGINT or SIGTERM; the cell under way is checkpointed and the run ends.
    """

    store: ResultsStore
    device: torch.device
    reporter: RunReporter
    checkpoint_every_s: float = 60.0
    stop: StopFlag = field(default_factory=StopFlag)

    def run(self, cells: Sequence[tuple[Cell, DatasetFile]], force: bool) -> list[Record]:
        """Compute every cell that is not done, and give the records of all that ended.

        Args:
            cells: each with its data set.
            force: compute cells that are done again, from nothing.

        Raises:
            StopRequested: when the process was asked to stop. What was done so far is on disk.
            UserError: when the results folder can no longer be written to.
        """
        records = []
        for number, (cell, file) in enumerate(cells, start=1):
            if not force and self.store.state(cell) == "done":
                records.append(self._load(cell))
                continue
            if self.stop.requested:
                raise StopRequested
            try:
                with self.store.lock(cell):
                    # Another process may have finished the cell since it was looked at.
                    if not force and self.store.state(cell) == "done":
                        records.append(self._load(cell))
                        continue
                    self.reporter.started(cell.title, number, len(cells))
                    records.append(self._compute(cell, file, force))
            except Timeout:
                self.reporter.say(f"[{number}/{len(cells)}] {cell.title}: left to the process that is working on it")
            except OSError as error:
                raise UserError(f"{cell.title} could not be saved in {self.store.folder}: {error}.") from error
        return records

    def _load(self, cell: Cell) -> Record:
        """A finished cell's record. Profiles share cells; the record shows under the one that is asked for now."""
        return replace(self.store.load(cell), profile=cell.profile)

    def _compute(self, cell: Cell, file: DatasetFile, force: bool) -> Record:
        """Compute one cell and write its record, whatever comes of it."""
        if force or self.store.state(cell) == "failed":
            self.store.clear(cell)
        attempt = _Attempt(cell, self.device, now())
        try:
            record = self._attempt(attempt, file)
            outcome = f"separation gap {record.separation_gap:.3f}, {record.cost['train_s']:.0f} s of training"
        except (StopRequested, KeyboardInterrupt, SystemExit):
            self.reporter.ended("stopped; the same command continues it")
            raise
        except Exception as error:  # whatever a method raises, the other cells must go on
            record = attempt.failed(error)
            outcome = f"FAILED: {type(error).__name__}: {error}"
        self.store.write_record(cell, record)
        self.reporter.ended(outcome)
        return record

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
            stop=self.stop,
            cost=cost,
        )
        train = file.read("train")
        started = time.monotonic()
        with _stopping_politely(self.stop):
            method.fit(train, context)
        if self.stop.requested:
            raise StopRequested
        if cost.steps == 0:
            cost.train_s = time.monotonic() - started
            cost.images_seen = len(train.background) + len(train.target) if method.learns else 0
        test = file.read("test")
        encoded_train, encoded_test = self._encode(method, train), self._encode(method, test)
        self.store.write_representations(cell, encoded_train, encoded_test)
        started = time.monotonic()
        measured = evaluate(encoded_train, encoded_test, cell.dataset.attributes, EVALUATION)
        probe_s = time.monotonic() - started
        self.store.write_views(cell, _pictures(method, test, encoded_test), maps(encoded_test, cell.dataset.attributes))
        return attempt.succeeded(measured, probe_s, method.parameter_count())

    def _encode(self, method: ContrastiveAnalysisMethod, split: ContrastiveDataset) -> EncodedSplit:
        return EncodedSplit(*(_encode(method, part, self.device) for part in (split.background, split.target)))


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

    def failed(self, error: Exception) -> Record:
        step, terms = (error.step, error.terms) if isinstance(error, NonFiniteLossError) else (None, None)
        cause = {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
            "step": step,
            # JSON has no word for infinities and NaN.
            "last_terms": None if terms is None else {name: str(value) for name, value in terms.items()},
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
    return EncodedPopulation(spaces, population.attributes)


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


@contextmanager
def _stopping_politely(stop: StopFlag) -> Iterator[None]:
    """Inside the block the first SIGINT or SIGTERM sets `stop`; a second one acts at once."""

    def request(number: int, frame: FrameType | None) -> None:
        stop.requested = True
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
