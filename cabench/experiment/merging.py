"""Puts results folders together: cells that ended elsewhere are copied into one folder, whole or not at all.

Nothing in a folder that is copied from is changed, and no link in it is followed. What is copied has been verified: its
key is that of its content, it stands in its own folder, and its contributions and vectors are its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import Timeout

from cabench.errors import UserError
from cabench.experiment.asked import Asked, note
from cabench.experiment.record import Record
from cabench.experiment.store import BESIDE, MAPS, PICTURE, ResultsStore
from cabench.experiment.verified import verified
from cabench.files.atomic import replacing, stamp
from cabench.files.bounds import LARGEST_PICTURE, LARGEST_TEXT, TooLargeError, check_size
from cabench.files.regular import open_regular

_LARGEST = {PICTURE: LARGEST_PICTURE, MAPS: LARGEST_TEXT, "log.jsonl": LARGEST_TEXT}


@dataclass
class Merged:
    """What became of the cells of the folders that were merged.

    Attributes:
        copied: how many were copied, over failed ones too.
        equal: how many were there already, with the same scores or failed like these.
        conflicts: sentences on cells that were there with other scores, and stayed.
        refused: sentences on what is damaged, or is not what its place says.
        left_out: sentences on what else was not copied: cells being computed, failed ones of which the target is done.
        unreported: sentences on records that are missing in the target's report.
    """

    copied: int = 0
    equal: int = 0
    conflicts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    unreported: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.copied} cells copied, {self.equal} there already, {len(self.conflicts)} in conflict, "
            f"{len(self.refused)} refused, {len(self.left_out)} left out."
        )


def merge_stores(sources: Sequence[ResultsStore], target: ResultsStore) -> Merged:
    """Copy every cell that ended in one of some folders, and is not there yet or failed there, into another folder.

    Args:
        sources: the folders; of two that conflict, the first counts.
        target: the folder to copy into; it is made.

    Raises:
        UserError: for a folder that is not there, holds no records or is the target, and for a target that cannot be
            written to.
        StorageError: when the target can no longer be written to. What was copied so far is whole.
    """
    for source in sources:
        _check_source(source, target)
    target.check_writable()
    merged = Merged()
    for source in sources:
        for path in source.paths():
            _merge_cell(source, path, target, merged)
        merged.left_out += [f"{folder} is being computed." for folder in under_way(source)]
        try:
            note(target.folder, Asked.read(source.folder).by_place.values())
        except UserError as error:
            merged.refused.append(str(error))
    return merged


def _check_source(source: ResultsStore, target: ResultsStore) -> None:
    folder = source.folder
    if not folder.is_dir():
        raise UserError(f"There is no results folder {folder}; `cabench merge` takes folders that hold records.")
    if target.folder.exists() and folder.samefile(target.folder):
        raise UserError(f"{folder} is the folder to merge into; name others, and this one with --results.")
    source.locks  # noqa: B018 - which cannot be known where the folder's settings cannot be read
    if not source.paths():
        raise UserError(f"{folder} holds no records; name results folders, such as results/runs.")


def under_way(source: ResultsStore) -> Iterator[Path]:
    """Folders of cells that have no record, and that a process works on."""
    for folder in sorted(source.folder.glob("*/*/seed*")):
        if not (folder / "record.json").exists() and source.is_worked_in(folder):
            yield folder


def _merge_cell(source: ResultsStore, path: Path, target: ResultsStore, merged: Merged) -> None:
    if source.is_worked_in(path.parent):
        merged.left_out.append(f"{path.parent} is being computed.")
        return
    try:
        before = stamp(path)
        record = verified(source, path)
        with target.lock(record):
            if _is_wanted(record, path, target, merged):
                _copy(path.parent, record.folder(target.folder), before)
                target.drop_checkpoint(record)
                merged.copied += 1
    except UserError as error:
        merged.refused.append(str(error))
    except Timeout:
        merged.left_out.append(f"{record.folder(target.folder)} is being computed.")


def _is_wanted(record: Record, path: Path, target: ResultsStore, merged: Merged) -> bool:
    """Whether a record of another folder shall come into the target. Where not, what is there stays, and is noted."""
    if not target.has_record(record):
        return True
    there = target.load(record)
    if there.status == "failed" and record.status == "ok":
        return True
    if there.status == "ok" and record.status == "failed":
        merged.left_out.append(f"{path} tells of a failure; in {target.folder} its cell is done.")
    elif _result(there) == _result(record):
        merged.equal += 1
    else:
        place = there.folder(target.folder) / "record.json"
        merged.conflicts.append(f"{path} has other scores than {place}, which stays.")
    return False


def _result(record: Record) -> object:
    return record.scores, record.separation_gap, record.unmeasured


def _copy(source: Path, target: Path, before: str | None) -> None:
    """Copy a cell's files, its record last.

    Args:
        source: the cell's folder.
        target: where to copy to; it exists, and its lock is held.
        before: the stamp of the record that was verified.

    Raises:
        UserError: when the record was replaced or removed meanwhile, or a file cannot be read.
        StorageError: when the target cannot be written to.
    """
    for name in BESIDE:
        if (source / name).exists():
            _check_length(source / name)
            _copy_file(source / name, target / name)
        else:
            (target / name).unlink(missing_ok=True)
    if stamp(source / "record.json") != before:
        raise UserError(f"{source} changed while it was copied; merge again once nobody works in it.")
    _copy_file(source / "record.json", target / "record.json")


def _check_length(path: Path) -> None:
    """Refuse a text or picture that no report would read. Vectors and models may be of any length."""
    try:
        if path.name in _LARGEST:
            check_size(path, _LARGEST[path.name])
    except (OSError, TooLargeError) as error:
        raise UserError(f"{path} cannot be copied ({error}); remove it, and merge again.") from error


def _copy_file(source: Path, target: Path) -> None:
    with open_regular(source) as file, replacing(target) as temporary, temporary.open("wb") as copy:
        shutil.copyfileobj(file, copy)
