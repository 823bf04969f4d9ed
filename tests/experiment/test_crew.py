"""Several workers on one run: real processes, some of which die, are stopped or lose those that started them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow  # each process imports torch

GRID = ("run", "--profile", "smoke", "--datasets", "planted", "--no-controls", "--set", "planted.repeats=1")
LONG = ("--methods", "patient.py", "--seeds", "0-1", "--set", "patient.epochs=8", "--checkpoint-seconds", "0")
OWN = '''
"""Methods whose fits are counted, and one whose fit ends its process."""
import os
import signal

import torch
from cabench import ContrastiveAnalysisMethod, Representation, Settings


class Counted(ContrastiveAnalysisMethod):
    """Encodes an image as its mean."""

    name = "counted"
    version = 1
    Config = Settings

    def fit(self, data, context):
        with open("fits.txt", "a") as file:
            file.write(f"{self.name} {context.folder.name} {torch.get_num_threads()}\\n")
        print("said by", self.name)

    def encode(self, images):
        means = images.float().mean((1, 2, 3))[:, None]
        return Representation(means, -means)

    def parameter_count(self):
        return 0

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Failing(Counted):
    """Raises."""

    name = "failing"

    def fit(self, data, context):
        super().fit(data, context)
        raise RuntimeError("no")


class Deadly(Counted):
    """Ends its process."""

    name = "deadly"

    def fit(self, data, context):
        super().fit(data, context)
        os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.fixture
def folder(tmp_path: Path, patient: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    shutil.copy(patient, tmp_path)
    return tmp_path


@pytest.fixture
def start(folder: Path, start_python: Any) -> Callable[..., Any]:
    """Starts the watched command line on the grid."""

    def begin(*arguments: object, **environment: str) -> Any:
        return start_python(folder, "-m", "cabench", *GRID, *arguments, **environment)

    return begin


def outcomes(results: Path) -> dict[str, dict[str, object]]:
    """What must not depend on who computed a cell, by the cell's folder."""
    found = {}
    for path in results.glob("*/*/seed*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        names = ("key", "status", "scores", "separation_gap", "vectors_sha256", "dimension_r2", "error")
        kept = {name: record[name] for name in names} | {"threads": record["provenance"]["threads"]}
        found[str(path.parent.relative_to(results))] = kept
    return found


def fits(folder: Path) -> list[str]:
    return sorted((folder / "fits.txt").read_text(encoding="utf-8").splitlines())


def workers_of(process: Any) -> list[psutil.Process]:
    """The workers below a command line."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [child for child in below if "cabench.experiment.worker" in child.cmdline()]


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def epochs(folder: Path) -> Iterator[int]:
    for log in folder.glob("results/runs/*/*/seed*/log.jsonl"):
        yield len(log.read_text(encoding="utf-8").splitlines())


def both_train(folder: Path) -> bool:
    return sum(count >= 2 for count in epochs(folder)) == 2


def test_workers_compute_every_cell_once_and_to_the_last_bit_as_one_does(folder: Path, start: Any) -> None:
    grid = ("--methods", "mmcvae,own.py:Counted,pca", "--seeds", "0-1")
    alone = start(*grid, "--results", "alone", OMP_NUM_THREADS="1")
    assert alone.communicate()[1].count("separation gap") == 6
    (folder / "fits.txt").unlink()
    crew = start(*grid, "--results", "crew", "--workers", "3", OMP_NUM_THREADS="1")
    table, said = crew.communicate()
    assert crew.returncode == 0, said
    assert outcomes(folder / "crew") == outcomes(folder / "alone")
    assert len(fits(folder)) == 2, fits(folder)
    assert "3 workers with 1 thread each" in said
    assert said.count("separation gap") == 6
    assert "said by counted" in said
    assert "said by" not in table, "a method printed into the table"
    again = start(*grid, "--results", "crew", "--workers", "3", OMP_NUM_THREADS="1")
    assert "6 of 6 cells are finished already." in again.communicate()[1]


def test_a_worker_that_dies_is_replaced_and_what_failed_is_tried_once(folder: Path, start: Any) -> None:
    process = start("--methods", "own.py:Failing,own.py:Deadly,pca", "--seeds", "0", "--workers", "2")
    _, said = process.communicate()
    assert process.returncode == 1
    errors = {path.split("/")[1]: found["error"] for path, found in outcomes(folder / "results/runs").items()}
    assert errors["pca"] is None
    assert errors["failing"]["message"] == "no"
    assert errors["deadly"]["type"] == "ProcessDiedError"
    names = [line.split()[0] for line in fits(folder)]
    assert (names.count("failing"), names.count("deadly")) == (1, 3)
    assert said.count("was ended by SIGKILL; another one goes on.") == 3
    assert "2 of 3 cells failed" in said


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, patient: Path, start_python: Any
) -> dict[str, dict[str, object]]:
    """What the long grid comes to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(patient, folder)
    start_python(folder, "-m", "cabench", *GRID, *LONG, OMP_NUM_THREADS="1").communicate()
    return outcomes(folder / "results/runs")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_sent_to_all", [False, True], ids=["to the watcher", "to all, as schedulers do"])
def test_a_request_to_stop_reaches_all_and_the_same_command_goes_on(
    folder: Path,
    start: Any,
    number: signal.Signals,
    is_sent_to_all: bool,
    undisturbed: dict[str, dict[str, object]],
) -> None:
    (folder / "slowly").touch()
    process = start(*LONG, "--workers", "2", OMP_NUM_THREADS="1")
    wait_for(lambda: both_train(folder))
    workers = workers_of(process)
    for worker in workers if is_sent_to_all else []:
        worker.send_signal(number)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 130
    assert not list(folder.glob("results/runs/*/*/seed*/.begun")), "a worker was killed before it could stop"
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert len(workers) == 2
    assert not any(worker.is_running() for worker in workers)
    assert len(list(folder.glob("results/runs/*/*/seed*/checkpoint/state.safetensors"))) == 2
    (folder / "slowly").unlink()
    start(*LONG, "--workers", "2", OMP_NUM_THREADS="1").communicate()
    assert outcomes(folder / "results/runs") == undisturbed
    assert len(undisturbed) == 2


CREW_OF_ONE = """
import signal, sys
from pathlib import Path
import torch
from cabench.errors import StopRequested
from cabench.experiment.assignment import Assignment
from cabench.experiment.crew import Crew
from cabench.experiment.plan import resolve
from cabench.experiment.progress import make_reporter
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import tasks_of
from cabench.experiment.workforce import Place
from cabench.hardening.journal import Journal
from cabench.hardening.stopping import stopping_at

sets = ["planted.repeats=1", "mmcvae.epochs=500"]
request = Request("mmcvae", "planted", "0", "smoke", sets, "cpu", "auto", None, False)
store = ResultsStore(Path("results/runs").absolute())
tasks = tasks_of(resolve(request, print).cells, store, False, Journal())
try:
    with stopping_at(signal.SIGTERM):
        Crew(Assignment(tasks, store, 1000.0, True), [Place(torch.device("cpu"), 1)], make_reporter(), Journal()).work()
except StopRequested:
    sys.exit(7)
"""


def test_a_crew_that_is_asked_to_stop_waits_until_its_last_worker_has_written_a_checkpoint(
    folder: Path, start_python: Any
) -> None:
    process = start_python(folder, "-c", CREW_OF_ONE)
    wait_for(lambda: sum(epochs(folder)) >= 2)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 7, said
    assert not list(folder.glob("results/runs/*/*/seed*/.begun"))
    assert list(folder.glob("results/runs/*/*/seed*/checkpoint/state.safetensors"))


@pytest.mark.parametrize("whose", ["watcher", "crew"])
def test_no_worker_outlives_who_started_it(folder: Path, start: Any, whose: str) -> None:
    (folder / "slowly").touch()
    process = start(*LONG, "--workers", "2")
    wait_for(lambda: both_train(folder))
    workers = workers_of(process)
    assert len(workers) == 2
    if whose == "watcher":
        process.send_signal(signal.SIGKILL)
    else:
        os.kill(workers[0].ppid(), signal.SIGKILL)
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))
    if whose == "crew":
        (folder / "slowly").unlink()
        _, said = process.communicate()
        assert process.returncode == 0, said
        assert [found["status"] for found in outcomes(folder / "results/runs").values()] == ["ok", "ok"]


