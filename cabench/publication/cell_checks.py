"""The checks of one cell from elsewhere: what its record says against itself, and against what is installed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cabench import discovery
from cabench.data.builder import DatasetProvider
from cabench.data.file import DatasetFile
from cabench.errors import UserError
from cabench.evaluation.grouped import sampled
from cabench.experiment import contributions_file, representations_file
from cabench.experiment.identity import current_evaluation
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.experiment.verified import check_no_links, stored_fingerprint, verified
from cabench.files.regular import is_regular
from cabench.hardening.trial import lived_through, try_reading
from cabench.method import ContrastiveAnalysisMethod
from cabench.publication.data_here import DataHere
from cabench.publication.found import Verification
from cabench.publication.recomputing import recompute

SINGLE = 1e-5  # of sums that were kept in single precision: 4e-8 was met
_Class = TypeVar("_Class")


@dataclass(frozen=True)
class CellChecks:
    """Checks the cells of one folder.

    Attributes:
        store: the folder.
        data: the data sets that are here.
        tolerance: by how much a recomputed number may differ.
        found: where findings and notes go.
    """

    store: ResultsStore
    data: DataHere
    tolerance: float
    found: Verification

    @cached_property
    def is_tried(self) -> bool:
        """Whether another process could read all files of arrays; else each is tried by itself."""
        beside = (array for path in self.store.paths() for array in _arrays(path))
        return lived_through([array for array in beside if is_regular(array)])

    def check(self, path: Path) -> Record | None:
        """Check the cell of a record; without contributions; None for one whose files are not in order."""
        place = path.parent.relative_to(self.store.folder)
        self.found.cells += 1
        try:
            check_no_links(path)
            for array in () if self.is_tried else _arrays(path):
                try_reading(array)
            record = verified(self.store, path)
        except UserError as error:
            self.found.find(place, str(error))
            return None
        self.found.failed += record.status == "failed"
        for sentence in (*_against_installed(record), *_contributions(record)):
            self.found.find(place, sentence)
        self._note_versions(record)
        self._check_against_data(record, place)
        return record.with_contributions(None)  # those of all records would not fit into memory

    def _note_versions(self, record: Record) -> None:
        """Note what is older or newer than what is installed: such a record is right for its own versions alone."""
        for part in _parts(record):
            if part.installed is None:
                self.found.note(
                    f"The {part.called} is not installed, so that its version and settings were not checked."
                )
            elif not part.is_current:
                here = part.installed.version
                self.found.note(
                    f"The {part.called} has version {part.version} in records; here it is {here}: they are stale."
                )
        if record.evaluation != current_evaluation():
            self.found.note("Scores are of another evaluation than the one here, and were not checked.")
        if record.status == "ok" and record.read_contributions() is None:
            self.found.note("There are no contributions, so that reports cannot compare methods by test rows.")

    def _check_against_data(self, record: Record, place: Path) -> None:
        file = self.data.of(record)
        path = record.folder(self.store.folder) / representations_file.NAME
        if path.exists() and record.vectors_sha256 and stored_fingerprint(path) != record.vectors_sha256:
            self.found.find(place, "its vectors are not those that its record was made of.")
        elif isinstance(file, str):
            self.found.note(file)
        elif file.info.content_sha256 != record.dataset["content_sha256"]:
            self._say_other_content(record, file, place)
        elif path.exists() and record.status == "ok" and record.evaluation == current_evaluation():
            self._recompute(record, file, place)

    def _say_other_content(self, record: Record, file: DatasetFile, place: Path) -> None:
        label = record.dataset["label"]
        if file.info.builder_version != record.dataset["builder_version"]:
            self.found.note(f"The data set {label} is built by another version here; contents were not compared.")
            return
        told, here = record.dataset["content_sha256"][:8], file.info.content_sha256[:8]
        self.found.find(place, f"it is of data with the content {told}, but {label} has {here} here.")

    def _recompute(self, record: Record, file: DatasetFile, place: Path) -> None:
        try:
            compared = recompute(record, *self.store.read_representations(record, file), file)
        except (UserError, ValueError) as error:
            self.found.find(place, f"its vectors cannot be measured: {error}")
            return
        self.found.recomputed += 1
        self.found.equal += not (compared.unlike or compared.difference)
        self.found.farthest = max(self.found.farthest, compared.difference)
        if compared.unlike:
            self.found.find(place, f"its record has {compared.unlike}, when its vectors are measured here.")
        elif compared.difference > self.tolerance:
            self.found.find(
                place,
                f"{compared.place}: its vectors give another number here, by {compared.difference:.3g}; "
                f"{self.tolerance:g} is allowed.",
            )


def _arrays(record: Path) -> list[Path]:
    """Where a cell's files of arrays are, if it has them."""
    return [record.with_name(name) for name in (contributions_file.NAME, representations_file.NAME)]


class _Part(NamedTuple):
    """The data set or the method of a record.

    Attributes:
        called: kind and name.
        version: in the record.
        config: in the record.
        installed: the class here; None where it is not installed.
    """

    called: str
    version: int
    config: Mapping[str, Any]
    installed: type[DatasetProvider] | type[ContrastiveAnalysisMethod] | None

    @property
    def is_current(self) -> bool:
        """Whether the record is of the version that is installed."""
        return self.installed is not None and self.installed.version == self.version


def _parts(record: Record) -> list[_Part]:
    """Data set and method of a record; of vectors from elsewhere no method."""
    dataset, method = record.dataset, record.method
    known = _installed(discovery.dataset_class, dataset["name"])
    found = [_Part(f"data set {dataset['name']}", dataset["builder_version"], dataset["config"], known)]
    if not record.from_vectors:
        learned = _installed(discovery.method_class, method["name"])
        found.append(_Part(f"method {method['name']}", method["version"], method["config"], learned))
    return found


def _installed(load: Callable[[str], type[_Class]], name: str) -> type[_Class] | None:
    try:
        return load(name)
    except UserError:
        return None


def _against_installed(record: Record) -> Iterator[str]:
    """Settings that the installed method or data set of the same version does not allow, or would write otherwise."""
    for part in _parts(record):
        if part.installed is None or not part.is_current:
            continue
        try:
            config = part.installed.Config.from_mapping(part.config)
        except UserError as error:
            yield f"the {part.called} cannot be configured like this: {error}"
            continue
        if config.to_dict() != part.config:
            yield f"the configuration of the {part.called} is not complete, or not written as it is written here."


def _contributions(record: Record) -> Iterator[str]:
    """Contributions that are not of the rows that scores were taken of, or do not give their standard errors.

    They give them where every block is one group. Pooled rows give standard errors of 0.8 to 4.5 times those of single
    rows, which tells nothing.
    """
    table = record.read_contributions()
    for score, part in zip(record.scores, table.scores, strict=True) if table else ():
        called = f"its contributions to {score.metric} ({score.attribute}, {score.space})"
        if int(part.rows.sum()) != score.n_test:
            yield f"{called} are of {int(part.rows.sum())} rows, the score of {score.n_test}."
            continue
        if part.values is None:
            continue
        values = part.values.astype(np.float64)
        if abs(values.sum()) > SINGLE * max(1.0, float(np.abs(values).sum())):
            yield f"{called} do not sum to 0."
        elif score.standard_error is not None and int((part.rows > 0).sum()) == score.n_groups:
            given = float(np.sqrt(sampled(values, part.rows, part.strata).variance))
            if abs(given - score.standard_error) > SINGLE * max(1.0, score.standard_error):
                yield f"{called} give the standard error {given:.4g}, the score says {score.standard_error:.4g}."
