"""`run --executor slurm` on a real SLURM: pre-emption, requests to stop, and what is said where something fails."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import finished
from .slurm import Slurm, free_ports, wait_until

ON_SLURM = ("--executor", "slurm", "--cluster", "cluster.toml")
GRID = ("run", "--profile", "smoke", "--datasets", "planted", "--no-controls", "--set", "planted.repeats=1")
QUICK = (*GRID, "--methods", "pca", "--seeds", "0", *ON_SLURM)
LONG = (*GRID, *ON_SLURM, "--methods", "mmcvae", "--seeds", "0", "--checkpoint-seconds", "0")
PATIENT = (
    *("--methods", "patient.py", "--seeds", "0"),
    *("--set", "patient.epochs=12", "--checkpoint-seconds", "0"),
)
Start = Callable[..., Any]


def set_up(folder: Path, **settings: str) -> None:
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    (folder / "cluster.toml").write_text("\n".join(["[slurm]", "time = 60", *lines, ""]), encoding="utf-8")


def log(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in folder.glob("results/runs/slurm/*/*_log.out"))


def has_checkpoint(folder: Path) -> bool:
    return any(folder.glob("results/runs/planted/*/seed0-*/checkpoint/state.safetensors"))


def until(condition: Callable[[], bool], folder: Path) -> None:
    wait_until(condition, lambda: log(folder), 120.0)


def says_one_sentence(said: str) -> str:
    """The error that a command ended with, and nothing else but progress."""
    (sentence,) = re.findall(r"^Error: (.*)$", said, re.MULTILINE)
    assert "Traceback" not in said
    assert "sbatch: error" not in said
    return str(sentence)


def test_it_returns_at_once_and_says_how_to_watch_report_and_end(slurm: Slurm, start: Start, tmp_path: Path) -> None:
    set_up(tmp_path)
    status, table, said = finished(start(*QUICK, "--workers", "8"))
    assert (status, table) == (0, "")
    job = re.search(r"^Job (\d+) with 1 task is in SLURM's queue; its logs will be in (.*)\.$", said, re.MULTILINE)
    assert job, said
    assert all(f"`{part}" in said for part in (f"squeue --job {job[1]}", "cabench plan", "cabench report", "scancel"))
    until(lambda: not slurm.tasks(), tmp_path)
    assert "separation gap" in next(Path(job[2]).glob("*_log.out")).read_text(encoding="utf-8")
    status, table, said = finished(start(*QUICK))
    assert status == 0
    assert "1 of 1 cells are finished already" in said
    assert "| pca" in table


def test_a_preempted_task_writes_its_checkpoint_waits_for_slurm_and_goes_on(
    slurm: Slurm, start: Start, patient: Path, tmp_path: Path
) -> None:
    set_up(tmp_path, nodelist="n1")
    shutil.copy(patient, tmp_path)
    (tmp_path / "slowly").touch()  # the cell takes minutes, so that it does not end before the pre-emption
    run = start(*GRID, *ON_SLURM, *PATIENT, "--wait")
    until(lambda: has_checkpoint(tmp_path), tmp_path)
    slurm.call("sbatch", "--partition=urgent", "--nodelist=n1", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    until(lambda: "stopped; the same command continues it" in log(tmp_path), tmp_path)
    (tmp_path / "slowly").unlink()
    status, table, said = finished(run)
    assert status == 0, said
    assert "| patient" in table
    assert log(tmp_path).count("Starting with JobEnvironment") == 2


def test_ctrl_c_ends_the_waiting_and_scancel_the_job(slurm: Slurm, start: Start, tmp_path: Path) -> None:
    set_up(tmp_path)
    run = start(*LONG, "--set", "mmcvae.epochs=500", "--wait")
    until(lambda: has_checkpoint(tmp_path), tmp_path)
    run.send_signal(signal.SIGINT)
    status, _, said = finished(run)
    assert status == 130
    assert "goes on without being waited for; `scancel " in said
    assert len(slurm.tasks()) == 1
    again = start(*LONG, "--set", "mmcvae.epochs=500", "--wait")
    until(lambda: len(slurm.tasks()) == 2, tmp_path)
    slurm.call("scancel", *slurm.tasks())
    status, _, said = finished(again)
    assert status == 2
    assert re.match(r"Job \d+ has ended, and 1 of 1 cells are left\. ", says_one_sentence(said))


def test_a_partition_that_is_not_there(start: Start, tmp_path: Path) -> None:
    set_up(tmp_path, partition="nope")
    status, _, said = finished(start(*QUICK))
    assert status == 2
    assert "SLURM did not take the job: invalid partition specified: nope" in says_one_sentence(said)
    assert not any(tmp_path.glob("results/runs/slurm/*"))


def test_a_controller_that_does_not_answer(slurm: Slurm, start: Start, tmp_path: Path) -> None:
    set_up(tmp_path)
    other = tmp_path / "slurm.conf"
    text = (slurm.folder / "slurm.conf").read_text(encoding="utf-8")
    (port,) = free_ports(1)
    other.write_text(re.sub(r"SlurmctldPort=\d+", f"SlurmctldPort={port}\nMessageTimeout=1", text), encoding="utf-8")
    status, _, said = finished(start(*QUICK, SLURM_CONF=str(other)))
    assert status == 2
    assert "SLURM did not take the job: " in says_one_sentence(said)


def test_nodes_without_the_environment(start: Start, tmp_path: Path) -> None:
    set_up(tmp_path, python="/opt/absent/bin/python")
    status, _, said = finished(start(*QUICK, "--wait"))
    assert status == 2
    sentence = says_one_sentence(said)
    assert re.match(r"Job \d+ has ended, and 1 of 1 cells are left\. The last line in .* is: ", sentence)
    assert "/opt/absent/bin/python: No such file or directory" in sentence


def test_nodes_that_do_not_see_the_data_record_no_cell_as_failed(start: Start, tmp_path: Path) -> None:
    set_up(tmp_path)
    text = (tmp_path / "cluster.toml").read_text(encoding="utf-8")
    hide = f"mv {tmp_path}/cache {tmp_path}/elsewhere"
    (tmp_path / "cluster.toml").write_text(f"{text}setup = [{hide!r}]\n", encoding="utf-8")
    status, _, said = finished(start(*QUICK, "--wait", CABENCH_CACHE=str(tmp_path / "cache")))
    assert status == 2
    assert "must be on a file system that all nodes share" in says_one_sentence(said)
    assert not any(tmp_path.glob("results/runs/planted"))


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own with room for two pages."""
    place = tmp_path / "tiny"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(place)], check=False).returncode == 0
    if not made:
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(start: Start, tmp_path: Path, tiny: Path) -> None:
    set_up(tmp_path)
    status, _, said = finished(start(*QUICK, "--results", tiny))
    assert status == 2
    assert "No space left on device" in says_one_sentence(said)
    assert "--results" in said


def test_no_slurm(start: Start, tmp_path: Path) -> None:
    set_up(tmp_path)
    status, _, said = finished(start(*QUICK, PATH=os.fspath(tmp_path)))
    assert status == 2
    assert "There is no SLURM on this machine" in says_one_sentence(said)
