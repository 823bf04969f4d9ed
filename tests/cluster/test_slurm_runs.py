"""`run --executor slurm` on a real SLURM: what ends tasks, and what comes of their cells."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..kill_runs import cell_of
from .conftest import finished
from .slurm import Slurm, wait_until

GRID = ("run", "--profile", "smoke", "--datasets", "planted", "--no-controls", "--set", "planted.repeats=1")
TWELVE = (
    *("--methods", "patient.py,own.py,pca", "--seeds", "0-3"),
    *("--set", "patient.epochs=12", "--checkpoint-seconds", "0"),
)
ON_SLURM = ("--executor", "slurm", "--cluster", "cluster.toml")
Start = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, patient: Path) -> Path:
    """With methods of one's own, and settings of the cluster."""
    shutil.copy(patient, tmp_path)
    shutil.copy(Path(__file__).with_name("own.py"), tmp_path)
    (tmp_path / "cluster.toml").write_text("[slurm]\ntime = 60\n", encoding="utf-8")
    return tmp_path


def until(condition: Callable[[], object], process: Any, patience_s: float = 120.0) -> None:
    """Wait until a condition holds, as long as a command runs."""

    def holds() -> bool:
        assert not process.ended(), process.communicate()
        return bool(condition())

    wait_until(holds, lambda: "it took too long", patience_s)


def logs(folder: Path, name: str = "*") -> Iterator[tuple[str, str]]:
    """What each task said, by its name such as "12_0"."""
    for path in folder.glob(f"results/runs/slurm/*/{name}_log.out"):
        yield path.name.removesuffix("_0_log.out"), path.read_text(encoding="utf-8")


def log_of(folder: Path, task: str) -> str:
    return dict(logs(folder)).get(task, "")


def is_training(folder: Path, task: str) -> bool:
    """Whether a task is at a cell that has a checkpoint by now."""
    told = [line for line in log_of(folder, task).splitlines() if line.startswith("[")]
    begun = re.fullmatch(r"\[\d+/12\] planted / patient / seed (\d)", told[-1] if told else "")
    return bool(begun and [*folder.glob(f"results/runs/planted/patient/seed{begun[1]}-*/checkpoint/state.safetensors")])


def without_seconds(table: str) -> str:
    """A report without the column of training times."""
    lines = table.splitlines()
    column = next(line.split("|").index("   training (s) ") for line in lines if "training (s)" in line)
    first = next(number for number, line in enumerate(lines) if "training (s)" in line)
    last = next(number for number in range(first, len(lines)) if not lines[number])
    for number in range(first, last):
        cells = lines[number].split("|")
        lines[number] = "|".join([*cells[:column], *cells[column + 1 :]])
    return "\n".join(lines)


def left_by(results: Path) -> dict[str, tuple[object, str, int]]:
    """What must be the same of every cell, whoever computed it; with the number of threads."""
    found: dict[str, tuple[object, str, int]] = {}
    for path in results.glob("*/*/seed*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        same = cell_of(path.parent) if record["status"] == "ok" else record["error"]["message"]
        found[str(path.parent.relative_to(results))] = same, record["key"], record["provenance"]["threads"]
    return found


def test_cells_of_tasks_that_are_cancelled_timed_out_and_lost_end_as_in_an_undisturbed_run(
    slurm: Slurm, start: Start, folder: Path
) -> None:
    (folder / "cluster.toml").write_text("[slurm]\ntime = 1\nsignal_delay_s = 10\n", encoding="utf-8")
    (folder / "slowly").touch()  # no cell of this method ends before all is done to the tasks
    run = start(*GRID, *TWELVE, *ON_SLURM, "--workers", "3", "--wait")
    until(lambda: len(slurm.tasks()) == 3 and all(node for _, node in slurm.tasks().values()), run)
    lost = next(task for task, (_, node) in slurm.tasks().items() if node == "n2")
    cancelled, timed_out = (task for task, (_, node) in sorted(slurm.tasks().items()) if node == "n1")
    for task in (lost, cancelled):
        slurm.call("scontrol", "update", f"JobId={task}", "TimeLimit=60")

    until(lambda: is_training(folder, lost), run)
    slurm.take_down("n2")
    until(lambda: is_training(folder, cancelled), run)
    slurm.call("scancel", cancelled)
    until(lambda: "Requeued job" in log_of(folder, timed_out), run)
    (folder / "slowly").unlink()
    slurm.bring_back("n2")
    status, _, said = finished(run)

    assert status == 1, said
    assert "1 of 12 cells failed" in said
    assert "deadly / seed 2: FAILED: ProcessDiedError: 3 processes in a row died" in said
    assert "stopped; the same command continues it" in log_of(folder, cancelled)
    assert "this job is timed-out" in log_of(folder, timed_out)
    assert log_of(folder, lost).count("Starting with JobEnvironment") == 2
    left = "".join(
        str(path) for path in folder.glob("results/runs/*/*/seed*/*") if path.name in (".begun", "checkpoint")
    )
    assert not left

    alone = start(*GRID, *TWELVE, "--results", "alone", "--workers", "2", OMP_NUM_THREADS="1")
    assert finished(alone)[0] == 1
    expected, found = left_by(folder / "alone"), left_by(folder / "results/runs")
    assert len(expected) == 12
    assert expected.keys() == found.keys()
    assert [cell for cell in expected if expected[cell] != found[cell]] == []
    assert {cell: values[2] for cell, values in found.items()} == dict.fromkeys(found, 1)
    reports = [finished(start("report", "--results", name))[1] for name in ("results/runs", "alone")]
    assert without_seconds(reports[0]) == without_seconds(reports[1])
