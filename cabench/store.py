"""The results folder: where cells keep their files, and what state each is in.

<results>/<data set label>/<method label>/seed<k>-<first 8 of key>/
    record.json           written last, whole or not at all; its presence means that the cell ended
    representations.h5    train and test representations of both populations
    pictures.png          of methods with a decoder: reconstructions, removals and swaps of test images; of others: the
                          images nearest to some in either space
    maps.json             principal components of both spaces, see `cabench.views.maps`
    checkpoint/           only while training
    log.jsonl             mean loss terms and throughput, one line an epoch
    .lock                 held by the process that works on the cell
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from cabench.atomic import replacing, write_text
from cabench.config import canonical_json
from cabench.dataset import SPACES
from cabench.dataset_file import SPLITS, DatasetFile, Split
from cabench.errors import UserError
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.experiment import Cell, evaluation
from cabench.record import Record

State = Literal["done", "stale", "failed", "running", "missing"]


@dataclass(frozen=True)
class ResultsStore:
    """The files below one results folder."""

    folder: Path

    def check_writable(self) -> None:
        """Make the folder and a file in it.

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

    def state(self, cell: Cell) -> State:
        """What has become of a cell: "stale" means that only a record of an older method version is there."""
        folder = cell.folder(self.folder)
        if (folder / "record.json").exists():
            return "done" if Record.load(folder / "record.json").status == "ok" else "failed"
        if (folder / ".lock").exists() and not self._is_free(folder):
            return "running"
        older = [Record.load(path) for path in folder.parent.glob(f"seed{cell.seed}-*/record.json")]
        return "stale" if any(is_stale(record, cell) for record in older) else "missing"

    def lock(self, cell: Cell) -> FileLock:
        """The lock that the process working on a cell holds; it is freed by the system when that process dies."""
        folder = cell.folder(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        # A second of patience: looking at a cell's state takes the lock for a moment.
        return FileLock(folder / ".lock", timeout=1)

    def load(self, cell: Cell) -> Record:
        """The record of a cell that ended."""
        return Record.load(cell.folder(self.folder) / "record.json")

    def records(self) -> list[Record]:
        """Every record below the folder, in the order of their paths."""
        return [Record.load(path) for path in sorted(self.folder.glob("*/*/seed*/record.json"))]

    def clear(self, cell: Cell) -> None:
        """Remove all that a cell left, so that it starts from nothing."""
        folder = cell.folder(self.folder)
        for name in ("record.json", "representations.h5", "pictures.png", "maps.json", "log.jsonl"):
            (folder / name).unlink(missing_ok=True)
        self.drop_checkpoint(cell)

    def drop_checkpoint(self, cell: Cell) -> None:
        """Remove a cell's checkpoint, where there is one."""
        shutil.rmtree(cell.folder(self.folder) / "checkpoint", ignore_errors=True)

    def write_record(self, cell: Cell, record: Record) -> None:
        """Write a cell's record, then remove its checkpoint."""
        self.replace_record(record)
        self.drop_checkpoint(cell)

    def replace_record(self, record: Record) -> None:
        """Write a record into the folder that its key names."""
        write_text(record.folder(self.folder) / "record.json", record.to_json())

    def move(self, record: Record, renewed: Record) -> None:
        """Put a renewed record of the same cell, and all other files of the cell, in place of the old one's.

        At every moment one of the two records is there; where both are, the old one is stale. A record that the cell
        has under the new key already, because it was computed again or a move was cut short, stays.
        """
        old, new = record.folder(self.folder), renewed.folder(self.folder)
        place = new / "record.json"
        if not (place.exists() and Record.load(place).status == "ok"):
            ignored = shutil.ignore_patterns("record.json", ".lock", ".*.tmp")
            shutil.copytree(old, new, dirs_exist_ok=True, ignore=ignored)
            self.replace_record(renewed)
        (old / "record.json").unlink()
        shutil.rmtree(old)

    def write_representations(self, cell: Cell, train: EncodedSplit, test: EncodedSplit) -> None:
        """Write /<split>/<population>/<space>, float32 (n, d), so that later probes need no training."""
        with (
            replacing(cell.folder(self.folder) / "representations.h5") as temporary,
            h5py.File(temporary, "w") as file,
        ):
            file.attrs.update(key=cell.key, content_sha256=cell.dataset.content_sha256)
            for split, encoded in zip(SPLITS, (train, test), strict=True):
                for population, part in encoded._asdict().items():
                    for space in SPACES:
                        values = part.spaces[space].astype(np.float32)
                        file.create_dataset(f"{split}/{population}/{space}", data=values)

    def read_representations(self, record: Record, file: DatasetFile) -> tuple[EncodedSplit, EncodedSplit]:
        """Training and test representations of a cell that ended, with the attributes of their images.

        Raises:
            UserError: when they were not kept, are damaged, or are of other images than the data set's.
        """
        path = record.folder(self.folder) / "representations.h5"
        if not path.exists():
            raise UserError(f"{path} was not kept: the cell must be computed again.")
        try:
            with h5py.File(path, "r") as stored:
                if stored.attrs["content_sha256"] != file.info.content_sha256:
                    raise ValueError("it is of another data set's images")
                train, test = (_read_split(stored, split, file.read_attributes(split)) for split in SPLITS)
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise UserError(f"{path} cannot be used ({error}); the cell must be computed again.") from error
        return train, test

    def write_views(self, owner: Cell | Record, pictures: Image.Image | None, maps: Mapping[str, object]) -> None:
        """Write what can be looked at: a grid of pictures, where one is given, and maps of both spaces."""
        folder = owner.folder(self.folder)
        if pictures is not None:
            with replacing(folder / "pictures.png") as temporary:
                pictures.save(temporary, format="png")
        write_text(folder / "maps.json", canonical_json(maps) + "\n")

    def has_pictures(self, record: Record) -> bool:
        """Whether a cell has a grid of pictures."""
        return (record.folder(self.folder) / "pictures.png").exists()

    def _is_free(self, folder: Path) -> bool:
        try:
            with FileLock(folder / ".lock", timeout=0):
                return True
        except Timeout:
            return False


def _read_split(stored: h5py.File, split: Split, attributes: Sequence[Mapping[str, np.ndarray]]) -> EncodedSplit:
    parts = []
    for population, values in zip(EncodedSplit._fields, attributes, strict=True):
        spaces = {space: stored[f"{split}/{population}/{space}"][:] for space in SPACES}
        rows = {len(vectors) for vectors in (*spaces.values(), *values.values())}
        if len(rows) != 1:
            raise ValueError(f"/{split}/{population} has other numbers of rows than the data set")
        parts.append(EncodedPopulation(spaces, values))
    return EncodedSplit(*parts)


def is_stale(record: Record, cell: Cell) -> bool:
    """Whether a record is what this cell was under another version of its method, data set builder or evaluation."""
    same = (
        record.method["label"] == cell.method_label
        and record.dataset["label"] == cell.dataset_label
        and record.seed == cell.seed
        and record.precision == cell.precision
        and record.profile == cell.profile
        and record.key != cell.key
    )
    return same and (
        record.method["version"] != cell.method.version
        or record.dataset["builder_version"] != cell.dataset.builder_version
        or record.evaluation != evaluation()
    )
