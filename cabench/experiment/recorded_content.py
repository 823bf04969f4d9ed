"""Whether data sets are what they were when the cells of a results folder were computed.

A data set file in the cache says which content it has, and whoever can write to the cache can replace both. The records
of finished cells stand elsewhere, and keep the content that they are of.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from cabench.errors import UserError
from cabench.experiment.cell import Cell
from cabench.experiment.identity import Identity
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore

MOST_READ, MOST_ALIKE = 20, 5


def other_contents(cells: Iterable[Cell], store: ResultsStore) -> list[str]:
    """A sentence on every data set that has another content than a finished cell says that it had.

    Of each method, records of other cells are read until one tells: at most `MOST_READ`, of which `MOST_ALIKE` are of
    the data set as it is asked for, as each takes a millisecond.

    Args:
        cells: to be computed.
        store: the results folder.
    """
    cells = list(cells)
    own = {cell.identity.folder(store.folder) for cell in cells}
    one_each = {(cell.identity.dataset["label"], cell.identity.method["label"]): cell for cell in cells}
    found = {
        label: (cell, record)
        for (label, _), cell in one_each.items()
        if (record := _other(cell, own, store)) is not None
    }
    return [
        f"The data set {label} in {cell.data.path} has another content ({_content(cell.identity)[:8]}) than what "
        f"{record.title} was computed on ({_content(record)[:8]}): the file was replaced, its sources were, or another "
        "version of a library built it. Results on the two are not compared."
        for label, (cell, record) in found.items()
    ]


def _other(cell: Cell, own: Container[Path], store: ResultsStore) -> Record | None:
    """A record of the same method and data set, which is named and built alike, and has another content."""
    alike = (record for record in _beside(cell, own, store) if _asked(record) == _asked(cell.identity))
    return next((record for record in islice(alike, MOST_ALIKE) if _content(record) != _content(cell.identity)), None)


def _beside(cell: Cell, own: Container[Path], store: ResultsStore) -> Iterator[Record]:
    """Some records of the same method on data sets of the same label."""
    for path in [path for path in store.paths_beside(cell.identity) if path.parent not in own][:MOST_READ]:
        with suppress(UserError):  # reports say so
            yield store.load_alone(path)


def _content(cell: Identity) -> str:
    return cell.dataset["content_sha256"]


def _asked(cell: Identity) -> Sequence[object]:
    """The data set of a cell as it is named and built."""
    data = cell.dataset
    part = data.get("most_rows"), "validation_of" in data
    return data["name"], data["builder_version"], data["config"], data["sources"], *part
