"""Job scripts: what they start, word for word, and how they pass signals on. The shell's is run as it stands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cabench.errors import UserError
from cabench.experiment.job_script import Job, Kind, job_script, request_arguments
from cabench.experiment.request import Request

KINDS: tuple[Kind, ...] = ("slurm", "pbs", "shell")
ODD = 'it\'s a "folder" $HOME `x` \\'
SETS = ["planted.repeats=1"]
METHOD = """
from cabench import ContrastiveAnalysisMethod, Representation, Settings

class Mine(ContrastiveAnalysisMethod):
    name, version, Config = "mine", 1, Settings
    def fit(self, data, context): ...
    def encode(self, images): return Representation(images.flatten(1)[:, :2], images.flatten(1)[:, 2:4])
    def state_dict(self): return {}
    def load_state_dict(self, state): ...
"""
# In the place of Python: it writes down what it was started with. A worker waits until it is told to stop.
STAND_IN = """#!/bin/bash
trap 'exit 130' TERM
{ printf '%s\\0' "$PWD" "$CABENCH_CACHE" "$OMP_NUM_THREADS" "$@"; } > "$NOTES/$$.part"
mv "$NOTES/$$.part" "$NOTES/$$.note"
case "$*" in
    *"cabench run"*) [ -z "$WAITS" ] || { sleep 60 & wait; } ;;
    *"cabench plan"*) echo '{"waiting": '"$WAITING"'}' ;;
    "-P -c"*) exec "$PYTHON" "$@" ;;
esac
exit "${STATUS:-0}"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an odd name, a cache, a method in a file and a profile."""
    folder = tmp_path / ODD
    folder.mkdir()
    (folder / "mine.py").write_text(METHOD, encoding="utf-8")
    (folder / "mine.toml").write_text('extends = "smoke"\n', encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CABENCH_CACHE", str(folder / "cache"))
    return folder


@pytest.fixture
def stand_in(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has scripts start the stand-in for Python, and a stand-in for `scontrol`. Gives the folder of their notes."""
    notes = tmp_path / "notes"
    for path, text in ((folder / "my python", STAND_IN), (tmp_path / "bin" / "scontrol", STAND_IN)):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    notes.mkdir()
    for name, value in {
        "NOTES": notes,
        "PYTHON": sys.executable,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    }.items():
        monkeypatch.setenv(name, str(value))
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "NCPUS", "SLURM_RESTART_COUNT", "WAITS", "STATUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WAITING", "0")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setattr(sys, "executable", str(folder / "my python"))
    return notes


def job(limit_s: int | None = 4 * 3600, workers: int = 2, **changes: object) -> Job:
    request = Request("mine.py:Mine,pca", "planted", "0-1", "mine.toml", SETS, controls=False)
    return Job(Request(**{**vars(request), **changes}), Path("results"), workers, limit_s)


def written(tmp_path: Path, kind: Kind, wanted: Job) -> Path:
    script = tmp_path / f"{kind}.sh"
    script.write_text(job_script(kind, wanted), encoding="utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)
    return script


def noted(notes: Path) -> list[list[str]]:
    return sorted(path.read_bytes().decode().split("\0")[:-1] for path in notes.glob("*.note"))


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never came")


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_is_the_request_word_for_word(kind: Kind, folder: Path, stand_in: Path, tmp_path: Path) -> None:
    script = written(tmp_path, kind, job(data_root=folder / "raw data", device="cuda", precision="bf16"))
    subprocess.run(["bash", str(script)], check=True, cwd="/")
    workers = [words for words in noted(stand_in) if "run" in words]
    assert len(workers) == (2 if kind == "shell" else 1)
    place, cache, threads, *words = workers[0]
    assert (place, cache, threads) == (str(folder), str(folder / "cache"), "1")
    assert words == [
        *(
            "-P",
            "-m",
            "cabench",
            "run",
            "--methods",
            f"{folder}/mine.py:Mine,pca",
            "--datasets",
            "planted",
            "--seeds",
            "0-1",
        ),
        *("--profile", f"{folder}/mine.toml", "--device", "cuda", "--precision", "bf16"),
        *("--data-root", f"{folder}/raw data", "--set", SETS[0], "--no-controls", "--results", f"{folder}/results"),
        *("--time-limit", "3h58m"),
    ]


def test_changes_with_any_characters_stay_what_they_are() -> None:
    odd = ['mine.note=it\'s "so" $HOME `x`', "pca.x=a\nb"]
    assert request_arguments(Request("pca", sets=odd)) == ["--methods", "pca", "--set", odd[0], "--set", odd[1]]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("slurm", "#SBATCH --time=04:00:00"),
        ("slurm", "#SBATCH --array=0-1"),
        ("slurm", "##SBATCH --gres=gpu:1"),
        ("pbs", "#PBS -l walltime=04:00:00"),
        ("pbs", "#PBS -J 0-1"),
        ("pbs", "#PBS -l select=1:ncpus=1:mem=4gb"),
    ],
)
def test_schedulers_are_told_what_was_asked_for(folder: Path, kind: Kind, line: str) -> None:
    assert line in job_script(kind, job()).splitlines()


