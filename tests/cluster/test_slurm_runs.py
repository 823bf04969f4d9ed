"""`run --executor slurm` on a real SLURM: what ends tasks, and what comes of their cells."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from .conftest import load

GRID = ("run", "--profile", "smoke", "--datasets", "planted", "--no-controls", "--set", "planted.repeats=1")
TWELVE = (
    *("--methods", "mmcvae,own.py:Deadly,pca", "--seeds", "0-3"),
    *("--set", "mmcvae.epochs=16", "--checkpoint-seconds", "0"),
)
OWN = '''
"""A method that ends its process on one seed."""
import os
import signal

from cabench import ContrastiveAnalysisMethod, Representation, Settings


class Deadly(ContrastiveAnalysisMethod):
    """Encodes an image as its mean."""

    name = "deadly"
    version = 1
    Config = Settings

    def fit(self, data, context):
        if context.folder.name.startswith("seed2-"):
            os.kill(os.getpid(), signal.SIGKILL)

    def encode(self, images):
        means = images.float().mean((1, 2, 3))[:, None]
        return Representation(means, -means)

    def parameter_count(self):
        return 0

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
'''
Start = Callable[..., "Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a method of one's own, and settings of the cluster."""
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "cluster.toml").write_text("[slurm]\ntime = 60\n", encoding="utf-8")
    return tmp_path


def finished(process: Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def until(condition: Callable[[], object], process: Popen[str], patience_s: float = 120.0) -> None:
    """Wait until a condition holds, as long as a command runs."""

    def holds() -> bool:
        assert process.poll() is None, process.communicate()
        return bool(condition())

    load("slurm").wait_until(holds, lambda: "it took too long", patience_s)


def logs(folder: Path, name: str = "*") -> Iterator[tuple[str, str]]:
    """What each task said, by its name such as "12_0"."""
    for path in folder.glob(f"results/runs/slurm/*/{name}_log.out"):
        yield path.name.removesuffix("_0_log.out"), path.read_text(encoding="utf-8")


def log_of(folder: Path, task: str) -> str:
    return dict(logs(folder)).get(task, "")


def is_training(folder: Path, task: str) -> bool:
    """Whether a task is at a cell that has a checkpoint."""
    begun = re.findall(r"^\[\d+/\d+\] (planted / mmcvae / seed (\d))$", log_of(folder, task), re.MULTILINE)
    ended = "separation gap" in log_of(folder, task).rpartition(begun[-1][0] + "\n")[2] if begun else False
    checkpoint = f"planted/mmcvae/seed{begun[-1][1] if begun else ''}-*/checkpoint/state.safetensors"
    return bool(begun) and not ended and bool(list((folder / "results/runs").glob(checkpoint)))


def test_tasks_that_are_cancelled_timed_out_and_lost_leave_what_an_undisturbed_run_does(
    slurm: Any, start: Start, folder: Path
) -> None:
    (folder / "cluster.toml").write_text("[slurm]\ntime = 1\nsignal_delay_s = 10\n", encoding="utf-8")
    run = start(*GRID, *TWELVE, "--executor", "slurm", "--cluster", "cluster.toml", "--workers", "3", "--wait")
    until(lambda: len(slurm.tasks()) == 3 and all(node for _, node in slurm.tasks().values()), run)
    on_second = next(task for task, (_, node) in slurm.tasks().items() if node == "n2")
    cancelled, timed_out = (task for task, (_, node) in sorted(slurm.tasks().items()) if node == "n1")
    for task in (on_second, cancelled):
        slurm.call("scontrol", "update", f"JobId={task}", "TimeLimit=60")

    until(lambda: is_training(folder, on_second), run)
    slurm.take_down("n2")
    until(lambda: is_training(folder, cancelled), run)
    slurm.call("scancel", cancelled)
    until(lambda: "Requeued job" in log_of(folder, timed_out), run)
    slurm.bring_back("n2")
    status, table, said = finished(run)
    for name, text in logs(folder):
        print(name, text, sep="\n")
    print(said)
    assert status == 1, said  # the deadly cell
