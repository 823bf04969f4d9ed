"""Kills runs at random moments, has the same command finish them, and compares all they leave with undisturbed runs.

    python tests/kill_runs.py                       50 runs killed by SIGKILL and 20 by SIGTERM, about ten minutes
    python tests/kill_runs.py --kills 2 --terms 1   the short form, which the tests run

Every run is a process of its own, with a results folder and a data set cache of its own. Most are forked from a process
that has imported everything, so that the moments fall on the work itself; every fifth is started afresh, so that some
fall on the imports. A moment is drawn uniformly over the time that an undisturbed run takes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import torch._dynamo  # noqa: F401 - the first optimizer imports it

# Everything that a run imports, so that forked runs start with the work.
from cabench.__main__ import main as run_cabench
from cabench.checkpoint import Checkpoint
from cabench.experiment.store import ResultsStore
from cabench.methods import mmcvae, pca  # noqa: F401

EPOCHS = 3
COMMAND = (
    *("run", "--methods", "mmcvae,pca", "--profile", "smoke", "--no-controls", "--device", "cpu"),
    *("--checkpoint-seconds", "0", "--set", "planted.repeats=1", "--set", f"mmcvae.epochs={EPOCHS}"),
)
FRESH_EVERY = 5


class Trial(NamedTuple):
    """One run that is disturbed.

    Attributes:
        number: from 0.
        kind: SIGKILL or SIGTERM.
        fresh: started as a new interpreter, rather than forked.
        fraction: the moment, as a fraction of the time that an undisturbed run takes.
    """

    number: int
    kind: signal.Signals
    fresh: bool
    fraction: float


class Outcome(NamedTuple):
    """What came of a trial.

    Attributes:
        trial: the trial.
        phase: what the run was doing.
        died_s: seconds from the signal to the end of the process.
        faults: whatever is not as it should be.
    """

    trial: Trial
    phase: str
    died_s: float
    faults: list[str]


def start(folder: Path, fresh: bool) -> int:
    """Start a run in a folder, and give its process id. What it prints is added to output.txt."""
    environment = {name: value for name, value in os.environ.items() if name != "CABENCH_DATA"}
    environment |= {"CABENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    process = os.fork()
    if process != 0:
        return process
    os.chdir(folder)
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if fresh:
        os.execve(sys.executable, [sys.executable, "-m", "cabench", *COMMAND], environment)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["cabench", *COMMAND]
    status = 0
    try:
        run_cabench()
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException as error:
        print(f"Traceback: {error!r}")
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def wait(process: int, timeout_s: float) -> int | None:
    """A process's exit status, negative where a signal ended it; None when it goes on for longer."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def undisturbed(folder: Path, fresh: bool) -> float:
    """Run the command to its end; gives the seconds that it took."""
    folder.mkdir()
    started = time.monotonic()
    if wait(start(folder, fresh), 600) != 0:
        raise SystemExit(f"An undisturbed run failed:\n{(folder / 'output.txt').read_text(encoding='utf-8')}")
    return time.monotonic() - started


def try_out(trial: Trial, folder: Path, duration_s: float, expected: dict[str, Any]) -> Outcome:
    """Disturb a run, look at what it leaves, finish it, and look again."""
    while True:
        folder.mkdir()
        started = time.monotonic()
        process = start(folder, trial.fresh)
        if wait(process, trial.fraction * duration_s) is None:
            break
        # Undisturbed: the machine has less to do than when the duration was taken.
        duration_s = time.monotonic() - started
        shutil.rmtree(folder)
    faults = []
    phase = phase_of(folder)
    signalled = time.monotonic()
    os.kill(process, trial.kind)
    status = wait(process, 120)
    died_s = time.monotonic() - signalled
    if status is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        faults.append("it did not end within two minutes")
    if trial.kind is signal.SIGKILL:
        phase = phase_of(folder)
    faults += halfway_faults(folder, expected)
    # Before the command line has started, SIGTERM does what SIGKILL does.
    if trial.kind is signal.SIGTERM and status != -signal.SIGTERM and list(folder.rglob(".*.tmp")):
        faults.append("a run that was asked to stop left temporary files")
    if wait(start(folder, fresh=False), 600) != 0:
        faults.append("it could not be finished")
    faults += differences(left_by(folder), expected)
    faults += [
        f"left over: {path.name}" for path in folder.rglob("*") if path.suffix == ".tmp" or path.name == ".begun"
    ]
    if "Traceback" in (folder / "output.txt").read_text(encoding="utf-8"):
        faults.append("a traceback was printed")
    if not faults:
        shutil.rmtree(folder)
    return Outcome(trial, phase, died_s, faults)


def phase_of(folder: Path) -> str:
    """What a run is doing, or was when it was killed, by the files that are there."""
    begun = list(folder.glob("results/runs/*/*/seed*/.begun"))
    if not begun:
        if (folder / "results").exists():
            return "between cells or reporting"
        return "building the data set" if (folder / "cache").exists() else "starting"
    cell = begun[0].parent
    writing = [path.name.split(".")[1] for path in cell.glob("**/.*.tmp")]
    if writing:
        return f"writing {writing[0]}"
    if (cell / "record.json").exists():
        return "after the record"
    if (cell / "representations.h5").exists():
        return "evaluating"
    try:
        epochs = Checkpoint.load(cell / "checkpoint" / "state.safetensors").meta["epoch"]
    except Exception:
        epochs = 0
    return "encoding" if epochs == EPOCHS or cell.parent.name == "pca" else "training"