def test_a_gpu_is_asked_for_where_the_request_names_one(folder: Path) -> None:
    assert "\n#SBATCH --gres=gpu:1\n" in job_script("slurm", job(device="cuda"))
    assert "ngpus=1" in job_script("pbs", job(device="cuda"))


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_limit_nothing_is_said_of_one(folder: Path, kind: Kind) -> None:
    text = job_script(kind, job(None))
    assert not re.search("--time-limit|--time=|walltime|timeout", text)


def test_one_job_of_pbs_is_no_array(folder: Path) -> None:
    assert "#PBS -J" not in job_script("pbs", job(workers=1)), "PBS refuses an array of one"


@pytest.mark.parametrize("kind", KINDS)
def test_the_data_is_built_once_before(folder: Path, kind: Kind, planted_info: object) -> None:
    build = f"-m cabench data build planted --profile '{folder}/mine.toml'".replace("it's", "it'\"'\"'s")
    (line,) = [line for line in job_script(kind, job()).splitlines() if "data build" in line]
    assert build in line
    assert line.endswith(" --set planted.repeats=1 || exit" if kind == "shell" else " --set planted.repeats=1")
    assert line.startswith("#") == (kind != "shell")
    import cabench

    cabench.load_dataset("planted", "smoke", sets=SETS)
    assert "data build" not in job_script(kind, job())


def test_no_line_of_a_comment_leaves_it(folder: Path, tmp_path: Path) -> None:
    text = job_script("slurm", job(data_root=tmp_path / "a\ntouch broken"))
    comments = text[: text.index("\n#SBATCH")].splitlines()
    assert any("touch broken" in line for line in comments)
    assert all(line.startswith("#") or not line for line in comments)


@pytest.mark.parametrize(
    ("number", "asked_again"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)], ids=["its time ends", "cancelled"]
)
def test_slurm_stops_the_worker_and_queues_it_again_when_its_time_ends(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, asked_again: bool
) -> None:
    monkeypatch.setenv("WAITS", "yes")
    process = subprocess.Popen(["bash", str(written(tmp_path, "slurm", job()))])
    wait_for(lambda: bool(noted(stand_in)))
    process.send_signal(number)
    assert process.wait(30) == 130
    assert [words[3:] for words in noted(stand_in) if "requeue" in words] == asked_again * [["requeue", "7_1"]]


@pytest.mark.parametrize(
    ("waiting", "status", "restarts", "asked_again"),
    [
        ("3", "0", "", True),
        ("3", "1", "19", True),
        ("0", "0", "", False),
        ("3", "2", "", False),
        ("3", "0", "20", False),
    ],
)
def test_slurm_queues_a_task_again_while_cells_wait(
    stand_in: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waiting: str,
    status: str,
    restarts: str,
    asked_again: bool,
) -> None:
    for name, value in (("WAITING", waiting), ("STATUS", status), ("SLURM_RESTART_COUNT", restarts)):
        monkeypatch.setenv(name, value)
    ended = subprocess.run(["bash", str(written(tmp_path, "slurm", job()))], check=False)
    assert ended.returncode == int(status)
    assert any("requeue" in words for words in noted(stand_in)) == asked_again


def test_pbs_has_the_worker_stop_a_minute_before_its_time_ends(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITS", "yes")
    script = written(tmp_path, "pbs", job())
    text = script.read_text(encoding="utf-8")
    assert "--signal=TERM 14340 " in text
    script.write_text(text.replace("--signal=TERM 14340 ", "--signal=TERM 3 "), encoding="utf-8")
    assert subprocess.run(["bash", str(script)], check=False, timeout=30).returncode == 130


def test_the_shell_passes_signals_on_to_all_workers(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITS", "yes")
    process = subprocess.Popen(["bash", str(written(tmp_path, "shell", job(workers=3)))])
    wait_for(lambda: sum("run" in words for words in noted(stand_in)) == 3)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert not any("report" in words for words in noted(stand_in))


@pytest.mark.parametrize("limit_s", [299, 1])
def test_too_short_a_time_is_refused(folder: Path, limit_s: int) -> None:
    with pytest.raises(UserError, match=r"is too short for a job .* give at least 5m"):
        job_script("slurm", job(limit_s))


def test_no_workers_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="--workers 0 is not allowed"):
        job_script("shell", job(workers=0))


def test_a_request_that_cannot_be_run_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="Unknown method 'pcaa'; did you mean 'pca'"):
        job_script("slurm", job(methods="pcaa"))


@pytest.mark.slow
def test_the_shells_script_computes_the_request(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    options = (
        "--methods",
        "mine.py,pca",
        "--profile",
        "mine.toml",
        "--seeds",
        "0-1",
        "--no-controls",
        "--set",
        SETS[0],
    )
    cabench = [sys.executable, "-m", "cabench"]
    submitted = [*cabench, "submit", "--script", "shell", *options, "--workers", "2", "--output", str(script)]
    subprocess.run(submitted, check=True, cwd=folder)
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    records = sorted(folder.glob("results/runs/planted/*/seed*/record.json"))
    assert [path.parent.parent.name for path in records] == ["mine", "mine", "pca", "pca"]
    for row in ("| mine", "| pca"):
        assert row in done.stdout
    refused = subprocess.run(submitted, capture_output=True, text=True, cwd=folder, check=False)
    assert refused.returncode == 2
    assert "give --force to replace it" in refused.stderr
