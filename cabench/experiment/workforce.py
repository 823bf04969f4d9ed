"""How many processes compute a run at a time, where, and with how many threads each."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import psutil
import torch

from cabench.errors import UserError
from cabench.experiment.cell import Cell
from cabench.experiment.record import Record

MOST_WORKERS = 1024
GIB = 2**30
PROCESS_GIB = 0.8
"""Resident memory of a process that has fitted a small method: 0.86 to 1.05 GiB in the published records of `dsprites`,
whose images take 0.1."""
COPIES = 6
"""Times that a method holds its training images at most, counted as bytes: as stored, as floats, and for a moment."""
CGROUPS = (
    (Path("/sys/fs/cgroup"), "", "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""Where cgroups of version 2 and 1 stand, the controller by which /proc/self/cgroup names this process's own, and the
files that say how much memory it may use, and how much it does."""
OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Place:
    """Where one worker computes.

    Attributes:
        device: for training and encoding.
        threads: that PyTorch and NumPy use.
    """

    device: torch.device
    threads: int


@dataclass(frozen=True)
class Workforce:
    """The workers of a run.

    Attributes:
        places: one for each worker.
        said: a sentence for the user.
    """

    places: tuple[Place, ...]
    said: str


def parse_workers(text: str | int) -> int | None:
    """The number of workers behind "auto", for which it is None, or a number from 1 to 1,024.

    Raises:
        UserError: for anything else.
    """
    if text == "auto":
        return None
    if isinstance(text, bool) or not str(text).isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise UserError(f"{text!r} workers are not allowed; give auto or a number from 1 to {MOST_WORKERS:,}.")
    return int(text)


def workforce(
    asked: int | None, device: torch.device, cells: Sequence[Cell], left: int, records: Sequence[Record]
) -> Workforce:
    """The workers that compute a run.

    Threads depend on the machine and the request alone, and not on what is left: a run that is continued has the same.
    On processors a worker has an equal share of the cores. More threads a cell gain little, more cells at a time gain
    more, so that "auto" gives one thread to each as long as there are as many cells as cores. OMP_NUM_THREADS decides
    where it is set. On GPUs "auto" takes one worker for each; more share them in turn.

    Args:
        asked: how many; None for "auto", which starts no more than there is memory for.
        device: as `cabench.experiment.device.resolve_device` gives it. "cuda" without a number means all GPUs.
        cells: of the run.
        left: how many of them have not ended; no more workers are started.
        records: finished cells, which tell how much memory their kind takes.
    """
    devices = _devices(device)
    cores, fixed = available_cores(), _number_in("OMP_NUM_THREADS")
    most = max(1, min(cores, len(cells))) if device.type == "cpu" else len(devices)
    if fixed and device.type == "cpu":
        most = max(1, min(most, cores // fixed))
    threads = fixed or max(1, cores // (asked or most))
    count = max(1, min(asked or most, left))
    need, free = memory_of(cells, records), available_memory()
    fit = max(1, int(free / need)) if device.type == "cpu" else count
    if asked is None:
        count = min(count, fit)
    places = tuple(Place(devices[number % len(devices)], threads) for number in range(count))
    said = (
        f"{count} {'worker' if count == 1 else 'workers'} with {threads} {'thread' if threads == 1 else 'threads'} each"
    )
    said += f", about {need / GIB:.1f} GiB each of {free / GIB:.1f} GiB that are free"
    if count > fit:
        said += f"; that is room for {fit}: the system may end some of them"
    return Workforce(places, f"{said}.")


def available_cores() -> int:
    """Processor cores that this process may use: SLURM's --cpus-per-task, else by affinity and container limits."""
    return _number_in("SLURM_CPUS_PER_TASK") or joblib.cpu_count()


def available_memory() -> float:
    """Bytes of memory that processes can still take: of the machine, and of the job or container around this one."""
    free = float(psutil.virtual_memory().available)
    if granted := _number_in("SLURM_MEM_PER_NODE"):  # in MiB; 0 stands for all there is
        free = min(free, float(granted * 2**20))
    for folder, limit, used in _cgroups():
        try:
            kept = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            # Files that were read lately count as used until somebody wants the room.
            in_use = int((folder / used).read_text()) - int(kept.get("inactive_file", 0))
            free = min(free, int((folder / limit).read_text()) - in_use)
        except (OSError, ValueError):  # not there, or "max"
            continue
    return max(free, 0.0)


def _number_in(variable: str) -> int:
    """The whole number in an environment variable; 0 where it holds none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 0


def _cgroups() -> Iterator[tuple[Path, str, str]]:
    """The folder of the group that this process is in, and of each group around it, with the files to read there."""
    try:
        lines = [line.split(":", 2) for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        lines = []
    for root, controller, limit, used in CGROUPS:
        own = next((path for _, names, path in lines if controller in names.split(",")), "/")
        for group in (Path(own), *Path(own).parents):
            yield root / str(group).lstrip("/"), limit, used


def memory_of(cells: Sequence[Cell], records: Sequence[Record]) -> float:
    """Bytes that a worker takes at most, as its largest cell does.

    Finished cells of their kind tell; for others it is guessed from the size of the training images.
    """
    known: dict[str, float] = {}
    for record in records:
        if record.status == "ok" and record.provenance.get("gpu") is None:
            peak = record.cost.get("peak_memory_gib", 0.0) * GIB
            known[record.computation] = max(known.get(record.computation, 0.0), peak)
    return max((known.get(cell.identity.computation) or _guess(cell) for cell in cells), default=PROCESS_GIB * GIB)


def _guess(cell: Cell) -> float:
    info = cell.data.info
    rows = sum(info.counts["train"].values())
    value = 4 if info.is_table else 1  # bytes, as stored
    return PROCESS_GIB * GIB + COPIES * rows * math.prod(info.image_shape) * value


def _devices(device: torch.device) -> list[torch.device]:
    if str(device) == "cuda":
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [device]
