"""The data sets that records from elsewhere name, as far as they are here; each is looked for once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cabench.data.builder import DatasetProvider
from cabench.data.file import DatasetFile
from cabench.data.named_files import PATH, names_a_file
from cabench.data.tuning_split import SUFFIX
from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.experiment.recorded_data import recorded_provider
from cabench.experiment.request import OWN_IMAGES, OWN_TABLE
from cabench.files.json import canonical_json

Look = Callable[[DatasetProvider, Path | None], DatasetFile | None]


def find(provider: DatasetProvider, root: Path | None) -> DatasetFile | None:
    """A data set that is built already; see `DatasetProvider.find`."""
    return provider.find(root)


def obtain(provider: DatasetProvider, root: Path | None) -> DatasetFile | None:
    """A data set, built now where it is not yet; see `DatasetProvider.obtain`."""
    return provider.obtain(root)


@dataclass(frozen=True)
class DataHere:
    """Gives data sets of records.

    Attributes:
        root: the user's folder of raw data.
        look: how a data set is had, `find` or `obtain`.
        received: files that the user says are the sender's own data sets.
    """

    root: Path | None
    look: Look
    received: Sequence[Path] = ()
    _known: dict[str, DatasetFile | str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, record: Record) -> DatasetFile | str:
        """The data set of a record, checked against its own hash; or why there is none here, as a sentence.

        A path that a record names is never opened: it would be of the sender's choice.
        """
        asked = canonical_json(
            [record.dataset[key] for key in ("name", "config")]
            + [record.dataset.get("most_rows"), record.dataset.get("validation_of") is not None]
        )
        if asked not in self._known:
            self._known[asked] = self._look(record)
        return self._known[asked]

    def _look(self, record: Record) -> DatasetFile | str:
        called = f"The data set {record.dataset['label']}"
        try:
            mine = self._in_place_of_the_sender_s(record)
            if names_a_file(mine.dataset["config"]) and mine is record:
                return (
                    f"{called} is a file of the sender's, which is not opened; its content was not compared. Name the "
                    "file that you have of it with --data."
                )
            file = self.look(recorded_provider(mine), self.root)
            if file is None:
                return f"{called} is not built here, so that its content was not compared; --build builds it."
            file.check_content()
        except UserError as error:
            return f"{called} cannot be had here, so that its content was not compared: {error}"
        return file

    def _in_place_of_the_sender_s(self, record: Record) -> Record:
        """The record with the file of its data set's name among those received; the same where there is none."""
        config, label = record.dataset["config"], record.dataset["label"].removesuffix(SUFFIX)
        named = next((path for path in self.received if path.stem == label), None)
        if named is None or record.dataset["name"] not in (OWN_IMAGES, OWN_TABLE):
            return record
        mine = {**config, PATH: str(named.resolve())}
        return replace(record, dataset={**record.dataset, "config": mine})
