"""What trials are worth on the test split, which is opened once their choice is made and written.

Every trial's fitted method was kept with its cell. It encodes the test split of the whole data set, and the probes that
its validation gap comes from, fitted on the same four fifths of the training split, are scored there. Nothing trains,
and no choice depends on what is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from cabench.data.dataset import ContrastiveDataset
from cabench.data.download import raw_data_root
from cabench.data.tuning_split import SUFFIX, TuningFile
from cabench.discovery import class_in_file, method_class, plugins
from cabench.errors import UserError
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.gap_alone import gap_of_vectors
from cabench.experiment.cell import CPU
from cabench.experiment.device import resolve_device
from cabench.experiment.encoding import encode_split
from cabench.experiment.fitted_rows import FittedRows
from cabench.experiment.given_method import check_given
from cabench.experiment.keepsakes import said
from cabench.experiment.progress import make_reporter
from cabench.experiment.record import Record
from cabench.experiment.recorded_data import recorded_provider
from cabench.experiment.request import MethodLike, name_list
from cabench.experiment.store import ResultsStore
from cabench.method import ContrastiveAnalysisMethod
from cabench.saving import load_method
from cabench.tuning.tuning_record import WORST, Outcome, TuningRecord, read_tuning_records


class Opened(NamedTuple):
    """What opening came to.

    Attributes:
        records: all tuning records of the folder, as they are now.
        opened: how many trials were opened now.
        closed: sentences on the trials that cannot be opened.
    """

    records: list[TuningRecord]
    opened: int
    closed: list[str]


def open_trials(
    records: str | Path = "results/tuning",
    trials: str | Path = "results/trials",
    *,
    methods: str | Sequence[MethodLike] = "",
    device: str = "auto",
    data_root: str | Path | None = None,
) -> Opened:
    """Score every trial on the test split, once settings are chosen. Trials that were opened stay as they are.

    Args:
        records: the folder of tuning records; the test gaps are written there.
        trials: the results folder of the trials' cells.
        methods: those that are not installed, as files such as "mine.py", separated by commas or in a list, or as
            classes and objects.
        device: where test images are encoded: "auto", "cpu", "cuda" or "cuda:1".
        data_root: folder of raw data; None for what CABENCH_DATA names, else raw data is downloaded.

    Raises:
        UserError: where there are no tuning records, or one cannot be read or written, and for what is no method that
            is not installed. There is no record before the choice is made.
    """
    opening = Opening(
        folder=Path(records).absolute(),
        store=ResultsStore(Path(trials).absolute()),
        data_root=raw_data_root(data_root),
        device=resolve_device(device),
        kinds=dict(map(_named_kind, name_list("method", methods) if methods else [])),
        say=make_reporter().say,
    )
    return opening.run()


class _Data(NamedTuple):
    """A data set: the part that settings were chosen on, and the whole one's test split as it is stored."""

    part: TuningFile
    test: ContrastiveDataset


