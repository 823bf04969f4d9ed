"""Throughput on the same hardware. It is shown, and fails nothing unless that is asked for: machines are shared.

Compared are medians over seeds of the images a second of the training loop, on the same device, GPU, processor and
number of threads. Trainings below `SHORTEST_S` are left out: starting up is much of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from cabench.experiment.record import Record

SHORTEST_S = 5.0
WORTH_SAYING = 0.3


class Hardware(NamedTuple):
    """What must be equal for throughputs to be compared; `device` is "cpu" or "cuda"."""

    device: str
    gpu: str | None
    cpu: str | None
    threads: int


Speeds = Mapping[Hardware, Mapping[int, float]]
"""Images a second by hardware and seed."""


class Change(NamedTuple):
    """Throughput on the same hardware then and now: medians over seeds, in images a second."""

    hardware: Hardware
    old: float
    new: float

    @property
    def slowdown(self) -> float:
        """The part of the throughput that is lost; negative where it grew."""
        return 1 - self.new / self.old


def speeds_of(records: Sequence[Record]) -> dict[Hardware, dict[int, float]]:
    """The throughput of records that say where they were computed and took long enough."""
    found: dict[Hardware, dict[int, float]] = {}
    for record in records:
        where, speed = record.provenance, record.cost.get("images_per_s", 0.0)
        if record.cost.get("train_s", 0.0) >= SHORTEST_S and speed > 0 and "threads" in where:
            device = str(where.get("device")).partition(":")[0]
            hardware = Hardware(device, where.get("gpu"), where.get("cpu"), where["threads"])
            found.setdefault(hardware, {})[record.seed] = speed
    return found


def changes(old: Speeds, new: Speeds) -> list[Change]:
    """The throughput of all hardware that both sides ran on."""
    shared = [hardware for hardware in old if hardware in new]
    return [Change(each, median(old[each].values()), median(new[each].values())) for each in shared]
