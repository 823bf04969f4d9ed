"""How long cells will take, judged by finished ones of their kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

from cabench.errors import UserError
from cabench.experiment.cell import CPU, Cell
from cabench.experiment.provenance import hardware
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.experiment.workforce import Place
from cabench.files.json import canonical_json

MINUTE, HOUR = 60, 3600


class Durations:
    """How long finished cells took, by kind: method, configuration, data and evaluation; and by hardware.

    A cell's time is that of training and probing.
    """

    def __init__(self, place: Place, records: Iterable[Record] = ()) -> None:
        """Learn from records what to expect of cells that a worker computes in a run."""
        self._place = place
        self._seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take a record into account; a failed one tells nothing."""
        if record.status == "ok":
            where = canonical_json({name: record.provenance.get(name) for name in hardware(CPU)})
            self._seconds[record.computation][where].append(record.cost["train_s"] + record.cost.get("probe_s", 0.0))

    def expected_s(self, cell: Cell) -> float | None:
        """Seconds that a cell will take on this hardware with this number of threads, the median of its kind.

        None where nothing tells.
        """
        seconds = self._here(cell)
        return median(seconds) if seconds else None

    def expected_anywhere_s(self, cell: Cell) -> float | None:
        """Likewise; by finished cells on any hardware, where there are none on this one."""
        elsewhere = [taken for times in self._of_kind(cell).values() for taken in times]
        here = self.expected_s(cell)
        return median(elsewhere) if here is None and elsewhere else here

    def slowest_s(self, cell: Cell) -> float | None:
        """Seconds that the slowest finished cell of its kind took on this hardware; None where nothing tells."""
        return max(self._here(cell), default=None)

    def _here(self, cell: Cell) -> list[float]:
        return self._of_kind(cell).get(
            canonical_json(hardware(cell.place(self._place.device), self._place.threads)), []
        )

    def _of_kind(self, cell: Cell) -> dict[str, list[float]]:
        return self._seconds.get(cell.identity.computation, {})


class StoredDurations(Durations):
    """How long finished cells of a results folder took, read as far as it is asked for."""

    def __init__(self, place: Place, store: ResultsStore) -> None:
        """Read nothing yet."""
        super().__init__(place)
        self._store, self._read = store, set[Path]()

    def read_beside(self, cell: Cell) -> None:
        """Read what cells of the same method and data set ended since the last time, whoever computed them."""
        for path in self._store.paths_beside(cell.identity):
            if path not in self._read:
                self._read.add(path)
                with suppress(UserError):  # it tells nothing
                    self.learn(self._store.load_alone(path))


def estimate(cells: Sequence[Cell], records: Sequence[Record], places: Sequence[Place]) -> str:
    """A sentence on the time that cells will take; empty where nothing is known.

    Args:
        cells: what is left to compute.
        records: finished cells. Those on other hardware tell nothing.
        places: of the workers that will compute them, from 1, all alike.
    """
    durations = Durations(places[0], records)
    return in_words([durations.expected_s(cell) for cell in cells], len(places))


def in_words(expected: Sequence[float | None], at_once: int = 1) -> str:
    """A sentence on the time that cells will take; empty where nothing is known of any.

    Args:
        expected: seconds by cell; None where nothing is known.
        at_once: how many are computed at a time.
    """
    known = [seconds for seconds in expected if seconds is not None]
    if not known:
        return ""
    shared = f", {at_once} at a time" if at_once > 1 else ""
    unknown = len(expected) - len(known)
    rest = f"; nothing tells how long the other {unknown:,} will take" if unknown else ""
    return (
        f"About {duration(sum(known) / at_once)} for {len(known):,} of {len(expected):,} cells{shared}, by finished "
        f"ones of their kind{rest}."
    )


def duration(seconds: float) -> str:
    """Seconds as people say them: "40 s", "12 min", "3.5 h"."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"
