"""Several processes on one results folder: none does what another has done, and what a dead one left is taken over."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cabench.experiment.locks import write_leases
from cabench.experiment.plan import resolve
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore

# The command line, with a line in computed.txt for every fit that ends; the method to hang in never ends its own.
WORKER = """
import os, sys, time
from cabench.__main__ import main
from cabench.methods import chance, pca, random_encoder

def counted(kind):
    fit = kind.fit
    def counting(self, data, context):
        if self.name == os.environ.get("HANG_IN"):
            print("hanging", flush=True)
            deadline = time.monotonic() + 600
            while time.monotonic() < deadline and not os.path.exists("go on"):
                time.sleep(0.02)
        fit(self, data, context)
        time.sleep(0.1)
        with open("computed.txt", "a") as log:
            log.write(f"{context.folder.parent.name} {context.folder.name}\\n")
    kind.fit = counting

for kind in (chance.Chance, pca.PCA, random_encoder.RandomEncoder):
    counted(kind)
sys.argv = ["cabench", *sys.argv[1:]]
main()
"""
METHODS = "pca,chance,random_encoder"
GRID = ("--methods", METHODS, "--profile", "smoke", "--no-controls", "--seeds", "0-2", "--set", "planted.repeats=1")


@pytest.fixture
def start(tmp_path: Path, start_python) -> Callable[..., Any]:
    """Starts a process on the grid; it hangs in a method if one is named."""
    return partial(start_python, tmp_path, "-c", WORKER, "run", *GRID)


def computed(folder: Path) -> list[str]:
    return sorted((folder / "computed.txt").read_text(encoding="utf-8").splitlines())


def every_cell(folder: Path) -> list[str]:
    request = Request(METHODS, "planted", "0-2", "smoke", ["planted.repeats=1"], "cpu", "fp32", None, False)
    cells = [cell.identity for cell in resolve(request, say=lambda text: None).cells]
    store = ResultsStore(folder / "results" / "runs")
    assert [store.state(cell) for cell in cells] == ["done"] * 9
    assert len(store.records()) == 9
    return sorted(f"{cell.method['label']} {cell.folder(folder).name}" for cell in cells)


@pytest.mark.slow
def test_processes_share_a_grid_and_compute_every_cell_once(tmp_path: Path, start) -> None:
    workers = [start() for _ in range(4)]
    for worker in workers:
        _, errors = worker.communicate()
        assert worker.returncode == 0, errors
        assert "Traceback" not in errors
    assert computed(tmp_path) == every_cell(tmp_path)
    report = (tmp_path / "results" / "runs" / "report.md").read_text(encoding="utf-8")
    assert all(f"| {method} " in report for method in METHODS.split(",")), "the last to write had not read everything"


@pytest.mark.slow
def test_a_cell_whose_process_dies_is_taken_over_by_one_that_had_left_it(tmp_path: Path, start) -> None:
    hanging = start(HANG_IN="pca")
    hanging.wait_for("hanging\n")
    other = start()
    deadline = time.monotonic() + 200
    while not (tmp_path / "computed.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [line for line in computed(tmp_path) if line.startswith("pca seed0")], "its lock was not heeded"
    hanging.send_signal(signal.SIGKILL)
    hanging.communicate()
    _, errors = other.communicate()
    assert other.returncode == 0, errors
    assert "left to" not in errors
    assert computed(tmp_path) == every_cell(tmp_path)


@pytest.mark.slow
def test_a_cell_whose_process_lives_is_left_to_it(tmp_path: Path, start) -> None:
    hanging = start(HANG_IN="pca")
    hanging.wait_for("hanging\n")
    other = start()
    _, errors = other.communicate()
    assert other.returncode == 0, errors
    assert errors.count("left to the process that is working on it") == 1
    assert "[1/9] planted / pca / seed 0: left to the process" in errors
    assert "1 cells are left" in errors
    hanging.send_signal(signal.SIGTERM)
    _, errors = hanging.communicate()
    assert hanging.returncode == 130, "a closed-form fit puts off no signal"
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    assert len(computed(tmp_path)) == 8


@pytest.mark.slow
def test_a_process_that_was_stopped_leaves_the_cell_to_the_one_that_took_it_over(tmp_path: Path, start) -> None:
    (tmp_path / "results" / "runs").mkdir(parents=True)
    write_leases(tmp_path / "results" / "runs", 3)
    stopped = start(HANG_IN="pca")
    stopped.wait_for("hanging\n")
    stopped.send_signal(signal.SIGSTOP)
    other = start()
    _, errors = other.communicate()
    assert other.returncode == 0, errors
    assert computed(tmp_path) == every_cell(tmp_path)
    records = {path: path.read_bytes() for path in tmp_path.rglob("record.json")}
    (tmp_path / "go on").touch()
    stopped.send_signal(signal.SIGCONT)
    _, errors = stopped.communicate()
    assert stopped.returncode == 0, errors
    assert "taken over by another process" in errors
    assert len(computed(tmp_path)) == 10, "it computed more than the one fit that it was in"
    assert {path: path.read_bytes() for path in tmp_path.rglob("record.json")} == records


@pytest.mark.slow
def test_a_stopped_training_run_writes_no_checkpoint_over_another_s(tmp_path: Path, start_cabench) -> None:
    (tmp_path / "results" / "runs").mkdir(parents=True)
    write_leases(tmp_path / "results" / "runs", 2)
    arguments = ("--profile", "smoke", "--no-controls", "--set", "planted.repeats=1", "--checkpoint-seconds", "0")
    start = partial(start_cabench, tmp_path, "run", "--methods", "mmcvae", "--set", "mmcvae.epochs=20", *arguments)
    stopped = start()
    while not list(tmp_path.rglob("state.safetensors")):
        assert not stopped.ended(0.01)
    stopped.send_signal(signal.SIGSTOP)
    other = start()
    _, errors = other.communicate()
    assert other.returncode == 0, errors
    stopped.send_signal(signal.SIGCONT)
    _, errors = stopped.communicate()
    assert stopped.returncode == 0, errors
    assert "taken over by another process" in errors
    assert not list(tmp_path.rglob("checkpoint"))


def test_nothing_depends_on_the_time_of_day(tmp_path: Path, start_python, start_cabench) -> None:
    """The clock goes back an hour at every look at it, and files are dated in the future."""
    script = """
import itertools, os, sys, time
from cabench.experiment import provenance, runner
backwards = itertools.count(2_000_000_000, -3600)
time.time = lambda: next(backwards)
runner.now = provenance.now = lambda: time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time()))
from cabench.__main__ import main
sys.argv = ["cabench", *sys.argv[1:]]
main()
"""
    arguments = ("run", "--methods", "mmcvae", "--profile", "smoke", "--no-controls", "--set", "planted.repeats=1")
    for changed in (True, False):
        folder = tmp_path / str(changed)
        folder.mkdir()
        start = partial(start_python, folder, "-c", script) if changed else partial(start_cabench, folder)
        process = start(*arguments)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    backwards, plain = (
        json.loads(next((tmp_path / name).rglob("record.json")).read_text(encoding="utf-8"))
        for name in ("True", "False")
    )
    assert backwards["provenance"]["ended"] < backwards["provenance"]["started"]
    assert min(backwards["cost"][name] for name in ("train_s", "probe_s", "images_per_s")) > 0
    assert (backwards["key"], backwards["scores"]) == (plain["key"], plain["scores"])
