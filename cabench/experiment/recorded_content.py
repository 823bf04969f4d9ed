"""Whether data sets are what they were when the cells of a results folder were computed.

A data set file in the cache says which content it has, and whoever can write to the cache can replace both. The records
of finished cells stand elsewhere, and keep the content that they are of.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cabench.errors import UserError
from cabench.experiment.cell import Cell
from cabench.experiment.identity import Identity
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore

MOST_READ = 5


def other_contents(cells: Iterable[Cell], store: ResultsStore) -> list[str]:
    """A sentence on every data set that has another content than a finished cell says that it had.

    Of each method, `MOST_READ` records of other cells are read, as each takes a millisecond.

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
        for record in _others(cell, own, store)
        if _is_alike(record, cell.identity) and _content(record) != _content(cell.identity)
    }
    return [
        f"The data set {label} has another content ({_content(cell.identity)[:8]}) than in the results folder, as of "
        f"{record.title} ({_content(record)[:8]}): {cell.data.path} was replaced since, or its sources were. Results "
        "on the two are not compared."
        for label, (cell, record) in found.items()
    ]


def _others(cell: Cell, own: Container[Path], store: ResultsStore) -> Iterator[Record]:
    """A few records of a cell's method and data set."""
    for path in [path for path in store.paths_beside(cell.identity) if path.parent not in own][:MOST_READ]:
        with suppress(UserError):  # reports say so
            yield store.load_alone(path)


def _content(cell: Identity) -> str:
    return cell.dataset["content_sha256"]


def _is_alike(one: Identity, other: Identity) -> bool:
    """Whether two cells name the same data set, built in the same way."""
    return _asked(one) == _asked(other)


def _asked(cell: Identity) -> Sequence[object]:
    data = cell.dataset
    part = data.get("most_rows"), "validation_of" in data
    return data["name"], data["builder_version"], data["config"], data["sources"], *part
