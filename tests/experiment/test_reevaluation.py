"""Evaluation without training: what it gives is what a fresh run gives, and whatever happens nothing is lost."""

from __future__ import annotations

import dataclasses
import errno
import json
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from cabench.data.builder import DatasetBuilder
from cabench.data.importing.arrays import Examples, write_arrays
from cabench.errors import UserError
from cabench.evaluation.protocols import protocol_scores
from cabench.experiment import identity, store
from cabench.experiment.asked import asked_cells, note
from cabench.experiment.identity import current_evaluation
from cabench.experiment.plan import Experiment, resolve
from cabench.experiment.progress import make_reporter
from cabench.experiment.record import Record
from cabench.experiment.reevaluation import Reevaluation
from cabench.experiment.request import Request
from cabench.experiment.runner import Runner
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import records_of, tasks_of
from cabench.hardening.journal import Journal
from cabench.methods.chance import Chance
from cabench.methods.pca import PCA
from cabench.profiles import ProfileEntry
from cabench.report.markdown import markdown

OLD = {"version": 1, "config": {"ridge_alpha": 1.0}}


def requested(datasets: str, methods: str = "pca,chance", seeds: str = "0") -> Experiment:
    sets = {"planted": ["planted.repeats=1"], "dsprites": ["dsprites.train_size=120", "dsprites.test_size=80"]}
    return resolve(
        Request(methods, datasets, seeds, "smoke", sets[datasets], "cpu", "fp32", None, False), say=lambda text: None
    )


def computed(folder: Path, experiment: Experiment) -> Path:
    tasks = tasks_of(experiment.cells, ResultsStore(folder), False, Journal())
    Runner(ResultsStore(folder), torch.device("cpu"), make_reporter()).run(tasks)
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fresh results of two methods on `planted`."""
    return computed(tmp_path_factory.mktemp("planted"), requested("planted"))


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fresh results of two seeds of the fastest method on `planted`."""
    return computed(tmp_path_factory.mktemp("twins"), requested("planted", "chance", "0-1"))


@pytest.fixture(scope="module")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh result on `dsprites`, which a protocol is defined for."""
    return computed(tmp_path_factory.mktemp("dsprites"), requested("dsprites", "pca"))


@pytest.fixture
def aged(planted: Path, tmp_path: Path) -> Path:
    """`planted` as an older evaluation left it."""
    return aged_copy(planted, tmp_path / "aged")


@pytest.fixture
def outdated(twins: Path, tmp_path: Path) -> Path:
    """`twins` as an older evaluation left it."""
    return aged_copy(twins, tmp_path / "outdated")


def aged_copy(results: Path, folder: Path) -> Path:
    """Other scores and keys, and none of the fields and files that came later."""
    shutil.copytree(results, folder)
    for record in ResultsStore(folder).records():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(identity, "current_evaluation", lambda: OLD)
            old = record.renewed()
        old = dataclasses.replace(old, scores=record.scores[:1], separation_gap=9.0)
        place = Path(shutil.move(record.folder(folder), old.folder(folder)))
        content = json.loads(old.to_json())
        for later in ("unmeasured", "dimension_r2", "protocols", "leak_floor", "vectors_sha256", "unmade"):
            del content[later]
        (place / "record.json").write_text(json.dumps(content), encoding="utf-8")
        for later in ("contributions.h5", "maps.json", "pictures.png"):
            (place / later).unlink()
    return folder


def update(folder: Path, *protocols: str) -> tuple[list[str], list[str]]:
    """Bring a results folder up to date, and give what was said and what could not be evaluated."""
    said: list[str] = []
    results = ResultsStore(folder)
    _, failures = Reevaluation(results, None, protocols, said.append).bring_up_to_date(results.records())
    return said, failures


def files(folder: Path) -> Mapping[Path, bytes]:
    """The content of all files but locks."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def comparable(folder: Path) -> list[Record]:
    """The records without how long they took."""
    return [dataclasses.replace(record, cost={}) for record in ResultsStore(folder).records()]


