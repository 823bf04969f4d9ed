"""A cell's files as they must be before they are copied: whole, in their place, of one cell, and none of them a link.

Whether the scores are right is not asked here, see `cabench.publication.cell_checks`.
"""

from __future__ import annotations

from pathlib import Path

import h5py

from cabench.data.dataset import SPACES
from cabench.data.layout import SPLITS
from cabench.errors import UserError
from cabench.evaluation.encoded import EVERYONE, EncodedPopulation, EncodedSplit
from cabench.experiment import contributions_file
from cabench.experiment.measuring import fingerprint
from cabench.experiment.record import Record
from cabench.experiment.representations_file import NAME as REPRESENTATIONS
from cabench.experiment.store import BESIDE, ResultsStore
from cabench.files.hdf5 import UNREADABLE, check_whole, reading_hdf5
from cabench.files.regular import plain


def verified(store: ResultsStore, path: Path) -> Record:
    """The record at a path below a results folder, with all in order.

    Raises:
        UserError: where it is not: a link, a record that cannot be read, stands in the folder of another cell or was
            changed, contributions or vectors that are damaged or belong to another cell.
    """
    check_no_links(path)
    record = store.load_in_its_folder(path)
    if record.key != record.computed_key():
        raise UserError(f"{path} was changed: its key is not that of its content.")
    if path.with_name(contributions_file.NAME).exists() and record.contributions is None:
        raise UserError(f"{path.with_name(contributions_file.NAME)} is damaged, or of another cell than {path}.")
    representations = path.with_name(REPRESENTATIONS)
    if representations.exists():
        _check_representations(representations, record)
    return record


def check_no_links(record: Path) -> None:
    """Refuse a record that is a link, stands in linked folders or beside linked files.

    Raises:
        UserError: naming the link.
    """
    for name in (record.name, *BESIDE):
        plain(record.with_name(name), below=record.parents[3])


def stored_fingerprint(path: Path) -> str:
    """The fingerprint of the vectors in a file, see `cabench.experiment.measuring.fingerprint`.

    Raises:
        UserError: for a file that is damaged.
    """
    try:
        with reading_hdf5(path) as stored:
            check_whole(stored)
            return _fingerprint(stored)
    except UNREADABLE as error:
        raise UserError(f"{path} is damaged ({error}).") from error


def _check_representations(path: Path, record: Record) -> None:
    """Refuse vectors of another cell.

    Their key is the record's; or that of the record's first evaluation, so that the vectors themselves must tell.
    """
    try:
        with reading_hdf5(path) as stored:
            check_whole(stored)
            is_same_data = stored.attrs["content_sha256"] == record.dataset["content_sha256"]
            if is_same_data and (stored.attrs["key"] == record.key or _fingerprint(stored) == record.vectors_sha256):
                return
    except UNREADABLE as error:
        raise UserError(f"{path} is damaged ({error}).") from error
    raise UserError(f"{path} holds vectors of another cell than the record beside it.")


def _fingerprint(stored: h5py.File) -> str:
    """Of the vectors in a file whose contents were checked."""
    splits = (
        EncodedSplit(
            *(
                EncodedPopulation({space: part[space][:] for space in SPACES if space in part}, {})
                for part in (stored[f"{split}/{population}"] for population in EVERYONE)
            )
        )
        for split in SPLITS
    )
    return fingerprint(*splits)
