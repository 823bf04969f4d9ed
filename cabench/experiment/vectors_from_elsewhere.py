"""Vectors that were computed elsewhere: read, checked, scored and recorded like those of a method that was run here."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from filelock import Timeout

from cabench import discovery
from cabench.data.dataset import SPACES
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS, Split
from cabench.discovery import ALL
from cabench.errors import UserError, unknown
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.vectors import Vectors, check_alike
from cabench.experiment.identity import Identity, MethodEntry, identify
from cabench.experiment.keepsakes import keep_maps, keep_picture
from cabench.experiment.measuring import keep_and_measure
from cabench.experiment.provenance import now, provenance
from cabench.experiment.record import Record
from cabench.experiment.request import seed_list
from cabench.experiment.store import ResultsStore
from cabench.files.bounds import most_unpacked
from cabench.files.names import NAME_LETTERS, is_name
from cabench.files.npz import stored_arrays
from cabench.profiles import Profile

CONTENT = "content_sha256"
ARRAYS = tuple(f"{split}_{space}" for split in SPLITS for space in SPACES)
"""The names of the arrays: train_common, train_salient, test_common, test_salient."""
_WRITE = f"write one with numpy.savez and the arrays {', '.join(ARRAYS)}, one row an example"
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error)


def read_vectors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name.

    Raises:
        UserError: when it is missing or no .npz file of plain arrays.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; {_WRITE}.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no .npz file, or damaged; {_WRITE}.")
    declared, most = sum(array.nbytes for array in stored_arrays(path).values()), most_unpacked(path.stat().st_size)
    if declared > most:
        raise UserError(f"{path} unpacks to {declared:,} bytes, of {most:,} that are allowed; {_WRITE}.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except _UNREADABLE as error:
        raise UserError(f"{path} is no .npz file of numbers alone, or damaged; {_WRITE}.") from error


def encoded(vectors: Mapping[str, np.ndarray], data: DatasetFile) -> tuple[EncodedSplit, EncodedSplit]:
    """Vectors of the train and the test split, joined to the attributes of their images.

    Args:
        vectors: float (n, d) by `ARRAYS`, one row an image, background images first; both splits of one space or of
            both. They are rounded to float32. Under `CONTENT` the content hash of the data that was encoded.
        data: the data set.

    Raises:
        UserError: saying what is missing, of another number, shape or kind, or was computed on other data.
    """
    for name in vectors:
        if name not in (*ARRAYS, CONTENT):
            raise unknown("array of vectors", name, (*ARRAYS, CONTENT))
    _check_content(vectors, data)
    train, test = (_split(vectors, split, data) for split in SPLITS)
    check_alike(train, test)
    return train, test


def score_vectors(
    vectors: Mapping[str, np.ndarray],
    data: DatasetFile,
    dataset_label: str,
    name: str,
    seed: int,
    profile: Profile,
    store: ResultsStore,
    force: bool = False,
) -> Record:
    """Score vectors and write the record, with the vectors and maps of both spaces, into a results folder.

    Args:
        vectors: as `encoded` takes them.
        data: the data set that they are of.
        dataset_label: its name in tables.
        name: what tables call the vectors.
        seed: of the training that they come from, from 0.
        profile: the section of tables that the record stands in.
        store: the results folder.
        force: replace a record of other vectors.

    Raises:
        UserError: for vectors or a name that cannot be, and where a record of other vectors is in the place.
    """
    (seed,) = seed_list([seed])
    train, test = encoded(vectors, data)
    entry: MethodEntry = {
        "name": name,
        "label": name,
        "version": 1,
        "config": {"vectors_sha256": _fingerprint(vectors)},
        "origin": "vectors",
    }
    cell = identify(entry, data.info, dataset_label, profile.name, seed, "fp32")
    try:
        with store.lock(cell):
            if store.state(cell) == "done":
                return store.load(cell)
            _check_new(cell, store)
            others = [other for other in store.readable_records()[0] if other.is_same_but_for_its_method(cell)]
            if others and not force:
                raise UserError(
                    f"{cell.title} has a record of other vectors; choose another name or seed, or use --force."
                )
            record = _record(cell, train, test, data, profile, store)
            for other in others:
                store.clear(other)
            return record
    except Timeout as error:
        raise UserError(f"Another process is scoring {cell.title}; try again when it has ended.") from error


def check_name(name: str, profile: Profile) -> None:
    """Refuse a name under which the vectors could not stand in a table.

    Raises:
        UserError: saying which name to choose.
    """
    if not is_name(name) or name == ALL:
        raise UserError(f"{name!r} cannot be a name in tables; use {NAME_LETTERS}.")
    if name in discovery.plugins("methods") or name in profile.method_variants:
        raise UserError(f"{name!r} is the name of a method here; choose another for vectors from elsewhere.")


def _check_new(cell: Identity, store: ResultsStore) -> None:
    """Refuse the vectors of another seed: equal records would pass for seeds that agree."""
    for other in store.readable_records()[0]:
        if other.method == cell.method and other.key != cell.key and other.seed != cell.seed:
            raise UserError(
                f"These are the vectors of {other.title}; give each seed the vectors of its own training, and score "
                "vectors that do not depend on a seed once."
            )


def _record(
    cell: Identity, train: EncodedSplit, test: EncodedSplit, data: DatasetFile, profile: Profile, store: ResultsStore
) -> Record:
    started = now()
    measured, probe_s = keep_and_measure(store, cell, data, train, test)
    unmade = keep_picture(store, cell, data.read("test"), test)
    record = Record.of(
        cell,
        "ok",
        unmade=unmade | keep_maps(store, cell, data.info.attributes, test),
        cost={"train_s": 0.0, "probe_s": probe_s, "images_seen": 0, "parameters": 0},
        provenance=provenance(torch.device("cpu"), started, profile.entry_on(cell.dataset["label"])),
        error=None,
        **measured,
    )
    store.write_record(record)
    return record


def _check_content(vectors: Mapping[str, np.ndarray], data: DatasetFile) -> None:
    wanted = data.info.content_sha256
    if CONTENT not in vectors:
        raise UserError(
            f"The vectors do not say which data they are of; add {CONTENT}, which `cabench.load_dataset` gives beside "
            f"the images ({wanted[:8]}... for {data.info.called} as it is here)."
        )
    given = str(np.asarray(vectors[CONTENT]).item()) if np.asarray(vectors[CONTENT]).size == 1 else ""
    if given != wanted and given and wanted.startswith(given):
        raise UserError(f"{CONTENT} is cut short; give all 64 digits, which `cabench data info` prints: {wanted}.")
    if given != wanted:
        raise UserError(
            f"The vectors are of data with the content {given[:8] or 'of no hash'}, but {data.info.called} here "
            f"has {wanted[:8]}; encode the images that `cabench.load_dataset` gives with this profile and these fields."
        )


def _split(vectors: Mapping[str, np.ndarray], split: Split, data: DatasetFile) -> EncodedSplit:
    counts = data.info.counts[split]
    given = {space: vectors[f"{split}_{space}"] for space in SPACES if f"{split}_{space}" in vectors}
    for space, array in given.items():
        _check_count(f"{split}_{space}", np.asarray(array), split, data)
    background, target = data.read_attributes(split)
    values = {name: np.concatenate([background[name], target[name]]) for name in background}
    is_target = np.repeat([False, True], [counts["background"], counts["target"]])
    groups = np.concatenate([rows.groups for rows in data.read_rows(split)])
    checked = Vectors(is_target, values, given.get("common"), given.get("salient"), groups)
    return checked.encoded(data.info.attributes, split)


def _check_count(name: str, array: np.ndarray, split: Split, data: DatasetFile) -> None:
    """Refuse a matrix with another number of rows than there are images, with what may have happened."""
    counts = data.info.counts
    wanted = sum(counts[split].values())
    if array.ndim != 2 or len(array) == wanted:
        return
    (other,) = (each for each in SPLITS if each != split)
    hint = "give one row an image, background images first"
    if len(array) == sum(counts[other].values()):
        hint = f"that is what the {other} split has; are the splits exchanged?"
    elif len(array) in counts[split].values():
        hint = "that is one population alone; put background and target images behind each other"
    raise UserError(f"{name} has {len(array)} rows, but the {split} split {wanted} images; {hint}.")


def _fingerprint(vectors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the vectors, as they are stored."""
    result = hashlib.sha256()
    for name in ARRAYS:
        if name in vectors:
            array = np.ascontiguousarray(vectors[name], dtype=np.float32)
            result.update(f"{name} {array.shape}".encode())
            result.update(array.tobytes())
    return result.hexdigest()