def of(folder: Path, method: str) -> Record:
    (record,) = [record for record in ResultsStore(folder).records() if record.method["name"] == method]
    return record


def first(folder: Path) -> Record:
    """The record of seed 0."""
    (record,) = [record for record in ResultsStore(folder).records() if record.seed == 0]
    return record


def failed(record: Record) -> Record:
    error = {"type": "ValueError", "message": "", "traceback": "", "step": None, "last_terms": None}
    return dataclasses.replace(record, status="failed", scores=(), separation_gap=None, cost={}, error=error)


FIRST, SECOND = (f"[{k + 1}/2] planted / chance / seed {k}: evaluated" for k in (0, 1))


# Renewal


def test_renewed_records_are_those_of_a_fresh_run_to_the_last_bit_and_nothing_is_trained(
    planted: Path, aged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in (PCA, Chance):
        monkeypatch.setattr(method, "__init__", lambda *_: pytest.fail("a method was made"))
    old = [record.folder(aged) for record in ResultsStore(aged).records()]
    assert not set(old) & {record.folder(aged) for record in ResultsStore(planted).records()}

    said, failures = update(aged)

    assert failures == []
    assert said == [
        "[1/2] planted / chance / seed 0: evaluated",
        "[2/2] planted / pca / seed 0: evaluated",
    ]
    assert comparable(aged) == comparable(planted)
    assert not any(folder.exists() for folder in old)
    assert set(files(aged)) == set(files(planted))
    for path, content in files(planted).items():
        if path.name != "record.json":
            assert files(aged)[path] == content, f"{path} differs"


def test_renewed_records_have_contributions_of_their_scores_and_the_fingerprint_of_their_vectors(
    planted: Path, aged: Path
) -> None:
    assert {record.contributions for record in ResultsStore(aged).records()} == {None}
    update(aged)
    for record, fresh in zip(ResultsStore(aged).records(), ResultsStore(planted).records(), strict=True):
        assert record.contributions is not None
        assert len(record.contributions.scores) == len(record.scores)
        assert record.vectors_sha256 == fresh.vectors_sha256 != ""
        assert record.leak_floor == fresh.leak_floor is not None
    one, other = ResultsStore(aged).records()
    assert one.vectors_sha256 != other.vectors_sha256


def test_seeds_of_a_method_that_leaves_nothing_to_chance_have_one_fingerprint(twins: Path) -> None:
    assert len({record.vectors_sha256 for record in ResultsStore(twins).records()}) == 1


def test_the_cost_of_training_stays_and_that_of_probes_is_the_new_one(aged: Path) -> None:
    before = of(aged, "pca").cost
    update(aged)
    after = of(aged, "pca").cost
    assert after["probe_s"] != before["probe_s"]
    assert {**after, "probe_s": 0} == {**before, "probe_s": 0}


def test_evaluating_again_does_nothing(outdated: Path) -> None:
    update(outdated)
    before = {path: path.stat().st_mtime_ns for path in outdated.rglob("*")}
    assert update(outdated) == ([], [])
    assert {path: path.stat().st_mtime_ns for path in outdated.rglob("*")} == before


def test_renewed_cells_are_shown_under_all_profiles_that_asked_for_them(outdated: Path) -> None:
    other: ProfileEntry = {"name": "other", "description": "", "extends": []}
    before = ResultsStore(outdated).records()
    note(outdated, asked_cells((record, other) for record in before))
    update(outdated)
    records, _ = ResultsStore(outdated).shown_records()
    assert len(records) == 2 * len(before)
    assert {record.profile for record in records} == {before[0].profile, "other"}


def test_a_run_finds_renewed_cells_done(outdated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update(outdated)
    before = files(outdated)
    monkeypatch.setattr(Chance, "fit", lambda *_: pytest.fail("a finished cell was computed"))
    results = ResultsStore(outdated)
    cells = requested("planted", "chance", "0-1").cells
    assert [results.state(cell.identity) for cell in cells] == ["done", "done"]
    tasks = tasks_of(cells, results, False, Journal())
    Runner(results, torch.device("cpu"), make_reporter()).run(tasks)
    assert records_of(tasks, results) == (results.records(), [])
    assert files(outdated) == before


def test_a_newer_version_of_the_evaluation_makes_every_record_out_of_date(
    twins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(twins, tmp_path / "results"))
    monkeypatch.setattr(identity, "VERSION", identity.VERSION + 1)
    assert update(folder) == ([FIRST, SECOND], [])
    before, after = ResultsStore(twins).records(), ResultsStore(folder).records()
    assert [record.scores for record in after] == [record.scores for record in before]
    assert [record.evaluation for record in after] == [current_evaluation()] * 2
    assert not {record.key for record in after} & {record.key for record in before}


def test_pictures_that_a_method_made_are_kept(outdated: Path) -> None:
    own = first(outdated).folder(outdated) / "pictures.png"
    own.write_bytes(b"reconstructions")
    update(outdated)
    assert not own.exists()
    assert (first(outdated).folder(outdated) / "pictures.png").read_bytes() == b"reconstructions"


def test_a_picture_that_cannot_be_made_keeps_no_record_from_being_renewed(outdated, monkeypatch):
    model = {"model.safetensors": "no state"}
    for record in ResultsStore(outdated).records():
        ResultsStore(outdated).replace_record(dataclasses.replace(record, unmade=model, contributions=None))
    with monkeypatch.context() as patch:
        patch.setattr("cabench.experiment.keepsakes.cell_picture", lambda *_: [][0])
        assert update(outdated)[1] == []
    missing = model | {"pictures.png": "IndexError: list index out of range"}
    assert [record.unmade for record in ResultsStore(outdated).records()] == [missing, missing]
    for record in ResultsStore(outdated).records():  # the next evaluation makes it
        (record.folder(outdated) / "contributions.h5").unlink()
    assert update(outdated)[1] == []
    assert [record.unmade for record in ResultsStore(outdated).records()] == [model, model]
    assert (first(outdated).folder(outdated) / "pictures.png").exists()


def test_failed_records_are_left_alone(outdated: Path) -> None:
    failure = failed(first(outdated))
    ResultsStore(outdated).replace_record(failure)
    before = files(failure.folder(outdated))
    assert update(outdated) == ([SECOND], [])
    assert files(failure.folder(outdated)) == before


# What cannot be evaluated


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def overwrite(path: Path) -> None:
    path.write_bytes(b"no HDF5")


def changed(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return apply


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def apply(file: h5py.File) -> None:
        values = change(file[name][:])
        del file[name]
        file[name] = values

    return changed(apply)


def not_finite(values: np.ndarray) -> np.ndarray:
    values[3, 0] = np.nan
    return values


DAMAGES = {
    "missing": (remove, "was not kept"),
    "truncated": (truncate, "cannot be used"),
    "no HDF5": (overwrite, "cannot be used"),
    "another data set's": (
        changed(lambda file: file.attrs.update(content_sha256="0" * 64)),
        "cannot be used .*another data set's images",
    ),
    "of no data set": (changed(lambda file: file.attrs.pop("content_sha256")), "cannot be used"),
    "without a split": (changed(lambda file: file.pop("test")), "cannot be used"),
    "without a space": (changed(lambda file: file.pop("train/target/salient")), "cannot be used"),
    "a group for a space": (
        changed(lambda file: (file.pop("train/target/salient"), file.create_group("train/target/salient"))),
        "cannot be used",
    ),
    "fewer rows": (
        replaced("test/background/common", lambda values: values[:-1]),
        "cannot be used .*/test/background has other numbers of rows",
    ),
    "fewer rows in both spaces": (
        lambda path: [
            replaced(f"train/target/{space}", lambda values: values[:-1])(path) for space in ("common", "salient")
        ],
        "cannot be used .*/train/target has other numbers of rows",
    ),
    "a dimension more": (
        replaced("train/target/common", lambda values: np.pad(values, ((0, 0), (0, 1)))),
        "dimension",
    ),
    "not finite": (replaced("test/target/salient", not_finite), "salient representation holds values that are not"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_representations_that_cannot_be_used_are_told_and_the_other_records_renewed(
    twins: Path, outdated: Path, damage: Callable[[Path], None], reason: str
) -> None:
    old = first(outdated)
    damage(old.folder(outdated) / "representations.h5")
    before = files(old.folder(outdated))
    said, (failure,) = update(outdated)
    assert said == [SECOND]
    assert re.match(f"planted / chance / seed 0: .*{reason}", failure)
    assert files(old.folder(outdated)) == before
    assert comparable(outdated) == [dataclasses.replace(old, cost={}), comparable(twins)[1]]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "plantd"}, "Unknown data set 'plantd'; did you mean 'planted'"),
        ({"config": {"repeat": 1}}, "Unknown field of planted 'repeat'"),
        ({"config": {"repeats": 0}}, "repeats = 0 is not allowed"),
        ({"config": {"repeats": 10**7}}, "repeats = 10000000 is not allowed"),
        ({"config": {"repeats": 1, "seed": 1}}, "would be built differently today"),
        ({"content_sha256": "0" * 64}, "would be built differently today"),
    ],
)
def test_a_data_set_that_cannot_be_had_is_told_and_the_other_records_renewed(
    outdated: Path, changes: dict[str, object], reason: str
) -> None:
    old = first(outdated)
    old = dataclasses.replace(old, dataset={**old.dataset, **changes})
    ResultsStore(outdated).replace_record(old)
    said, (failure,) = update(outdated)
    assert said == [SECOND]
    assert failure.startswith("planted / chance / seed 0: ")
    assert reason in failure
    assert first(outdated) == old


# Interruption

KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from cabench.experiment import store
from cabench.experiment.reevaluation import Reevaluation

def die(*arguments, **keywords):
    os.kill(os.getpid(), signal.SIGKILL)

def copy_one_and_die(old, new, **keywords):
    new.mkdir(exist_ok=True)
    (new / "representations.h5").write_bytes((old / "representations.h5").read_bytes()[:5000])
    die()

def remove_one_and_die(folder):
    (folder / "representations.h5").unlink()
    die()

def write_or_die(path, text, write=store.write_text):
    if path.name == "record.json":
        die()
    write(path, text)

def unlink_or_die(path, missing_ok=False, unlink=Path.unlink):
    if path.name == "record.json":
        die()
    unlink(path, missing_ok)

places = {
    "while files are copied": lambda: setattr(store.shutil, "copytree", copy_one_and_die),
    "between contributions and record": lambda: setattr(store, "write_text", write_or_die),
    "before the old record goes": lambda: setattr(Path, "unlink", unlink_or_die),
    "while the old files go": lambda: setattr(store.shutil, "rmtree", remove_one_and_die),
}
results = store.ResultsStore(Path(sys.argv[1]))
places[sys.argv[2]]()
Reevaluation(results, None, [], print).bring_up_to_date(results.records())
"""


@pytest.mark.parametrize(
    ("place", "left"),
    [
        ("while files are copied", ["old"]),
        ("between contributions and record", ["old"]),
        ("before the old record goes", ["new", "old"]),
        ("while the old files go", ["new"]),
    ],
)
def test_a_killed_evaluation_loses_nothing_and_the_next_one_ends_it(
    twins: Path, outdated: Path, tmp_path: Path, start_python, place: str, left: list[str]
) -> None:
    shutil.rmtree(ResultsStore(outdated).records()[1].folder(outdated))
    killed = start_python(tmp_path, "-c", KILLED, outdated, place)
    _, errors = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, errors
    records = ResultsStore(outdated).records()
    assert sorted("new" if record.evaluation == current_evaluation() else "old" for record in records) == left
    (cell,) = requested("planted", "chance").cells
    assert ResultsStore(outdated).state(cell.identity) == ("done" if "new" in left else "stale")

    assert update(outdated)[1] == []

    assert comparable(outdated) == comparable(twins)[:1]
    there, expected = (files(first(twins).folder(folder)) for folder in (outdated, twins))
    assert {**there, Path("record.json"): b""} == {**expected, Path("record.json"): b""}


def test_a_killed_evaluation_has_written_contributions_before_the_record(
    outdated: Path, tmp_path: Path, start_python
) -> None:
    killed = start_python(tmp_path, "-c", KILLED, outdated, "between contributions and record")
    killed.communicate()
    old = first(outdated).folder(outdated)
    (new,) = set(old.parent.glob("seed0-*")) - {old}
    there = {path.name for path in new.iterdir()}
    assert {"contributions.h5", "representations.h5"} < there
    assert "record.json" not in there


@pytest.mark.parametrize("damage", [remove, truncate, overwrite])
def test_contributions_that_are_gone_are_found_again_and_nothing_else_changes(
    twins: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = Path(shutil.copytree(twins, tmp_path / "results"))
    before = files(folder)
    damage(first(folder).folder(folder) / "contributions.h5")
    assert first(folder).contributions is None
    assert update(folder) == ([FIRST], [])
    assert comparable(folder) == comparable(twins)
    after = files(folder)
    assert set(after) == set(before)
    assert {path.name for path in before if after[path] != before[path]} == {"record.json"}, "the time it took"


def test_a_full_disk_is_one_error_and_leaves_the_old_record(outdated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ResultsStore(outdated).records()

    def full(path: Path, text: str, write: Callable[[Path, str], None] = store.write_text) -> None:
        if path.name == "record.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_text", full)
        with pytest.raises(UserError, match=r"planted / chance / seed 0 could not be saved in .*No space left"):
            update(outdated)
    assert ResultsStore(outdated).records() == before
    assert update(outdated) == ([FIRST, SECOND], [])
    assert len(ResultsStore(outdated).records()) == 2


def test_a_record_of_a_cell_that_was_computed_again_is_not_overwritten_by_its_older_one(
    twins: Path, outdated: Path
) -> None:
    new = first(twins)
    again = dataclasses.replace(new, provenance={**new.provenance, "commit": "newer"})
    old = first(outdated)
    shutil.copytree(new.folder(twins), again.folder(outdated))
    ResultsStore(outdated).replace_record(again)
    assert update(outdated)[1] == []
    assert first(outdated) == again
    assert not old.folder(outdated).exists()


def test_a_failure_under_the_new_key_gives_way_to_the_renewed_record(twins: Path, outdated: Path) -> None:
    ResultsStore(outdated).replace_record(failed(first(twins)))
    assert update(outdated)[1] == []
    assert comparable(outdated) == comparable(twins)


# Protocols


@pytest.mark.parametrize(
    ("protocols", "message"),
    [
        (("double_infogan",), "Unknown protocol 'double_infogan'; did you mean 'double-infogan'"),
        (("sepclr",), "'sepclr' is defined for cifar_mnist, .* not for 'planted'"),
    ],
)
def test_a_protocol_that_does_not_fit_is_refused_before_any_work(
    outdated: Path, protocols: tuple[str, ...], message: str
) -> None:
    before = files(outdated)
    with pytest.raises(UserError, match=message):
        update(outdated, *protocols)
    assert files(outdated) == before


def test_a_protocol_is_added_to_a_current_record_and_changes_nothing_else(sprites: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sprites, tmp_path / "results"))
    assert update(folder, "double-infogan") == (["[1/1] dsprites / pca / seed 0: evaluated"], [])
    (before, after) = (first(each) for each in (sprites, folder))
    assert dataclasses.replace(after, protocols={}) == before
    (cell,) = requested("dsprites", "pca").cells
    stored = ResultsStore(sprites).read_representations(before, cell.data)
    expected = protocol_scores("double-infogan", "dsprites", *stored, cell.data.info.attributes)
    assert after.protocols == {"double-infogan": expected}
    assert {score.metric for score in expected} == {"accuracy", "factor_vae"}
    assert set(files(folder)) == set(files(sprites))
    assert update(folder, "double-infogan") == ([], [])


def test_protocols_outlive_a_newer_evaluation_and_are_computed_anew(
    sprites: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(sprites, tmp_path / "results"))
    update(folder, "double-infogan")
    before = first(folder)
    wrong = tuple(dataclasses.replace(score, value=0.5) for score in before.protocols["double-infogan"])
    ResultsStore(folder).replace_record(dataclasses.replace(before, protocols={"double-infogan": wrong}))
    monkeypatch.setattr(identity, "VERSION", identity.VERSION + 1)
    assert update(folder)[1] == []
    assert first(folder).protocols == before.protocols
    assert first(folder).key != before.key


def test_the_data_set_is_obtained_once_for_all_its_records(outdated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    obtain = DatasetBuilder.obtain
    monkeypatch.setattr(DatasetBuilder, "obtain", lambda *given: calls.append(given) or obtain(*given))
    update(outdated)
    assert len(calls) == 1


# Several processes


def test_records_that_another_process_has_renewed_meanwhile_are_taken_as_they_are_now(
    outdated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = ResultsStore(outdated)
    seen = results.records()
    update(outdated)
    now = {record.seed: record for record in results.records()}
    before = files(outdated)
    monkeypatch.setattr("cabench.experiment.reevaluation.measure", lambda *_: pytest.fail("evaluated twice"))
    records, failures = Reevaluation(results, None, [], lambda text: None).bring_up_to_date(seen)
    assert failures == []
    assert {record.seed: record for record in records} == now
    assert files(outdated) == before


def test_protocols_that_two_processes_add_are_both_kept(sprites: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sprites, tmp_path / "results"))
    results = ResultsStore(folder)
    (seen,) = results.records()
    (now,) = results.records()
    results.replace_record(dataclasses.replace(now, protocols={"another": ()}))  # what the other process did
    Reevaluation(results, None, ["double-infogan"], lambda text: None).bring_up_to_date([seen])
    (record,) = results.records()
    assert set(record.protocols) == {"another", "double-infogan"}


def test_a_cell_that_a_process_computes_is_not_moved_into(outdated: Path, twins: Path) -> None:
    results = ResultsStore(outdated)
    before = first(outdated)
    with results.lock(first(twins)):
        said, (failure,) = update(outdated)
    assert said == [SECOND]
    assert failure.startswith("planted / chance / seed 0: another process works on its cell")
    assert first(outdated) == before
    assert update(outdated)[1] == []


def test_a_cell_on_a_sample_is_evaluated_again_on_that_sample(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 400, 1, 8, 8), dtype=np.uint8)
    large = write_arrays(tmp_path / "large.h5", *map(Examples, images)).path
    (tmp_path / "few.toml").write_text('extends = "smoke"\n[rows]\ntrain = 100\ntest = 50\n', encoding="utf-8")
    request = Request("chance", [large], "0", str(tmp_path / "few.toml"), (), "cpu", "fp32", None, False)
    results = computed(tmp_path / "out", resolve(request, say=lambda text: None))
    aged = aged_copy(results, tmp_path / "aged")
    assert first(aged).dataset["most_rows"] == {"train": 100, "test": 50}
    assert update(aged)[1] == []
    assert first(aged).scores == first(results).scores
    assert "at most 100 of the train split and 50 of the test split were used" in markdown(ResultsStore(aged).records())
