"""A run that ends by itself: no cell is begun for which too little time is left, judging by finished ones of its kind.

The slowest of these counts, and not the median, by which half of the last cells would not end in time. A cell that is
cut off is not lost, but another job has to take it up, and a method without checkpoints starts anew.

Cells of which nothing is known are begun as long as there is time at all. So is, whatever is known, the first cell of
each process: cells longer than the limit get done too, over several jobs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from cabench.experiment.cell import Cell
from cabench.experiment.estimate import StoredDurations
from cabench.experiment.store import ResultsStore
from cabench.experiment.workforce import Place


@dataclass
class TimeLimit:
    """When one process of a run begins no cell any more.

    Attributes:
        store: the results folder, whose finished cells tell how long others take.
        place: of the process.
        ends_s: when the time is up, on the clock of `time.monotonic`.
    """

    store: ResultsStore
    place: Place
    ends_s: float
    _has_begun: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._durations = StoredDurations(self.place, self.store)

    def begun(self) -> None:
        """Take note that this process begins a cell."""
        self._has_begun = True

    def leaves_room_for(self, cell: Cell) -> bool:
        """Whether the cell may be begun now."""
        left_s = self.ends_s - time.monotonic()
        if left_s <= 0 or not self._has_begun:
            return left_s > 0
        self._durations.read_beside(cell)
        slowest_s = self._durations.slowest_s(cell)
        return slowest_s is None or slowest_s <= left_s