def test_a_script_gives_its_own_classes_to_workers(folder: Path, start_python: Any) -> None:
    script = (
        OWN
        + """
import cabench

if __name__ == "__main__":
    done = cabench.run([Counted, "pca"], "planted", 2, "smoke", sets=["planted.repeats=1"], controls=False, workers=2)
    print([record.status for record in done.records], done.left)
"""
    )
    process = start_python(folder, "-c", script)
    output, errors = process.communicate()
    assert "['ok', 'ok', 'ok', 'ok'] 0" in output, errors
    assert len(fits(folder)) == 2


def test_a_results_folder_that_cannot_be_written_ends_all_workers_with_one_sentence(folder: Path, start: Any) -> None:
    (folder / "results/runs/planted").mkdir(parents=True)
    (folder / "results/runs/planted/pca").write_text("a file where a folder should be", encoding="utf-8")
    process = start("--methods", "pca", "--seeds", "0-1", "--workers", "2")
    _, said = process.communicate()
    assert process.returncode == 2
    assert said.count("Error:") == 1
    assert "could not be saved in" in said
    assert "Traceback" not in said


def test_a_process_that_a_method_leaves_behind_is_not_waited_for(folder: Path, start: Any) -> None:
    leaving = OWN.replace("class Failing", "import subprocess\n\n\nclass Leaving").replace('"failing"', '"leaving"')
    left_behind = '        print(subprocess.Popen(["sleep", "300"]).pid, file=open("left.txt", "w"))'
    (folder / "own.py").write_text(leaving.replace('        raise RuntimeError("no")', left_behind), encoding="utf-8")
    process = start("--methods", "own.py:Leaving", "--seeds", "0", "--workers", "2")
    _, said = process.communicate(120)
    behind = psutil.Process(int((folder / "left.txt").read_text()))
    assert behind.is_running(), "the run waited for it"
    behind.kill()
    assert process.returncode == 0, said
