"""Measures finished cells anew from their vectors, without training: by a newer evaluation or a paper's protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import Timeout

from cabench.data.file import DatasetFile
from cabench.errors import UserError
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.protocols import PROTOCOLS, check_protocols, protocol_scores, protocols_of
from cabench.experiment.asked import note_renewed
from cabench.experiment.identity import evaluation_of
from cabench.experiment.keepsakes import keep_maps, keep_picture
from cabench.experiment.measuring import measure
from cabench.experiment.record import Record
from cabench.experiment.recorded_data import recorded_provider
from cabench.experiment.store import MAPS, PICTURE, ResultsStore

PATIENCE_S = 600.0  # for another process that evaluates the same record


@dataclass(frozen=True)
class Reevaluation:
    """Brings the records of one results folder up to date.

    Attributes:
        store: the results folder.
        data_root: the user's folder of raw data, for data sets that are not in the cache.
        protocols: names of papers' own protocols. Records of the data sets that these are for get their scores.
        say: told of every record that is renewed.
    """

    store: ResultsStore
    data_root: Path | None
    protocols: Sequence[str]
    say: Callable[[str], None]

    def bring_up_to_date(self, records: Sequence[Record]) -> tuple[list[Record], list[str]]:
        """Evaluate what is out of date or lacks a protocol, and write it.

        Returns:
            The records as they are now, and why some could not be evaluated; these stay as they were.

        Raises:
            UserError: for a protocol that does not exist or fits none of the data sets, before any work starts; when
                the results folder cannot be written to.
        """
        check_protocols(self.protocols, [record.dataset["name"] for record in records])
        files: dict[str, DatasetFile] = {}
        current, failures = [], []
        keys = {record.key: new for record in records if (new := record.renewed().key) != record.key}
        note_renewed(self.store.folder, keys)
        for number, record in enumerate(records, start=1):
            if self._is_current(record):
                current.append(record)
                continue
            try:
                content = record.dataset["content_sha256"]
                if content not in files:
                    files[content] = self._dataset(record)
                current.append(self._renew_alone(record, files[content]))
                self.say(f"[{number}/{len(records)}] {record.title}: evaluated")
            except Timeout:
                current.append(record)
                failures.append(f"{record.title}: another process works on its cell; evaluate again once it has ended.")
            except (UserError, ValueError) as error:  # ValueError: representations that are not finite
                current.append(record)
                failures.append(f"{record.title}: {error}")
            except OSError as error:
                raise UserError(f"{record.title} could not be saved in {self.store.folder}: {error}.") from error
        return current, failures

    def _is_current(self, record: Record) -> bool:
        wanted = protocols_of(record.dataset["name"], self.protocols)
        return record.status == "failed" or (_is_measured(record) and set(wanted) <= set(record.protocols))

    def _dataset(self, record: Record) -> DatasetFile:
        """The data set that a record was computed on."""
        file = recorded_provider(record).obtain(self.data_root)
        if file.info.content_sha256 != record.dataset["content_sha256"]:
            raise UserError("its data set would be built differently today; the cell must be computed again.")
        file.check_content()
        return file

    def _renew_alone(self, record: Record, file: DatasetFile) -> Record:
        """Renew a record, or take it as another process has renewed it meanwhile."""
        renewed = record.renewed()
        if self.store.has_record(record):
            with self.store.lock(record, PATIENCE_S):
                if self.store.has_record(record):
                    renewed = self._renew(self.store.load(record), file)
        # A run shows a cell under the profile that it asked for; what is kept is the one that it was computed under.
        return self.store.load(renewed).under(record.own_profile)

    def _renew(self, record: Record, file: DatasetFile) -> Record:
        train, test = self.store.read_representations(record, file)
        attributes = file.info.attributes
        renewed, names = record, protocols_of(file.info.name, self.protocols)
        if not _is_measured(record):
            measured, probe_s = measure(train, test, attributes)
            renewed = replace(
                record.renewed(),
                cost={**record.cost, "probe_s": probe_s},
                protocols={},
                **measured,
            )
            names += [name for name in record.protocols if name in PROTOCOLS and name not in names]
        added = {name: protocol_scores(name, file.info.name, train, test, attributes) for name in names}
        renewed = replace(renewed, protocols={**renewed.protocols, **added})
        renewed = replace(renewed, unmade=self._keep(record, file, test))
        # The record comes last: once it is there, nothing would make a file that is missing beside it.
        if renewed.key != record.key:
            self.store.move(record, renewed)
        else:
            self.store.replace_record(renewed)
        return renewed

    def _keep(self, record: Record, file: DatasetFile, test: EncodedSplit) -> dict[str, str]:
        """Write maps, and the picture where there is none. Gives what the cell lacks: see `Record.unmade`."""
        made_now = {MAPS} if self.store.has_picture(record) else {MAPS, PICTURE}
        unmade = {name: reason for name, reason in record.unmade.items() if name not in made_now}
        if PICTURE in made_now:
            unmade |= keep_picture(self.store, record, file.read("test"), test)
        return unmade | keep_maps(self.store, record, file.info.attributes, test)


def _is_measured(record: Record) -> bool:
    """Whether it holds what the evaluation as it is now gives, with what test rows add to the scores beside it."""
    is_whole = record.evaluation.get("only") == "gap" or record.read_contributions() is not None
    return record.evaluation == evaluation_of(record.dataset) and is_whole
