"""From a cell's vectors to what its record says of them, for fitted methods and vectors from elsewhere alike."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.evaluation.encoded import EncodedSplit
from cabench.evaluation.evaluate import evaluate
from cabench.evaluation.gap import separation
from cabench.evaluation.gap_alone import gap_terms
from cabench.experiment.identity import Identity
from cabench.experiment.store import ResultsStore


def measure(train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]) -> tuple[dict[str, Any], float]:
    """Measure the vectors of one cell.

    Args:
        train: what probes are fitted on.
        test: what they are scored on.
        attributes: of the data set.

    Returns:
        The fields of a `Record` that tell what was measured, and the seconds that it took. There is no separation gap
        where one space is missing.

    Raises:
        ValueError: when a vector is not finite, or nothing can be probed.
    """
    started = time.monotonic()
    measured = evaluate(train, test, attributes)
    return _fields(measured._asdict(), train, test), time.monotonic() - started


def measure_gap(
    train: EncodedSplit, test: EncodedSplit, attributes: Sequence[Attribute]
) -> tuple[dict[str, Any], float]:
    """Likewise the terms of the separation gap alone, of vectors by which settings are chosen."""
    started = time.monotonic()
    scoring = gap_terms(train, test, attributes)
    measured = {"scores": tuple(scoring.scores), "unmeasured": tuple(scoring.unmeasured)}
    return _fields(measured, train, test), time.monotonic() - started


def _fields(measured: dict[str, Any], train: EncodedSplit, test: EncodedSplit) -> dict[str, Any]:
    found = separation(measured["scores"])
    return {
        **measured,
        "separation_gap": found and found.gap.value,
        "vectors_sha256": fingerprint(train, test),
    }


def fingerprint(*splits: EncodedSplit) -> str:
    """SHA-256 of all vectors: equal under all seeds for a method that leaves nothing to chance."""
    result = hashlib.sha256()
    for split in splits:
        for part in split:
            for space, vectors in part.spaces.items():
                result.update(f"{space} {vectors.shape}".encode())
                result.update(np.ascontiguousarray(vectors, dtype=np.float32).tobytes())
    return result.hexdigest()


def keep_and_measure(
    store: ResultsStore,
    cell: Identity,
    data: DatasetFile,
    train: EncodedSplit,
    test: EncodedSplit,
) -> tuple[dict[str, Any], float]:
    """Write a cell's vectors, with the names of their rows, then measure them.

    Args:
        store: the results folder.
        cell: whose vectors they are; its lock is held.
        data: the data set.
        train: vectors of the training split.
        test: vectors of the test split.

    Returns:
        As `measure`.

    Raises:
        ValueError: as `measure`.
        StorageError: when the cell's folder was removed meanwhile, or cannot be written to.
    """
    store.check_present(cell)
    store.write_representations(cell, train, test, data.read_all_rows())
    return (measure_gap if data.info.validation_of else measure)(train, test, data.info.attributes)
