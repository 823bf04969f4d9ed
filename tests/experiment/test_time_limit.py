"""A run with a time limit begins no cell for which too little time is left, and says what it leaves."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
import torch

import cabench
from cabench import UserError
from cabench.experiment.cell import Cell
from cabench.experiment.plan import resolve
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore
from cabench.experiment.time_limit import TimeLimit
from cabench.experiment.workforce import Place
from cabench.hardening.journal import Journal

HERE = Place(torch.device("cpu"), torch.get_num_threads())
SETS = ["planted.repeats=1"]


@pytest.fixture
def store(tmp_path: Path) -> ResultsStore:
    return ResultsStore(tmp_path / "results")


def compute(store: ResultsStore, methods: str, seeds: str, **settings: object) -> cabench.Results:
    return cabench.run(
        methods, "planted", seeds, "smoke", store.folder, sets=SETS, controls=False, device="cpu", **settings
    )


def cells(methods: str, seeds: str) -> list[Cell]:
    return resolve(Request(methods, "planted", seeds, "smoke", SETS, "cpu", controls=False), lambda text: None).cells


def took(store: ResultsStore, seconds: dict[int, float], **changes: object) -> None:
    """Have the records of some seeds say that their cells took so many seconds."""
    for record in store.records():
        if record.seed in seconds:
            cost = {**record.cost, "train_s": seconds[record.seed], "probe_s": 0.0}
            store.replace_record(dataclasses.replace(record, cost=cost, **changes))


def limit(store: ResultsStore, seconds: float) -> TimeLimit:
    """A limit of a process that has begun a cell already."""
    found = TimeLimit(store, HERE, time.monotonic() + seconds)
    found.begun()
    return found


def test_the_slowest_cell_of_a_kind_says_whether_there_is_time(store: ResultsStore) -> None:
    compute(store, "pca", "0-2")
    took(store, {0: 20.0, 1: 1000.0, 2: 20.0})
    (cell,) = cells("pca", "3")
    assert limit(store, 1100).leaves_room_for(cell)
    assert not limit(store, 900).leaves_room_for(cell)


def test_cells_that_end_during_the_run_count(store: ResultsStore) -> None:
    (cell,) = cells("pca", "3")
    running = limit(store, 900)
    assert running.leaves_room_for(cell), "nothing tells how long it takes"
    compute(store, "pca", "0")
    took(store, {0: 1000.0})
    assert not running.leaves_room_for(cell)


def test_failures_other_methods_and_other_threads_tell_nothing(store: ResultsStore) -> None:
    compute(store, "pca,chance", "0-1")
    error = {"type": "ValueError", "message": "", "traceback": "", "step": None, "last_terms": None}
    took(store, {0: 1000.0}, status="failed", scores=(), separation_gap=None, error=error)
    took(store, {1: 1000.0}, provenance={"threads": 99})
    running = limit(store, 900)
    assert [running.leaves_room_for(cell) for cell in cells("pca,chance", "2")] == [True, True]


def test_a_first_cell_is_begun_while_there_is_time_at_all(store: ResultsStore) -> None:
    compute(store, "pca", "0")
    took(store, {0: 1000.0})
    (cell,) = cells("pca", "1")
    ends_s = time.monotonic() + 900
    first = TimeLimit(store, HERE, ends_s)
    assert first.leaves_room_for(cell)
    assert first.leaves_room_for(cell), "it was not begun yet"
    first.begun()
    assert not first.leaves_room_for(cell)
    assert not TimeLimit(store, HERE, time.monotonic()).leaves_room_for(cell)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_leaves_what_it_has_no_time_for_and_says_so(
    store: ResultsStore, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    compute(store, "pca", "0")
    took(store, {0: 1000.0})
    done = compute(store, "pca,chance", "0-4", workers=workers, time_limit="15m")
    labels = [record.method["label"] for record in done.records]
    assert labels.count("chance") == 5, "nothing told that these take long"
    # Of the long kind, seed 0 was there, and each worker begins its first cell whatever it is.
    assert 2 <= labels.count("pca") <= 1 + workers
    assert done.left == 10 - len(labels)
    said = " ".join(capsys.readouterr().err.split())
    assert f"Left for want of time: {done.left} cells (planted / pca / seed " in said
    assert "; the same command goes on with them." in said
    assert compute(store, "pca,chance", "0-4").left == 0


def test_what_is_left_does_not_make_a_run_fail(cabench_here, store: ResultsStore, tmp_path: Path) -> None:
    request = ("--methods", "pca", "--profile", "smoke", "--no-controls", "--set", SETS[0], "--results", "results")
    assert cabench_here("run", *request, "--seeds", "0").returncode == 0
    took(store, {0: 1000.0})
    ended = cabench_here("run", *request, "--seeds", "0-3", "--time-limit", "15m")
    assert ended.returncode == 0
    assert "2 cells are left; `cabench plan` names them." in ended.stderr


@pytest.mark.parametrize("text", ["50", "soon"])
def test_another_limit_is_refused_before_any_work(store: ResultsStore, text: str) -> None:
    with pytest.raises(UserError, match="is no span of time"):
        compute(store, "pca", "0", time_limit=text)
    assert not store.folder.exists()


def test_all_processes_of_a_run_have_one_start(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("ab+", buffering=0) as file:
        first = Journal(file.fileno()).started_s()
        Journal(file.fileno()).begun("0")
        assert Journal(file.fileno()).started_s() == first <= time.monotonic()
    assert Journal().started_s() > first, "a journal that keeps nothing starts now"