@dataclass(frozen=True)
class Opening:
    """The test split for all trials of a folder of tuning records.

    Attributes:
        folder: of tuning records, which are written there again, one after each trial.
        store: the results folder of the trials' cells.
        data_root: folder of raw data, for data sets that are not in the cache; None for downloads.
        device: where test images are encoded.
        kinds: classes of methods that are not installed, by name.
        say: told of every record.
    """

    folder: Path
    store: ResultsStore
    data_root: Path | None
    device: torch.device
    kinds: Mapping[str, type[ContrastiveAnalysisMethod]]
    say: Callable[[str], None]
    _data: dict[str, _Data] = field(default_factory=dict, init=False)

    def run(self) -> Opened:
        """Fill in the test gaps that are not known; errors as `open_trials`."""
        records = read_tuning_records(self.folder)
        if not records:
            raise UserError(
                f"There are no tuning records below {self.folder}; name their folder with --records. `cabench tune` "
                "writes them once it has chosen."
            )
        done = Opened([], 0, [])
        for record in records:
            opened, count, closed = self._open(record)
            done = Opened([*done.records, opened], done.opened + count, [*done.closed, *closed])
            self.say(f"{record.dataset} / {record.method}: test gaps found now: {count}")
        return done

    def _open(self, record: TuningRecord) -> tuple[TuningRecord, int, list[str]]:
        """A record with its test gaps, how many of them are new, and why others are not known."""
        found: dict[str, float] = {}  # by key: equal trials share a cell
        count, closed = 0, []
        for trial in record.trials:
            outcome = trial.outcomes[0] if trial.outcomes else None
            if outcome is None or outcome.gap is None or outcome.test_gap is not None:
                continue
            try:
                if outcome.key not in found:
                    found[outcome.key] = self._test_gap(record, outcome)
            except Exception as error:  # whatever a method raises, the other trials can be opened
                closed.append(f"{record.dataset} / {record.method}, trial {trial.number}: {said(error)}")
                continue
            record = _with_test_gap(record, trial.number, found[outcome.key])
            record.write(self.folder)
            count += 1
        return record, count, closed

    def _test_gap(self, record: TuningRecord, outcome: Outcome) -> float:
        """The separation gap of a trial on the test split; the worst where its vectors there are not finite.

        Raises:
            UserError: for a cell, vectors, a fitted method or a data set that is not there any more, or has changed.
        """
        name = f"seed{outcome.seed}-{outcome.key[:8]}"
        cell = self.store.folder / f"{record.dataset}{SUFFIX}" / record.method / name
        if not cell.is_dir():
            raise UserError(f"its cell {cell} is not there; name the results folder of the trials with --trials.")
        stored = self.store.load_alone(cell / "record.json")
        if stored.key != outcome.key:
            raise UserError(f"{cell} holds another cell.")
        part, test = self._data_of(stored)
        train, _ = self.store.read_representations(stored, part)
        method = load_method(cell, self._kind(record.name))
        given = FittedRows.saved(cell).given(test)
        place = self.device if method.uses_device else CPU
        vectors = encode_split(method, given, part.whole.read_rows("test"), place)
        if not _is_finite(vectors):
            return WORST
        found = gap_of_vectors(train, vectors, part.info.attributes)
        assert found is not None  # methods have both spaces
        return found.gap.value

    def _kind(self, name: str) -> type[ContrastiveAnalysisMethod]:
        if name not in self.kinds and name not in plugins("methods"):
            raise UserError(f"the method {name!r} is not installed; name its file with --methods, such as mine.py.")
        return self.kinds.get(name) or method_class(name)

    def _data_of(self, stored: Record) -> _Data:
        content = stored.dataset["content_sha256"]
        if content not in self._data:
            part = recorded_provider(stored).obtain(self.data_root)
            if not isinstance(part, TuningFile):
                raise UserError("it is no trial: it was not computed on a part of the training split.")
            part.check_content()
            self._data[content] = _Data(part, part.whole.read("test"))
        return self._data[content]


def _named_kind(method: MethodLike) -> tuple[str, type[ContrastiveAnalysisMethod]]:
    """Name and class of a method that is not installed."""
    found = class_in_file(method) if isinstance(method, str) else method
    if found is None:
        raise UserError(
            f"{method} is no file of a method. Installed methods need not be named; name the files of others, such as "
            "mine.py."
        )
    return check_given(found), found if isinstance(found, type) else type(found)


def _with_test_gap(record: TuningRecord, number: int, gap: float) -> TuningRecord:
    trials = list(record.trials)
    first, *others = trials[number].outcomes
    trials[number] = replace(trials[number], outcomes=(replace(first, test_gap=gap), *others))
    return replace(record, trials=tuple(trials))


def _is_finite(vectors: EncodedSplit) -> bool:
    return all(np.isfinite(space).all() for part in vectors for space in part.spaces.values())
