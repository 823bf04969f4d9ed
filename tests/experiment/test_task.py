"""Tasks: in which order workers claim them, and what is said of those that are left."""

from __future__ import annotations

import pytest
import torch

from cabench.discovery import method_class, plugins
from cabench.errors import UserError
from cabench.experiment.device import check_gpu
from cabench.experiment.plan import resolve
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import Task, claiming_order, reasons_for, tasks_of, tasks_on_gpu
from cabench.hardening.journal import Journal
from cabench.method import NetworkMethod


@pytest.fixture
def tasks(tmp_path) -> tuple[Task, ...]:
    request = Request("pca,mmcvae,chance,random_encoder", "planted", "0-1", "smoke", device="cpu", controls=False)
    cells = resolve(request, lambda text: None).cells
    return tasks_of(cells, ResultsStore(tmp_path), False, Journal())


def labels(tasks: list[Task]) -> list[str]:
    return [f"{task.cell.identity.method['label']} {task.cell.identity.seed}" for task in tasks]


def test_a_worker_with_a_gpu_takes_the_cells_that_use_it_first(tasks) -> None:
    assert labels(claiming_order(tasks, torch.device("cuda", 1))) == [
        *("mmcvae 0", "mmcvae 1", "random_encoder 0", "random_encoder 1"),
        *("pca 0", "pca 1", "chance 0", "chance 1"),
    ]
    assert claiming_order(tasks, torch.device("cpu")) == list(tasks), "a processor takes them as they come"


def test_cells_that_use_no_gpu_are_computed_on_the_processor(tasks) -> None:
    gpu = torch.device("cuda", 1)
    places = {task.cell.identity.method["label"]: task.cell.place(gpu).type for task in tasks}
    assert places == {"pca": "cpu", "mmcvae": "cuda", "chance": "cpu", "random_encoder": "cuda"}


def test_only_gpu_leaves_the_others_and_says_so(tasks, tmp_path) -> None:
    mine = tasks_on_gpu(tasks)
    assert labels(mine) == ["mmcvae 0", "mmcvae 1", "random_encoder 0", "random_encoder 1"]
    left = [task for task in tasks if task not in mine[1:]]
    store = ResultsStore(tmp_path)
    with store.lock(mine[0].cell.identity):
        assert (
            reasons_for(left, store, mine, None)
            == reasons_for(left, store, mine, 60)
            == [
                "[3/8] planted / mmcvae / seed 0: left to the process that is working on it",
                "Left to processes without a GPU: 4 cells (planted / pca / seed 0, planted / pca / seed 1, planted / "
                "chance / seed 0, …).",
            ]
        )
    assert reasons_for(mine[:1], store, mine, 60) == [
        "Left for want of time: 1 cell (planted / mmcvae / seed 0); the same command goes on with them."
    ]


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_only_gpu_without_one_is_refused(cabench_here, monkeypatch, device) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused = cabench_here("run", "--methods", "pca", "--profile", "smoke", "--device", device, "--only-gpu")
    assert refused.returncode == 2
    assert "--only-gpu is for runs on a GPU, but " in refused.stderr


def test_a_gpu_that_is_there_will_do(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_gpu("auto")
    check_gpu("cuda:0")
    with pytest.raises(UserError, match="cpu was asked for"):
        check_gpu("cpu")


@pytest.mark.parametrize("name", plugins("methods"))
def test_networks_are_on_the_device_and_nothing_else_is(name: str) -> None:
    kind = method_class(name)
    assert kind.uses_device == issubclass(kind, NetworkMethod)
