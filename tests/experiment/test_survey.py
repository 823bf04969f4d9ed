"""What has become of cells: looked at again and again, and read again only where something has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cabench.context import FitContext
from cabench.data.file import DatasetFile
from cabench.experiment import many_records, statuses
from cabench.experiment.cell import Cell
from cabench.experiment.plan import Outline, outline, resolve
from cabench.experiment.plan_document import plan_document
from cabench.experiment.record import Record
from cabench.experiment.request import Request
from cabench.experiment.store import ResultsStore
from cabench.experiment.survey import Survey, Surveyor, survey
from cabench.hardening.deaths import noting_death
from cabench.hardening.journal import Journal
from cabench.methods.chance import Chance

REQUEST = Request("chance,pca", "planted", "0-1", "smoke", ["planted.repeats=1"], "cpu", "fp32", None, False)
Compute = Callable[[Request], None]


@pytest.fixture
def store(tmp_path: Path) -> ResultsStore:
    return ResultsStore(tmp_path / "results")


@pytest.fixture
def compute(store: ResultsStore) -> Compute:
    """Computes a request into the store."""
    import cabench

    def run(request: Request) -> None:
        cabench.run(
            request.methods,
            request.datasets,
            request.seeds,
            request.profile,
            store.folder,
            sets=request.sets,
            device=request.device,
            precision=request.precision,
            controls=request.controls,
        )

    return run


def cells_of(request: Request = REQUEST) -> list[Cell]:
    return resolve(request, lambda text: None).cells


def states(found: Survey) -> list[str]:
    return [cell.state for cell in found.cells]


def counting(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """The names of the store's functions, one for each time that they are called from now on."""
    calls: list[str] = []
    for name in names:
        kept = getattr(ResultsStore, name)

        def call(*arguments: Any, name: str = name, kept: Callable[..., Any] = kept) -> Any:
            calls.append(name)
            return kept(*arguments)

        monkeypatch.setattr(ResultsStore, name, call)
    return calls


