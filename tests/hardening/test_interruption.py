"""Real processes, killed in the middle of training, and what the same command makes of it afterwards."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

EPOCHS = 6
COMMAND = (
    *("run", "--methods", "patient.py", "--profile", "smoke", "--no-controls", "--checkpoint-seconds", "0"),
    *("--set", "planted.repeats=1", "--set", f"patient.epochs={EPOCHS}"),
)


def wait_for_epoch(folder: Path, epoch: int, process: Any) -> None:
    """Wait until training has logged some epochs."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        logs = list(folder.glob("results/runs/*/*/seed*/log.jsonl"))
        if logs and len(logs[0].read_text(encoding="utf-8").splitlines()) >= epoch:
            return
        assert not process.ended(0.01), process.communicate()
    raise AssertionError("training did not get that far in two minutes")


def outcome(folder: Path) -> dict[str, object]:
    (path,) = folder.glob("results/runs/*/*/seed*/record.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    return {name: record[name] for name in ("key", "status", "scores", "separation_gap")}


@pytest.fixture
def folder(tmp_path: Path, patient: Path) -> Path:
    """With a method whose training does not end while the file `slowly` is there."""
    shutil.copy(patient, tmp_path)
    (tmp_path / "slowly").touch()
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, patient: Path, start_cabench) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(patient, folder)
    process = start_cabench(folder, *COMMAND)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return outcome(folder)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_was_stopped_ends_as_if_nothing_had_happened(folder, undisturbed, start_cabench, kind):
    process = start_cabench(folder, *COMMAND)
    wait_for_epoch(folder, 2, process)
    process.send_signal(kind)
    _, errors = process.communicate()
    assert process.returncode != 0
    assert not list(folder.glob("results/runs/*/*/seed*/record.json"))
    assert list(folder.glob("results/runs/*/*/seed*/checkpoint/state.safetensors"))
    if kind is not signal.SIGKILL:
        assert "the same command" in errors
        assert "Traceback" not in errors

    (folder / "slowly").unlink()
    process = start_cabench(folder, *COMMAND)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert outcome(folder) == undisturbed
    (log,) = folder.glob("results/runs/*/*/seed*/log.jsonl")
    epochs = [json.loads(line)["epoch"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert epochs == list(range(1, EPOCHS + 1))
    assert not list(folder.glob("results/runs/*/*/seed*/checkpoint"))


@pytest.mark.slow
@pytest.mark.parametrize("is_sent_to_all", [False, True], ids=["to the watcher", "to all, as schedulers do"])
def test_whoever_stops_a_run_stops_the_process_that_computes(folder, start_python, is_sent_to_all):
    process = start_python(folder, "-m", "cabench", *COMMAND, "--checkpoint-seconds", "1000")
    wait_for_epoch(folder, 2, process)
    for worker in psutil.Process(process.pid).children() if is_sent_to_all else []:
        worker.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.count("the same command goes on from here") == 1
    (checkpoint,) = folder.glob("results/runs/*/*/seed*/checkpoint")
    assert [path.name for path in checkpoint.iterdir()] == ["state.safetensors"]


# The command line, in which one function says that it began and then works on for as long as it is let.
BUSY_IN = """
import os, sys, time
from importlib import import_module
from cabench.__main__ import main

def busy(*arguments, **keywords):
    print("busy", flush=True)
    while True:
        time.sleep(0.01)

module, name = sys.argv.pop(1).rsplit(".", 1)
setattr(import_module(module), name, busy)
sys.argv[0] = "cabench"
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (signal.SIGTERM, "cabench.data.builder.DatasetWriter"),
        (signal.SIGTERM, "cabench.experiment.encoding.encode_images"),
        (signal.SIGTERM, "cabench.experiment.runner.keep_and_measure"),
        (signal.SIGTERM, "cabench.experiment.store.write_text"),
        (signal.SIGINT, "cabench.experiment.runner.keep_and_measure"),
    ],
)
def test_a_signal_ends_a_run_at_once_in_whatever_it_is_doing(folder, start_python, kind, place):
    command, cache = (*COMMAND[:-1], "patient.epochs=1"), str(folder / "cache")
    process = start_python(folder, "-c", BUSY_IN, place, *command, CABENCH_CACHE=cache)
    process.wait_for("busy\n")
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    assert not list(folder.rglob(".*.tmp")), "something half-written was left"
    assert not list(folder.rglob("record.json"))


LOST = """
import os
import signal
import weakref

from cabench import ContrastiveAnalysisMethod, Representation, Settings


class Freed:
    pass


class Loses(ContrastiveAnalysisMethod):
    '''A request to stop comes up while Python frees an object, and Python drops it.'''

    name, version, Config = "loses", 1, Settings

    def fit(self, data, context):
        freed = Freed()
        watched = weakref.ref(freed, lambda _: os.kill(os.getpid(), getattr(signal, os.environ["ASKED_BY"])))
        del freed

    def encode(self, images):
        means = images.float().mean((1, 2, 3))[:, None]
        return Representation(means, -means)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Changes(Loses):
    '''A library makes another error of a request to stop.'''

    name = "changes"

    def fit(self, data, context):
        try:
            os.kill(os.getpid(), getattr(signal, os.environ["ASKED_BY"]))
        except BaseException:
            raise TypeError("it cannot be written") from None
"""


@pytest.mark.parametrize("method", ["Loses", "Changes"])
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_request_that_python_drops_or_a_library_changes_stops_a_run_all_the_same(tmp_path, cabench, kind, method):
    (tmp_path / "own.py").write_text(LOST, encoding="utf-8")
    command = ("run", "--methods", f"own.py:{method}", "--datasets", "planted", "--profile", "smoke", "--no-controls")
    done = cabench(*command, "--seeds", "0-3", ASKED_BY=kind.name)
    assert done.returncode == 130
    assert "Exception ignored" not in done.stderr
    assert "the same command goes on from here" in done.stderr
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_as_undisturbed_ones():
    """The short form of a script that is run in full by hand."""
    script = [sys.executable, str(Path(__file__).parents[1] / "kill_runs.py"), "--kills", "2", "--terms", "1"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGKILL: 2 runs" in done.stdout
