"""What a cell keeps to look at and to use again: its picture, its maps and its fitted method.

All of it is made once the scores are known, and nothing that goes wrong with it costs the cell its scores: the record
names what could not be made, and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cabench.data.dataset import Attribute, ContrastiveDataset
from cabench.errors import StopRequested
from cabench.evaluation.encoded import EncodedSplit
from cabench.experiment.fitted_rows import FittedRows
from cabench.experiment.identity import Identity
from cabench.experiment.store import MAPS, PICTURE, ResultsStore
from cabench.files.atomic import StorageError
from cabench.files.names import printable
from cabench.hardening.stopping import heed_lost_request
from cabench.method import ContrastiveAnalysisMethod
from cabench.pictures.cell_picture import cell_picture
from cabench.pictures.maps import maps
from cabench.saving import MODEL, save_method


def keep_picture(
    store: ResultsStore,
    cell: Identity,
    images: ContrastiveDataset,
    test: EncodedSplit,
    method: ContrastiveAnalysisMethod | None = None,
) -> dict[str, str]:
    """Write a cell's picture; there is none of a table.

    Args:
        store: the results folder.
        cell: whose picture it is; its lock is held.
        images: the test split.
        test: its vectors.
        method: fitted; None for vectors from elsewhere.

    Returns:
        Why the file could not be made, by its name; empty where it was.

    Raises:
        StorageError: when the cell's folder cannot be written to.
        StopRequested, KeyboardInterrupt: when the process was asked to stop.
    """
    unmade: dict[str, str] = {}
    with _noting(PICTURE, unmade):
        picture = cell_picture(images, test, method)
        if picture is not None:
            store.write_picture(cell, picture)
    return unmade


def keep_maps(
    store: ResultsStore, cell: Identity, attributes: Sequence[Attribute], test: EncodedSplit
) -> dict[str, str]:
    """Write maps of both spaces, with the attributes of the data; all else as for `keep_picture`."""
    unmade: dict[str, str] = {}
    with _noting(MAPS, unmade):
        store.write_maps(cell, maps(test, attributes))
    return unmade


def keep_method(
    store: ResultsStore,
    cell: Identity,
    method: ContrastiveAnalysisMethod,
    image_shape: tuple[int, ...],
    fitted: FittedRows,
) -> dict[str, str]:
    """Write the fitted method, with how rows were given to it; result and errors as for `keep_picture`."""
    unmade: dict[str, str] = {}
    with _noting(MODEL, unmade):
        save_method(method, cell.folder(store.folder) / MODEL, image_shape, fitted.tensors())
    return unmade


def said(error: BaseException) -> str:
    """What an error says, as text that every file and terminal takes. It may be of a class that somebody else wrote."""
    try:
        return printable(str(error))
    except Exception as broken:
        return f"(it cannot say what happened: {type(broken).__name__})"


@contextmanager
def _noting(name: str, unmade: dict[str, str]) -> Iterator[None]:
    """Note under a file's name what a block raises, but for a request to stop and what cannot be written."""
    try:
        yield
    except (StopRequested, KeyboardInterrupt, StorageError):
        raise
    except BaseException as error:  # a method's decoder or state may raise anything
        heed_lost_request()
        unmade[name] = f"{type(error).__name__}: {said(error)}"
