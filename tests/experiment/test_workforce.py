"""How many workers there are, where, with how many threads, and that no more start than there is memory for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from cabench.errors import UserError
from cabench.experiment import workforce as module
from cabench.experiment.plan import resolve
from cabench.experiment.request import Request
from cabench.experiment.workforce import GIB, PROCESS_GIB, Place, available_cores, memory_of, parse_workers, workforce

CPU = torch.device("cpu")


@pytest.fixture
def cells():
    request = Request("pca,chance", "planted", "0-4", "smoke", ["planted.repeats=1"], "cpu", "fp32", None, False)
    return resolve(request, say=lambda text: None).cells


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine of eight cores and 64 GiB."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "available_cores", lambda: 8)
    monkeypatch.setattr(module, "available_memory", lambda: 64.0 * GIB)
    return monkeypatch


def finished(cell, gib: float, gpu: str | None = None):
    """As much of a record as tells of memory."""
    return SimpleNamespace(
        status="ok",
        provenance={"gpu": gpu},
        computation=cell.identity.computation,
        cost={"peak_memory_gib": gib},
    )


def test_auto_takes_a_thread_for_each_worker_while_there_are_cells_for_all_cores(cells):
    assert workforce(None, CPU, cells, len(cells), []).places == (Place(CPU, 1),) * 8
    assert workforce(None, CPU, cells[:3], 3, []).places == (Place(CPU, 2),) * 3


def test_a_number_of_workers_shares_the_cores(cells):
    assert workforce(3, CPU, cells, len(cells), []).places == (Place(CPU, 2),) * 3
    assert workforce(20, CPU, cells, len(cells), []).places == (Place(CPU, 1),) * 10


@pytest.mark.parametrize("asked", [None, 4])
def test_threads_do_not_depend_on_what_is_left(cells, asked):
    whole, rest = (workforce(asked, CPU, cells, left, []) for left in (len(cells), 1))
    assert len(rest.places) == 1
    assert rest.places[0].threads == whole.places[0].threads


def test_threads_that_the_user_sets_stay(cells, machine):
    machine.setenv("OMP_NUM_THREADS", "4")
    assert workforce(None, CPU, cells, len(cells), []).places == (Place(CPU, 4),) * 2
    assert workforce(3, CPU, cells, len(cells), []).places == (Place(CPU, 4),) * 3


def test_auto_starts_no_more_workers_than_there_is_memory_for(cells, machine):
    machine.setattr(module, "available_memory", lambda: 2.5 * PROCESS_GIB * GIB)
    found = workforce(None, CPU, cells, len(cells), [])
    assert found.places == (Place(CPU, 1),) * 2
    assert found.said == "2 workers with 1 thread each, about 0.8 GiB each of 2.0 GiB that are free."
    machine.setattr(module, "available_memory", lambda: 0.0)
    assert len(workforce(None, CPU, cells, len(cells), []).places) == 1


def test_more_workers_than_fit_are_started_where_they_are_asked_for_and_that_is_said(cells, machine):
    machine.setattr(module, "available_memory", lambda: 2.5 * PROCESS_GIB * GIB)
    found = workforce(4, CPU, cells, len(cells), [])
    assert len(found.places) == 4
    assert found.said.endswith("; that is room for 2: the system may end some of them.")


def test_finished_cells_of_their_kind_tell_what_workers_take(cells):
    assert memory_of(cells, [finished(cells[0], 9.0)]) == 9.0 * GIB
    assert memory_of(cells, [finished(cells[0], 9.0, gpu="a GPU")]) == memory_of(cells, [])
    assert len(workforce(None, CPU, cells, len(cells), [finished(cells[0], 9.0)]).places) == 7


def test_large_data_are_expected_to_take_more(cells):
    many = {"train": {"background": 10**6, "target": 10**6}}
    large = SimpleNamespace(info=SimpleNamespace(image_shape=(3, 32, 32), counts=many, is_table=False))
    cell = SimpleNamespace(identity=cells[0].identity, data=large)
    assert memory_of([cell], []) > 2e6 * 3 * 32 * 32


def test_workers_take_turns_on_graphics_processors(cells, machine):
    machine.setattr(torch.cuda, "device_count", lambda: 2)
    every, second = torch.device("cuda"), torch.device("cuda:1")
    first = torch.device("cuda:0")
    assert workforce(None, every, cells, len(cells), []).places == (Place(first, 4), Place(second, 4))
    assert [place.device for place in workforce(3, every, cells, len(cells), []).places] == [first, second, first]
    assert workforce(None, second, cells, len(cells), []).places == (Place(second, 8),)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "", "1025", True])
def test_other_numbers_of_workers_are_refused(text):
    with pytest.raises(UserError, match=r"workers are not allowed; give auto or a number from 1 to 1,024\."):
        parse_workers(text)


def test_auto_and_numbers_are_taken():
    assert (parse_workers("auto"), parse_workers("3"), parse_workers(2)) == (None, 3, 2)


def test_a_scheduler_says_how_many_cores_a_job_has(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert available_cores() == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "")
    assert available_cores() >= 1


@pytest.mark.parametrize("own", ["/", "/job/step"])
def test_the_groups_that_a_process_is_in_say_how_much_memory_it_has(monkeypatch, tmp_path, own):
    monkeypatch.undo()
    limited = tmp_path / "root" / own.strip("/").partition("/")[0]
    (tmp_path / "root" / own.strip("/")).mkdir(parents=True)
    (tmp_path / "groups").write_text(f"0::{own}\n")
    (limited / "memory.max").write_text(f"{4 * GIB}\n")
    (limited / "memory.current").write_text(f"{3 * GIB}\n")
    (limited / "memory.stat").write_text(f"anon 7\ninactive_file {GIB}\n")
    monkeypatch.setattr(module, "OWN_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(module, "CGROUPS", ((tmp_path / "root", "", "memory.max", "memory.current"),))
    whole = module.psutil.virtual_memory().available
    assert module.available_memory() == pytest.approx(min(2 * GIB, whole), rel=0.1)
    (limited / "memory.max").write_text("max\n")
    assert module.available_memory() == pytest.approx(whole, rel=0.2)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    assert module.available_memory() == 100 * 2**20
