"""How long cells will take, judged by finished ones of their kind."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import torch

from cabench.experiment.cell import Cell
from cabench.experiment.provenance import hardware
from cabench.experiment.record import Record

MINUTE, HOUR = 60, 3600


def estimate(cells: Sequence[Cell], records: Sequence[Record], device: torch.device) -> str:
    """A sentence on the time that cells will take, one after the other; empty where nothing is known.

    A finished cell is of a cell's kind when it is of the same method, configuration, data and hardware. The median of
    training and probing counts.

    Args:
        cells: what is left to compute.
        records: finished cells.
        device: that the cells will be computed on.
    """
    here = hardware(device)
    times: dict[str, list[float]] = {}
    for record in records:
        if record.status == "ok" and {name: record.provenance.get(name) for name in here} == here:
            times.setdefault(record.computation, []).append(record.cost["train_s"] + record.cost.get("probe_s", 0.0))
    known = [median(times[kind]) for cell in cells if (kind := cell.identity.computation) in times]
    if not known:
        return ""
    unknown = len(cells) - len(known)
    rest = f"; nothing tells how long the other {unknown} will take" if unknown else ""
    return f"About {duration(sum(known))} for {len(known)} of {len(cells)} cells, by finished ones of their kind{rest}."


def duration(seconds: float) -> str:
    """Seconds as people say them: "40 s", "12 min", "3.5 h"."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"
