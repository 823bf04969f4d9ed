"""Measures what trials may be judged by, of the cells that a results folder keeps; see `cabench.tuning.criteria`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from threadpoolctl import threadpool_limits

from cabench.data.file import DatasetFile
from cabench.errors import UserError
from cabench.evaluation.encoded import EncodedSplit
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.experiment.training_log import losses
from cabench.tuning.criteria import (
    APART,
    FEW_LABELS,
    LOSS,
    SALIENT_RANK,
    STABLE,
    TOLD,
    apart,
    effective_rank,
    stability,
    told,
)
from cabench.tuning.few_labels import few_labels_gap

_OfVectors = Callable[[EncodedSplit, EncodedSplit, DatasetFile, Record], float | None]
_OF_VECTORS: Mapping[str, _OfVectors] = {
    FEW_LABELS: lambda train, held_out, file, record: few_labels_gap(held_out, file.info.attributes, record.scores),
    APART: lambda train, held_out, file, record: apart(train, held_out),
    SALIENT_RANK: lambda train, held_out, file, record: effective_rank(held_out.target.vectors("salient")),
}
EVERY = (TOLD, LOSS, *_OF_VECTORS, STABLE)
"""All criteria."""


@dataclass(frozen=True)
class Judge:
    """Measures trials, each criterion of a cell once.

    Attributes:
        store: the folder of the trials' cells.
        unread: by key of a cell, why its vectors cannot be read; what needs them is not known.
    """

    store: ResultsStore
    unread: dict[str, str] = field(default_factory=dict, init=False)
    _found: dict[tuple[str, str], float | None] = field(default_factory=dict, init=False, repr=False)

    def criteria(self, file: DatasetFile, records: Sequence[Record], names: Collection[str]) -> list[dict[str, float]]:
        """What one trial is judged by under each of its seeds, in their order; what is not known is left out.

        Args:
            file: the data set of the trials.
            records: of the trial, one a seed; of a failed one nothing is known.
            names: of the criteria.
        """
        ended = [record for record in records if record.status == "ok"]
        found: dict[str, dict[str, float | None]] = {record.key: {} for record in records}
        with threadpool_limits(limits=1):  # as in an evaluation
            for record in ended:
                self._measure(file, record, names)
                found[record.key] = {name: self._found[record.key, name] for name in names if name != STABLE}
            if STABLE in names and len(ended) > 1:
                for key, value in self._stable(file, ended).items():
                    found[key][STABLE] = value
        return [{n: value for n, value in found[record.key].items() if value is not None} for record in records]

    def _measure(self, file: DatasetFile, record: Record, names: Collection[str]) -> None:
        """Measure what one cell alone tells, as far as that is not known."""
        new = [name for name in names if name != STABLE and (record.key, name) not in self._found]
        vectors = self._read(file, record) if any(name in _OF_VECTORS for name in new) else None
        for name in new:
            self._found[record.key, name] = self._alone(name, file, record, vectors)

    def _alone(
        self, name: str, file: DatasetFile, record: Record, vectors: tuple[EncodedSplit, EncodedSplit] | None
    ) -> float | None:
        if name == TOLD:
            return told(record.scores)
        if name == LOSS:
            logged = losses(record.folder(self.store.folder))
            return logged[-1] if logged else None
        return None if vectors is None else _OF_VECTORS[name](*vectors, file, record)

    def _stable(self, file: DatasetFile, records: Sequence[Record]) -> dict[str, float | None]:
        """What the seeds of one trial tell of each other, by key."""
        read = {record.key: vectors for record in records if (vectors := self._read(file, record)) is not None}
        return dict(zip(read, stability(list(read.values())), strict=True))

    def _read(self, file: DatasetFile, record: Record) -> tuple[EncodedSplit, EncodedSplit] | None:
        try:
            return self.store.read_representations(record, file)
        except UserError as error:
            self.unread[record.key] = str(error)
            return None