def test_what_has_not_changed_is_not_read_again(
    store: ResultsStore, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(replace(REQUEST, methods="pca"))
    surveyor = Surveyor(outline(REQUEST), REQUEST.data_root, store)
    before = surveyor.look()
    assert states(before) == ["missing", "missing", "done", "done"]
    calls = counting(monkeypatch, "state", "load", "load_alone")
    assert surveyor.look() == before
    assert calls == []
    compute(replace(REQUEST, methods="chance", seeds="1"))
    calls.clear()
    assert states(surveyor.look()) == ["missing", "done", "done", "done"]
    assert calls == ["load_alone", "state"]


def test_many_records_are_read_by_other_processes(
    store: ResultsStore, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(REQUEST)
    damaged, changed, *_ = store.paths()
    damaged.write_text("{", encoding="utf-8")
    expected = survey(REQUEST, store)
    first, read = os.getpid(), []

    def load(path: Path, kept: Callable[[Path], Record] = Record.load) -> Record:
        if os.getpid() == first:
            read.append(path)
        return kept(path)

    monkeypatch.setattr(many_records, "MANY", 1)
    monkeypatch.setattr(many_records, "available_cores", lambda: 2)
    monkeypatch.setattr(statuses, "PART", 1)
    monkeypatch.setattr(Record, "load", load)
    surveyor = Surveyor(outline(REQUEST), REQUEST.data_root, again := ResultsStore(store.folder))
    assert surveyor.look() == expected
    assert expected.totals == {"done": 3, "damaged": 1}
    assert read == [damaged], "what another process could not read is read once more, and nothing else"
    changed.write_text("{", encoding="utf-8")
    assert surveyor.look().totals == {"done": 2, "damaged": 2}
    assert [again.state(cell.identity) for cell in cells_of()] == states(surveyor.look())


def test_a_cell_runs_while_a_process_works_on_it(store: ResultsStore) -> None:
    cell = cells_of()[1].identity
    surveyor = Surveyor(outline(REQUEST), REQUEST.data_root, store)
    assert surveyor.look().totals == {"missing": 4}
    with store.lock(cell), noting_death(cell.folder(store.folder), cell.key, Journal()):
        found = surveyor.look()
        assert states(found) == ["missing", "running", "missing", "missing"]
        assert str(os.getpid()) in (found.cells[1].worker or "")
        assert found.cells[1].said == f"running ({found.cells[1].worker})"
    assert surveyor.look().totals == {"missing": 4}


def test_a_process_that_dies_is_noticed(store: ResultsStore) -> None:
    cell = cells_of()[0].identity
    surveyor = Surveyor(outline(REQUEST), REQUEST.data_root, store)
    folder = cell.folder(store.folder)
    with store.lock(cell):
        working = noting_death(folder, cell.key, Journal())
        working.__enter__()
        begun = (folder / ".begun").read_bytes()
        assert surveyor.look().totals == {"running": 1, "missing": 3}
        working.__exit__(None, None, None)
        (folder / ".begun").write_bytes(begun)  # as a process leaves it that is killed
    assert [one.said for one in surveyor.look().cells][:2] == ["missing (1 process died at it)", "missing"]


def test_a_data_set_that_is_built_meanwhile_gives_its_cells_their_keys(
    store: ResultsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    surveyor = Surveyor(outline(REQUEST), REQUEST.data_root, store)
    before = surveyor.look()
    assert {(one.key, one.said) for one in before.cells} == {("", "missing (data set not built)")}
    assert [one.key for one in before.cells] != (keys := [cell.identity.key for cell in cells_of()])
    assert [one.key for one in surveyor.look().cells] == keys


def test_the_time_that_is_left_is_judged_by_the_cells_that_end(store: ResultsStore, compute: Compute) -> None:
    surveyor = Surveyor(outline(REQUEST), REQUEST.data_root, store)
    assert [one.expected_s for one in surveyor.look().cells] == [None] * 4
    compute(replace(REQUEST, methods="pca", seeds="0"))
    expected = [one.expected_s for one in surveyor.look().cells]
    assert expected[:3] == [None] * 3, "what is done takes no time, and another kind tells nothing"
    (record,) = store.records()
    assert expected[3] == record.cost["train_s"] + record.cost["probe_s"]


def test_other_hardware_tells_where_nothing_else_does(store: ResultsStore, compute: Compute) -> None:
    compute(replace(REQUEST, methods="pca", seeds="0-1"))
    for record, seconds, threads in zip(store.records(), (700.0, 20.0), (99, None), strict=True):
        where = {**record.provenance, **({"threads": threads} if threads else {})}
        store.replace_record(
            replace(record, cost={**record.cost, "train_s": seconds, "probe_s": 0.0}, provenance=where)
        )
    wanted = replace(REQUEST, methods="pca", seeds="2")
    assert [one.expected_s for one in survey(wanted, store).cells] == [20.0]
    (store.records()[1].folder(store.folder) / "record.json").unlink()
    assert [one.expected_s for one in survey(wanted, store).cells] == [700.0]


def test_the_document_says_all_that_is_known(
    store: ResultsStore, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Chance, data: object, context: FitContext) -> None:
        raise ValueError("it will not")

    monkeypatch.setattr(Chance, "fit", refuse)
    compute(replace(REQUEST, seeds="0"))
    done, failed = (record.key for record in reversed(store.records()))
    document = plan_document(REQUEST, store, survey(REQUEST, store), ["broken plug-in"])
    cells = document.pop("cells")
    assert [(cell["method"], cell["seed"], cell["state"]) for cell in cells] == [
        ("chance", 0, "failed"),
        ("chance", 1, "missing"),
        ("pca", 0, "done"),
        ("pca", 1, "missing"),
    ]
    assert [cell["key"] for cell in cells][::2] == [failed, done]
    assert cells[0]["error"] == {"type": "ValueError", "message": "it will not", "step": None}
    fields = {"dataset", "method", "seed", "key", "state", "deaths", "worker", "error", "expected_s", "trial"}
    assert cells[3].keys() == fields
    asked = document.pop("request")
    assert (asked["methods"], asked["seeds"], asked["sets"], asked["data_root"]) == (
        "chance,pca",
        "0-1",
        ["planted.repeats=1"],
        None,
    )
    assert document == {
        "schema": 1,
        "results": str(store.folder),
        "device": "cpu",
        "totals": {"done": 1, "failed": 1, "missing": 2},
        "waiting": 2,
        "expected_s": cells[3]["expected_s"],
        "unknown": 2,
        "left_out": [],
        "plugins": ["broken plug-in"],
    }


def test_a_survey_is_of_the_device_that_was_asked_for(store: ResultsStore) -> None:
    assert survey(REQUEST, store).device == torch.device("cpu")


class InRounds(Outline):
    """Knows the cells of the second seed when that of the first has ended."""

    grows = True
    store: ResultsStore

    def cells(self, label: str, file: DatasetFile) -> tuple[list[Cell], dict[str, str]]:
        every, refused = super().cells(label, file)
        return [cell for cell in every if cell.identity.seed == 0 or self.store.has_record(every[0].identity)], refused


def test_cells_that_end_while_they_are_looked_at_make_others_known(
    store: ResultsStore, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watcher would take a round that just ended for the last."""
    request = replace(REQUEST, methods="chance")
    rounds = InRounds(**{item.name: getattr(outline(request), item.name) for item in fields(Outline)})
    object.__setattr__(rounds, "store", store)
    surveyor = Surveyor(rounds, request.data_root, store)
    assert states(surveyor.look()) == ["missing"]
    kept = Surveyor._looked_at

    def looked_at(self: Surveyor, planned: Any) -> Any:
        compute(replace(request, seeds="0"))
        return kept(self, planned)

    monkeypatch.setattr(Surveyor, "_looked_at", looked_at)
    assert states(surveyor.look()) == ["done", "missing"]
    compute(request)
    assert states(surveyor.look()) == ["done", "done"]
