"""What has become of the cells of a request: what `plan` shows, once or again and again. Computes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import torch

from cabench.data.builder import DatasetProvider
from cabench.data.file import DatasetFile
from cabench.errors import UserError
from cabench.experiment.cell import Cell
from cabench.experiment.estimate import StoredDurations
from cabench.experiment.identity import Identity
from cabench.experiment.plan import Outline, outline
from cabench.experiment.record import ErrorEntry
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore, State
from cabench.experiment.without_collecting import without_collecting
from cabench.experiment.workforce import Place
from cabench.files.atomic import stamp
from cabench.hardening.deaths import deaths_at, note_stamp

STATES: tuple[State, ...] = ("done", "failed", "running", "stale", "damaged", "missing")
WAITING: frozenset[State] = frozenset({"stale", "damaged", "missing"})


@dataclass(frozen=True)
class SurveyedCell:
    """A cell of a request, and what has become of it.

    Attributes:
        dataset: the data set's label.
        method: the method's label.
        seed: its seed.
        key: its key; "" where the data set is not built.
        state: as `ResultsStore.state` gives it.
        deaths: how many processes in a row died at it, of a cell that waits.
        worker: the process that works on it and its machine, of a running cell where that is known.
        error: of a failed cell, where its record can be read.
        expected_s: seconds that it will take, by finished cells of its kind; None where nothing tells, and of a cell
            that ended.
        trial: see `cabench.experiment.cell.Cell`.
    """

    dataset: str
    method: str
    seed: int
    key: str
    state: State
    deaths: int = 0
    worker: str | None = None
    error: ErrorEntry | None = None
    expected_s: float | None = None
    trial: str = ""

    @property
    def is_waiting(self) -> bool:
        """Whether nobody works on it and it has not ended."""
        return self.state in WAITING

    @property
    def said(self) -> str:
        """Its state in words, with the error or the deaths that a run would meet there."""
        if self.error:
            at = f" at step {self.error['step']}" if self.error.get("step") else ""
            return f"failed ({self.error.get('type')}{at})"
        if self.deaths:
            return f"{self.state} ({self.deaths} {'process' if self.deaths == 1 else 'processes'} died at it)"
        if self.worker:
            return f"{self.state} ({self.worker})"
        return self.state if self.key else "missing (data set not built)"


class LeftOut(NamedTuple):
    """A method that nobody asked for by name and that does not take a data set."""

    dataset: str
    method: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """What a run would meet.

    Attributes:
        cells: data sets outermost and seeds innermost.
        left_out: methods without cells, and why.
        device: that cells would be computed on.
    """

    cells: Sequence[SurveyedCell]
    left_out: Sequence[LeftOut]
    device: torch.device

    @property
    def totals(self) -> dict[State, int]:
        """How many cells are in each state that there is, in the order of `STATES`."""
        counts = Counter(cell.state for cell in self.cells)
        return {state: counts[state] for state in STATES if counts[state]}

    @property
    def left(self) -> list[SurveyedCell]:
        """The cells that a run would compute, or leave to the process that works on them."""
        return [cell for cell in self.cells if cell.state != "done"]

    @property
    def not_ended(self) -> list[SurveyedCell]:
        """The cells without a record, that of a failure or another."""
        return [cell for cell in self.cells if cell.is_waiting or cell.state == "running"]


class Surveyor:
    """Looks at the cells of a request, the first time at all, later at those of which something has changed."""

    def __init__(self, outlined: Outline, data_root: Path | None, store: ResultsStore) -> None:
        """Look at nothing yet.

        Args:
            outlined: what is asked for.
            data_root: folder of raw data; None for downloads.
            store: the results folder.
        """
        self._outline, self._data_root, self._store = outlined, data_root, store
        self._files: dict[str, DatasetFile] = {}
        self._planned: dict[str, tuple[list[Cell], dict[str, str]]] = {}
        self._seen: dict[str, tuple[tuple[str | None, str | None], SurveyedCell]] = {}
        self._durations = StoredDurations(Place(self._outline.device, torch.get_num_threads()), store)

    @without_collecting()
    def look(self) -> Survey:
        """What has become of the cells by now.

        Raises:
            UserError: where a method refuses a data set that was built meanwhile, and where a process that read
                records died.
        """
        survey = self._look_once()
        while self._outline.grows and not survey.not_ended:  # cells that ended meanwhile may have made others known
            before, survey = survey, self._look_once()
            if len(survey.cells) == len(before.cells):
                break
        return survey

    def _look_once(self) -> Survey:
        """The cells that were known before their states were read."""
        cells: list[SurveyedCell] = []
        left_out: list[LeftOut] = []
        for label, dataset in self._outline.datasets.items():
            self._plan(label, dataset)
        if not self._seen:  # later looks read only what has changed
            self._store.read_ahead(cell.identity for same in self._whole() for cell in same)
        for label in self._outline.datasets:
            if label not in self._planned:
                methods, seeds = self._outline.methods[label], self._outline.seeds
                cells += [SurveyedCell(label, name, seed, "", "missing") for name in methods for seed in seeds]
                continue
            planned, refused = self._planned[label]
            left_out += [LeftOut(label, method, reason) for method, reason in refused.items()]
            for same in _by_method(planned):
                cells += self._looked_at(same)
        return Survey(cells, left_out, self._outline.device)

    def _plan(self, label: str, dataset: DatasetProvider) -> None:
        """Find the cells on a data set: once, unless others become known as these end."""
        if label not in self._files and (file := dataset.find(self._data_root)):
            self._files[label] = file
        if label in self._files and (label not in self._planned or self._outline.grows):
            self._planned[label] = self._outline.cells(label, self._files[label])

    def _whole(self) -> Iterator[Sequence[Cell]]:
        """The groups of cells that differ in their seeds alone and all have records."""
        for planned, _ in self._planned.values():
            yield from filter(self._is_whole, _by_method(planned))

    def _is_whole(self, planned: Sequence[Cell]) -> bool:
        return all(self._store.has_record(cell.identity) for cell in planned)

    def _looked_at(self, planned: Sequence[Cell]) -> list[SurveyedCell]:
        """Cells that differ in their seeds alone. Where some are left, finished ones tell how long they will take."""
        if not self._is_whole(planned):
            self._durations.read_beside(planned[0])  # before their states, for which nothing is read twice then
        cells = [self._seen_again(cell.identity) or self._seen_anew(cell.identity) for cell in planned]
        if any(cell.state == "failed" for cell in cells):
            self._durations.read_beside(planned[0])
        expected_s = self._durations.expected_anywhere_s(planned[0])
        return [
            replace(cell, expected_s=None if cell.state == "done" else expected_s, trial=of.trial)
            for cell, of in zip(cells, planned, strict=True)
        ]

    def _seen_again(self, cell: Identity) -> SurveyedCell | None:
        """A cell as it was, where nothing has changed; a process that works on it may have died meanwhile."""
        signs, seen = self._seen.get(cell.key, (None, None))
        return seen if seen and seen.state != "running" and signs == self._signs(cell) else None

    def _seen_anew(self, cell: Identity) -> SurveyedCell:
        signs = self._signs(cell)  # before the state: what changes between them is seen the next time
        state = self._store.state(cell)
        seen = SurveyedCell(cell.dataset["label"], cell.method["label"], cell.seed, cell.key, state)
        if state == "failed":
            seen = self._failed(cell, seen)
        elif state == "running":
            seen = replace(seen, worker=self._store.worker(cell))
        elif state != "done":
            seen = replace(seen, deaths=deaths_at(cell.folder(self._store.folder)))
        self._seen[cell.key] = signs, seen
        return seen

    def _failed(self, cell: Identity, seen: SurveyedCell) -> SurveyedCell:
        try:
            return replace(seen, error=self._store.load(cell).error)
        except UserError:  # another process computes it again by now
            return seen

    def _signs(self, cell: Identity) -> tuple[str | None, str | None]:
        """What changes whenever a record is written, and whenever a process begins a cell."""
        folder = cell.folder(self._store.folder)
        return stamp(folder / "record.json"), note_stamp(folder)


def _by_method(planned: Sequence[Cell]) -> Iterator[Sequence[Cell]]:
    """Cells on one data set, those of each method together: they differ in their seeds alone."""
    for _, same in groupby(planned, key=lambda cell: cell.identity.method["label"]):
        yield list(same)


def survey(request: Request, store: ResultsStore) -> Survey:
    """The state of every cell of a request. Builds and computes nothing.

    Raises:
        UserError: as `cabench.experiment.plan.resolve` does.
    """
    return Surveyor(outline(request), request.data_root, store).look()
