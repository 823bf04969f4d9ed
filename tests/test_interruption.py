"""Real processes, killed in the middle of training, and what the same command makes of it afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = (
    *("run", "--methods", "mmcvae", "--profile", "smoke", "--no-controls", "--checkpoint-seconds", "0"),
    *("--set", "mmcvae.epochs=12"),
)


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cabench", *COMMAND],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "CABENCH_DATA"},
    )


def wait_for_epoch(folder: Path, epoch: int, process: subprocess.Popen[str]) -> None:
    """Wait until training has logged some epochs."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        logs = list(folder.glob("results/runs/*/*/seed*/log.jsonl"))
        if logs and len(logs[0].read_text(encoding="utf-8").splitlines()) >= epoch:
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    raise AssertionError("training did not get that far in two minutes")


def outcome(folder: Path) -> dict[str, object]:
    (path,) = folder.glob("results/runs/*/*/seed*/record.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    return {name: record[name] for name in ("key", "status", "scores", "separation_gap")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return outcome(folder)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_was_stopped_ends_as_if_nothing_had_happened(tmp_path, undisturbed, kind):
    process = start(tmp_path)
    wait_for_epoch(tmp_path, 3, process)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not list(tmp_path.glob("results/runs/*/*/seed*/record.json"))
    assert list(tmp_path.glob("results/runs/*/*/seed*/checkpoint/state.safetensors"))
    if kind is not signal.SIGKILL:
        assert "the same command" in errors
        assert "Traceback" not in errors

    process = start(tmp_path)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert outcome(tmp_path) == undisturbed
    (log,) = tmp_path.glob("results/runs/*/*/seed*/log.jsonl")
    epochs = [json.loads(line)["epoch"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert epochs == list(range(1, 13))
    assert not list(tmp_path.glob("results/runs/*/*/seed*/checkpoint"))


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
        (signal.SIGTERM, "cabench.dataset_builder._write"),
        (signal.SIGTERM, "cabench.runner._encode"),
        (signal.SIGTERM, "cabench.runner.evaluate"),
        (signal.SIGTERM, "cabench.store.write_text"),
        (signal.SIGINT, "cabench.runner.evaluate"),
    ],
)
def test_a_signal_ends_a_run_at_once_in_whatever_it_is_doing(tmp_path, kind, place):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY_IN, place, *COMMAND],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CABENCH_CACHE": str(tmp_path / "cache")},
    )
    assert process.stdout.readline() == "busy\n"
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.rglob(".*.tmp")), "something half-written was left"
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_as_undisturbed_ones():
    """The short form of a script that is run in full by hand."""
    script = [sys.executable, str(Path(__file__).parent / "kill_runs.py"), "--kills", "3", "--terms", "1"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGKILL: 3 runs" in done.stdout