def halfway_faults(folder: Path, expected: dict[str, Any]) -> list[str]:
    """Whatever a disturbed run counts as done must be whole, and equal to what an undisturbed one left."""
    store = ResultsStore(folder / "results" / "runs")
    records, reasons = store.readable_records()
    faults = [f"not readable: {reason}" for reason in reasons]
    for record in records:
        cell = str(record.folder(store.folder).relative_to(folder))
        faults += [f"counted as done: {fault}" for fault in differences({cell: cell_of(folder / cell)}, expected, True)]
    return faults


def left_by(folder: Path) -> dict[str, Any]:
    """What a finished run left of every cell, by the cell's folder."""
    return {str(cell.relative_to(folder)): cell_of(cell) for cell in folder.glob("results/runs/*/*/seed*")}


def cell_of(cell: Path) -> dict[str, Any]:
    """All that must be the same however often a run was killed: not how long it took, and when and where it ran."""
    content = json.loads((cell / "record.json").read_text(encoding="utf-8"))
    cost = {name: content["cost"].get(name) for name in ("steps", "images_seen", "parameters")}
    del content["provenance"]
    log = (cell / "log.jsonl").read_text(encoding="utf-8").splitlines() if (cell / "log.jsonl").exists() else []
    epochs = [{name: json.loads(line)[name] for name in ("epoch", "steps", "terms")} for line in log]
    pictures = [(cell / name).read_bytes() for name in ("pictures.png", "maps.json")]
    arrays = {name: arrays_of(cell / f"{name}.h5") for name in ("representations", "contributions")}
    return {"record": {**content, "cost": cost}, "log": epochs, "pictures": pictures, **arrays}


def arrays_of(path: Path) -> dict[str, str]:
    """The content of every array of an HDF5 file, by its path there, as text: in lists NaN would not equal NaN."""
    found: dict[str, str] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: str(item[:].tolist())}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def differences(found: dict[str, Any], expected: dict[str, Any], in_part: bool = False) -> list[str]:
    """In words, where two runs differ; a part of one has cells of the other alone."""
    faults = [f"{cell} is not of this grid" for cell in found if cell not in expected]
    faults += [f"{cell} is missing" for cell in expected if cell not in found and not in_part]
    for cell in found.keys() & expected.keys():
        faults += [f"{cell}: {part} differs" for part, value in expected[cell].items() if found[cell][part] != value]
    return faults


def drawn(kills: int, terms: int, seed: int) -> list[Trial]:
    """The trials: the kinds of signal mixed, every fifth started afresh, moments over the whole time of a run."""
    draw = random.Random(seed)
    kinds = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
    draw.shuffle(kinds)
    return [
        Trial(number, kind, number % FRESH_EVERY == FRESH_EVERY - 1, draw.random()) for number, kind in enumerate(kinds)
    ]


def main() -> None:
    """Try out as many runs as are asked for; the exit status is 1 when one of them lost or changed anything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=50, help="runs that get SIGKILL")
    parser.add_argument("--terms", type=int, default=20, help="runs that get SIGTERM")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    asked = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="kill_runs_"))
    # Both start under the load that the trials run under.
    with multiprocessing.get_context("fork").Pool(asked.jobs) as pool:
        durations = pool.starmap(undisturbed, [(root / "forked", False), (root / "fresh", True)], chunksize=1)
        expected = left_by(root / "forked")
        faults = differences(left_by(root / "fresh"), expected)
        print(
            f"{len(expected)} cells; undisturbed: {durations[0]:.1f} s forked, {durations[1]:.1f} s afresh", flush=True
        )
        trials = drawn(asked.kills, asked.terms, asked.seed)
        arguments = [(trial, root / str(trial.number), durations[trial.fresh], expected) for trial in trials]
        outcomes = pool.starmap(try_out, arguments, chunksize=1)
    faults += [f"run {outcome.trial.number}: {fault}" for outcome in outcomes for fault in outcome.faults]
    show(outcomes)
    for fault in faults:
        print(f"FAULT {fault}")
    if faults:
        raise SystemExit(f"{len(faults)} faults; what the runs left is in {root}")
    shutil.rmtree(root)
    print("All records, representations, contributions, logs and pictures equal those of undisturbed runs.")


def show(outcomes: list[Outcome]) -> None:
    """How many runs were disturbed in which phase, and how long they took to end."""
    for kind in (signal.SIGKILL, signal.SIGTERM):
        chosen = [outcome for outcome in outcomes if outcome.trial.kind is kind]
        slowest = max((outcome.died_s for outcome in chosen), default=0.0)
        print(f"{kind.name}: {len(chosen)} runs, the slowest ended {slowest:.2f} s after the signal")
        for phase, count in Counter(outcome.phase for outcome in chosen).most_common():
            print(f"  {count:3}  {phase}")


if __name__ == "__main__":
    main()
