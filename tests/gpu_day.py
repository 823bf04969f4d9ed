"""Every check and measurement that needs a GPU, in one call of under ten minutes.

    python tests/gpu_day.py                        on the first GPU, at full size; writes results/gpu.json
    python tests/gpu_day.py --device cpu --small   the short form, which the tests run

Each section, in `tests/gpu/`, is a process of its own with a budget: one that takes longer is cut, and the table keeps
what it had found. This process never touches the device. The exit status is 1 where something is wrong (numbers that
differ from the CPU's, a section that failed), and 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch
import torch._dynamo  # the first optimizer imports it; every section is forked from here
from gpu.cells import paper, resume, seeds
from gpu.common import FULL, SMALL, Emit, Row, Scale
from gpu.equality import equality
from gpu.speed import steps, views
from tabulate import tabulate

from cabench.experiment.device import resolve_device
from cabench.experiment.provenance import hardware
from cabench.files.atomic import write_text

NAME = "name of the device"


def machine(emit: Emit, device: torch.device, scale: Scale) -> None:
    """The device's name."""
    found = hardware(resolve_device(str(device)))
    emit(Row(NAME, str(found["gpu"] or found["cpu"])))


class Section(NamedTuple):
    """A part of the day.

    Attributes:
        measure: emits rows.
        budget_s: after so many seconds it is cut.
    """

    measure: Callable[[Emit, torch.device, Scale], None]
    budget_s: float


SECTIONS = (
    Section(machine, 30),
    Section(equality, 100),
    Section(steps, 150),
    Section(views, 20),
    Section(seeds, 120),
    Section(resume, 70),
    Section(paper, 90),
)


def rows_of(section: Section, device: torch.device, scale: Scale) -> list[Row]:
    """What a section finds within its budget, and how it ended where that was not well."""
    forking = multiprocessing.get_context("fork")
    receiving, sending = forking.Pipe(duplex=False)
    process = forking.Process(target=work, args=(section, device, scale, sending))
    process.start()
    sending.close()
    rows: list[Row] = []
    deadline = time.monotonic() + section.budget_s
    try:
        while receiving.poll(max(0.0, deadline - time.monotonic())):
            rows.append(receiving.recv())
        rows.append(Row("cut", f"after {section.budget_s:.0f} s", "", "it was not finished"))
    except EOFError:
        process.join()
        if process.exitcode:
            rows.append(Row("ended", f"with status {process.exitcode}", "", "it died"))
    finally:
        with suppress(ProcessLookupError):  # all of it, whatever ends this program
            os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return rows


def work(section: Section, device: torch.device, scale: Scale, sending: Connection) -> None:
    """Measure in a process group of one's own, and send the rows as they come."""
    os.setsid()
    torch.set_num_threads(1)
    try:
        section.measure(sending.send, device, scale)
    except Exception as error:
        sending.send(Row("failed", f"{type(error).__name__}: {error}"[:500], "", "it failed"))


def main() -> None:
    """Go through the sections, print the table, and add it to the file of all GPUs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:<number> or cpu")
    parser.add_argument("--small", action="store_const", const=SMALL, default=FULL, dest="scale", help="at small size")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of gpu.json")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    device = torch.device(asked.device)

    lines = []
    for section in SECTIONS:
        started = time.monotonic()
        rows = rows_of(section, device, asked.scale)
        if section.measure is machine and rows[0].fault:
            print(f"There is no GPU {str(device)!r} here; --device cpu --small tries the program out without one.")
            raise SystemExit(2)
        lines += [{"section": section.measure.__name__, **row._asdict()} for row in rows]
        print(f"{section.measure.__name__}: {time.monotonic() - started:.0f} s", flush=True)

    name = next((str(line["value"]) for line in lines if line["what"] == NAME), "unknown")
    cells = [{**line, "value": shown(line["value"])} for line in lines]
    print(tabulate(cells, headers="keys", disable_numparse=True))
    path = asked.results / "gpu.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[name] = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "torch": torch.__version__, "rows": lines}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(known, indent=1) + "\n")
    raise SystemExit(any(line["fault"] for line in lines))


def shown(value: float | str) -> str:
    """A number with three digits."""
    return value if isinstance(value, str) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
