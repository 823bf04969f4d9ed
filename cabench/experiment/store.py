"""The results folder: where cells keep their files, and what state each is in.

<results>/<data set label>/<method label>/seed<k>-<first 8 of key>/
    record.json           written last, whole or not at all; its presence means that the cell ended
    contributions.h5      what blocks of test rows add to its scores, see `cabench.experiment.contributions_file`
    representations.h5    train and test representations of both populations
    model.safetensors     the fitted method, see `cabench.saving`
    pictures.png          of methods with a decoder: reconstructions, removals and swaps of test images; of others: the
                          images nearest to some in either space
    maps.json             principal components of both spaces, see `cabench.pictures.maps.maps`
    checkpoint/           only while training
    *.damaged             a record or checkpoint that could not be used and was set aside
    log.jsonl             mean loss terms and throughput, one line an epoch
    .lock, .lock.lease    of the process that works on the cell, see `cabench.experiment.locks`
    .begun                while a process works on the cell, see `cabench.hardening.deaths`
<results>/report.md       tables of all records
<results>/profiles.json   which cells each profile has asked for, see `cabench.experiment.asked`
<results>/locks.toml      where flock does not reach all machines: how they lock, see `cabench.experiment.locks`

Processes on one machine or on several share a folder through the locks: one at a time works on a cell, and what a dead
one began is taken over. Nothing here depends on the time of day.

Nothing but plain files and folders is read or written, see `cabench.files.regular`. A cell in a linked folder is
refused; a link in place of one of these files is replaced, removed or refused, never followed.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

from cabench.data.file import DatasetFile, Rows
from cabench.data.layout import Split
from cabench.errors import UserError
from cabench.evaluation.encoded import EncodedSplit
from cabench.experiment import asked, contributions_file, representations_file
from cabench.experiment.identity import Identity
from cabench.experiment.locks import Locks, locks_of
from cabench.experiment.record import Record
from cabench.experiment.record_files import load_whole, load_with_stored, read_all
from cabench.experiment.report_sign import is_signed, sign_of, write_sign
from cabench.experiment.statuses import Statuses
from cabench.experiment.without_collecting import without_collecting
from cabench.files.atomic import (
    remove_all_left_behind,
    remove_left_behind,
    replacing,
    stamp,
    storing,
    write_text,
)
from cabench.files.json import canonical_json
from cabench.files.regular import plain, remove_links
from cabench.hardening.deaths import worker_at
from cabench.saving import MODEL

PICTURE, MAPS = "pictures.png", "maps.json"
BESIDE = (contributions_file.NAME, representations_file.NAME, MODEL, PICTURE, MAPS, "log.jsonl")  # the record
LOCK, REPORT_LOCK = ".lock", ".report.lock"
REPORT_PATIENCE_S = 600.0
State = Literal["done", "stale", "failed", "damaged", "running", "missing"]


@dataclass(frozen=True)
class ResultsStore:
    """The files below one results folder.

    Attributes:
        folder: where they are.
        _statuses: of records that were read.
    """

    folder: Path
    _statuses: Statuses = field(default_factory=Statuses, init=False, repr=False, compare=False)

    @property
    def locks(self) -> Locks:
        """How processes that share the folder lock its cells."""
        return locks_of(self.folder)

    def check_writable(self) -> None:
        """Make the folder and a file in it, and see what locks it has.

        Raises:
            UserError: when that is not possible.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(b"cabench")
        except OSError as error:
            raise UserError(
                f"The results folder {self.folder} cannot be written to ({error}); choose another with --results."
            ) from error
        locks_of(self.folder)

    def state(self, cell: Identity) -> State:
        """What has become of a cell.

        "stale" means that only a record of an older version is there, "damaged" that its record cannot be read.
        """
        folder = cell.folder(self.folder)  # once: it looks at the disk, and plans ask for thousands of states
        record = folder / "record.json"
        if record.exists():
            try:
                return "done" if self._statuses.of(record) == "ok" else "failed"
            except UserError:
                return "damaged"
        if self.is_worked_in(folder):
            return "running"
        older, _ = read_all(folder.parent.glob(f"seed{cell.seed}-*/record.json"), self.load_alone)
        return "stale" if any(record.is_stale_form_of(cell) for record in older) else "missing"

    def read_ahead(self, cells: Iterable[Identity]) -> None:
        """Read the records of many cells whose states are asked for next, which takes less time than one by one.

        Raises:
            UserError: where a process that read some died.
        """
        self._statuses.read_ahead(cell.folder(self.folder) / "record.json" for cell in cells)

    def is_held(self, cell: Identity) -> bool:
        """Whether a process works on a cell, or looks at its state just now."""
        return self.is_worked_in(cell.folder(self.folder))

    def is_worked_in(self, folder: Path) -> bool:
        """Whether a process works on the cell of a folder. In a linked one nobody does."""
        locks = self.locks
        with suppress(UserError):
            return locks.is_held(plain(folder, below=self.folder) / LOCK)
        return False

    def worker(self, cell: Identity) -> str | None:
        """The process that works on a cell which is being computed, and its machine; None where it is not known."""
        return worker_at(cell.folder(self.folder))

    @contextmanager
    def lock(self, cell: Identity, patience_s: float = 1.0) -> Iterator[None]:
        """Hold the lock of the process that works on a cell. What killed processes left half-written is removed.

        Args:
            cell: the cell.
            patience_s: how long to wait for another process; looking at a cell's state takes the lock for a moment.

        Raises:
            filelock.Timeout: when another process holds it, or has taken it over meanwhile; `check_present` tells.
            UserError: when the folder's file system, or what it says of its locks, allows none.
            OSError: when there can be no lock.
        """
        folder = cell.folder(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = folder / "checkpoint"
        with self.locks.hold(plain(folder / LOCK, below=self.folder), patience_s):
            if checkpoint.is_symlink():
                checkpoint.unlink()
            remove_all_left_behind(folder)
            remove_all_left_behind(checkpoint)
            yield

    def check_present(self, cell: Identity) -> None:
        """Make sure that a cell which is being computed is still this process's own.

        Raises:
            StorageError: when its folder was removed, or its lock taken over: other processes may compute it as well.
        """
        self.locks.check_held(cell.folder(self.folder) / LOCK)

    def has_record(self, cell: Identity) -> bool:
        """Whether a cell has a record."""
        return (cell.folder(self.folder) / "record.json").exists()

    def load(self, cell: Identity) -> Record:
        """The stored record of a cell that ended, with the contributions beside it.

        Raises:
            UserError: when it cannot be read.
        """
        return load_whole(cell.folder(self.folder) / "record.json")

    def records(self) -> list[Record]:
        """Every record below the folder, in the order of their paths.

        Raises:
            UserError: for a record that cannot be read, or that stands in the folder of another cell: what is done to
                its files would be done to that cell's.
        """
        return [self.load_in_its_folder(path) for path in self.paths()]

    @without_collecting()
    def readable_records(self, paths: Sequence[Path] | None = None) -> tuple[list[Record], list[str]]:
        """Every record below the folder that can be read, in the order of their paths, and why others cannot.

        Contributions are read when they are asked for, see `Record.read_contributions`.

        Args:
            paths: some of `paths()`; None for all.
        """
        paths = self.paths() if paths is None else paths
        return read_all(paths, lambda path: self._in_its_folder(path, load_with_stored))

    def shown_records(self) -> tuple[list[Record], list[str]]:
        """As `readable_records`; those of cells that several profiles have asked for come once under each."""
        records, reasons = self.readable_records()
        noted, damaged = asked.read_asked(self.folder)
        return noted.shown(records), [*damaged, *reasons]

    @without_collecting()
    def records_beside(self, cells: Iterable[Identity]) -> list[Record]:
        """Every record that can be read of the methods and data sets of some cells, without contributions."""
        one_each = {cell.folder(self.folder).parent: cell for cell in cells}.values()
        return read_all((path for cell in one_each for path in self.paths_beside(cell)), self.load_alone)[0]

    def paths_beside(self, cell: Identity) -> list[Path]:
        """Of every record of a cell's method and data set, in order."""
        return sorted(cell.folder(self.folder).parent.glob("seed*/record.json"))

    def load_alone(self, path: Path) -> Record:
        """The record at a path below the folder, without contributions; errors as of `load_in_its_folder`."""
        return self._in_its_folder(path, Record.load)

    def load_in_its_folder(self, path: Path) -> Record:
        """The record at a path below the folder, with the contributions beside it.

        Raises:
            UserError: when it cannot be read, or stands in the folder of another cell.
        """
        return self._in_its_folder(path, load_whole)

    @without_collecting()
    def write_report(self, tables: Callable[[list[Record]], str]) -> list[str]:
        """Write `report.md`, tables of every record that can be read; gives why others cannot.

        Where nothing has changed since it was written it is left as it is.

        Raises:
            UserError: when it cannot be written.
        """
        try:
            # Of two processes that end at once, the second to write has read what the first one did.
            with self.locks.hold(plain(self.folder / REPORT_LOCK, below=self.folder), REPORT_PATIENCE_S):
                report = self.folder / "report.md"
                remove_left_behind(report)
                # Before the records are read: what is written meanwhile changes it.
                sign = sign_of([*self.paths(), self.folder / asked.NAME])
                if is_signed(report, sign):
                    return []
                records, reasons = self.shown_records()
                write_text(report, tables(records))
                if not reasons:  # what cannot be read is said each time
                    write_sign(report, sign)
        except OSError as error:
            raise UserError(f"The report could not be written to {self.folder}: {error}.") from error
        return reasons

    def paths(self) -> list[Path]:
        """Of every record below the folder, in order."""
        return sorted(self.folder.glob("*/*/seed*/record.json"))

    def stamp(self, cell: Identity) -> str | None:
        """A text that changes whenever a cell's record is written; None where it has none."""
        return stamp(cell.folder(self.folder) / "record.json")

    def set_aside(self, cell: Identity) -> Path:
        """Give a record that cannot be read another name, under which nobody looks for it."""
        path = cell.folder(self.folder) / "record.json"
        with storing():
            return path.replace(path.with_suffix(".damaged"))

    def clear(self, cell: Identity) -> None:
        """Remove all that a cell left, the record first, so that it starts from nothing."""
        folder = cell.folder(self.folder)
        with storing():
            for name in ("record.json", *BESIDE):
                (folder / name).unlink(missing_ok=True)
        self.drop_checkpoint(cell)

    def drop_checkpoint(self, cell: Identity) -> None:
        """Remove a cell's checkpoint, where there is one."""
        checkpoint = cell.folder(self.folder) / "checkpoint"
        if checkpoint.is_dir() and not checkpoint.is_symlink():
            shutil.rmtree(checkpoint, ignore_errors=True)
        with suppress(OSError):  # rmtree would wait for a pipe
            checkpoint.unlink()

    def write_record(self, record: Record) -> None:
        """Write the record of a cell, then remove the cell's checkpoint."""
        self.replace_record(record)
        self.drop_checkpoint(record)

    def replace_record(self, record: Record) -> None:
        """Write a record into the folder that its key names, its contributions first."""
        if (contributions := record.read_contributions()) is not None:
            path = record.folder(self.folder) / contributions_file.NAME
            contributions_file.write_contributions(path, record.key, contributions)
        write_text(record.folder(self.folder) / "record.json", record.to_json())

    def move(self, record: Record, renewed: Record) -> None:
        """Replace a record by a renewed one of the same cell, and move the cell's other files with it.

        At every moment one of the two records is there; where both are, the old one is stale. A record that the cell
        has under the new key already, because it was computed again or a move was cut short, stays.

        Raises:
            filelock.Timeout: when another process works on the cell under its new key.
        """
        old, new = record.folder(self.folder), renewed.folder(self.folder)
        with self.lock(renewed):
            if not self._is_ok(renewed):
                remove_links(new)
                ignored = shutil.ignore_patterns("record.json", f"{LOCK}*", ".begun", ".*.tmp")
                shutil.copytree(old, new, symlinks=True, ignore=ignored, copy_function=_put, dirs_exist_ok=True)
                self.replace_record(renewed)
                shutil.copymode(old / "record.json", new / "record.json")
            (old / "record.json").unlink()
        shutil.rmtree(old)

    def write_representations(
        self, cell: Identity, train: EncodedSplit, test: EncodedSplit, rows: Mapping[Split, Sequence[Rows]]
    ) -> None:
        """Write the vectors of a cell, see `representations_file`."""
        path = cell.folder(self.folder) / representations_file.NAME
        representations_file.write_representations(path, cell, train, test, rows)

    def read_representations(self, record: Record, file: DatasetFile) -> tuple[EncodedSplit, EncodedSplit]:
        """The vectors of a cell that ended, see `representations_file`."""
        path = record.folder(self.folder) / representations_file.NAME
        return representations_file.read_representations(path, record, file)

    def write_picture(self, cell: Identity, picture: Image.Image) -> None:
        """Write a grid of images.

        Raises:
            StorageError: when that is not possible.
            OSError, ValueError, SystemError: as Pillow does, for a picture that no PNG file can hold.
        """
        content = io.BytesIO()
        picture.save(content, format="png")
        with replacing(cell.folder(self.folder) / PICTURE) as temporary:
            temporary.write_bytes(content.getvalue())

    def write_maps(self, cell: Identity, maps: Mapping[str, object]) -> None:
        """Write maps of both spaces.

        Raises:
            StorageError: when that is not possible.
            ValueError: for values that JSON has no words for.
        """
        write_text(cell.folder(self.folder) / MAPS, canonical_json(maps) + "\n")

    def has_picture(self, record: Record) -> bool:
        """Whether a cell has a grid of images."""
        return (record.folder(self.folder) / PICTURE).exists()

    def _is_ok(self, cell: Identity) -> bool:
        try:
            return self.has_record(cell) and self.load(cell).status == "ok"
        except UserError:
            return False

    def _in_its_folder(self, path: Path, load: Callable[[Path], Record]) -> Record:
        record = self._statuses.load(plain(path, below=self.folder), load)
        own = record.folder(self.folder)
        if own != path.parent:
            raise UserError(f"{path} is the record of another cell; move it, with the files beside it, to {own}.")
        return record


def _put(source: str, place: str) -> None:
    """Copy a file to a place, and not to where a link in that place leads."""
    Path(place).unlink(missing_ok=True)
    shutil.copy2(source, place)
