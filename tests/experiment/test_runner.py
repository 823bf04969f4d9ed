"""The runner between cells: what it does when it is asked to stop, when a cell fails, and when it cannot be saved."""

from __future__ import annotations

import errno
import gc
import json
import re
import shutil
import signal
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from cabench.data.dataset import Attribute, as_float
from cabench.data.drawing import LABELS_WIDTH
from cabench.data.importing.arrays import Examples, write_arrays
from cabench.errors import StopRequested, UserError
from cabench.experiment.cell import Cell
from cabench.experiment.plan import Experiment, resolve
from cabench.experiment.progress import make_reporter
from cabench.experiment.record import Record
from cabench.experiment.request import Request
from cabench.experiment.runner import Runner
from cabench.experiment.store import ResultsStore
from cabench.experiment.survey import survey
from cabench.experiment.task import records_of, tasks_of
from cabench.files.atomic import StorageError
from cabench.hardening.deaths import deaths_at
from cabench.hardening.journal import Journal
from cabench.method import Representation
from cabench.methods.chance import Chance
from cabench.methods.mmcvae import MMcVAE
from cabench.methods.pca import PCA
from cabench.profiles import ProfileEntry
from cabench.report.markdown import markdown


def experiment() -> Experiment:
    """Two methods that train in no time."""
    return resolve(requested("pca,chance"), say=lambda text: None)


def trained() -> Experiment:
    """A trained method, of 14 steps in two epochs, before another."""
    return resolve(requested("mmcvae,chance"), say=lambda text: None)


def requested(methods: str) -> Request:
    return Request(methods, "planted", "0", "smoke", ["planted.repeats=1"], "cpu", "fp32", None, False)


def run(folder: Path, cells: Sequence[Cell], force: bool = False) -> list[Record]:
    """Compute cells; gives the records of those that ended."""
    store = ResultsStore(folder)
    tasks = tasks_of(cells, store, force, Journal())
    Runner(store, torch.device("cpu"), make_reporter()).run(tasks)
    return records_of(tasks, store)[0]


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*arguments: object) -> None:
        raise error

    return fail


# Stopping


@pytest.mark.parametrize(
    ("place", "error"), [("fit", StopRequested), ("encode", KeyboardInterrupt), ("parameter_count", StopRequested)]
)
def test_a_request_to_stop_ends_the_run_wherever_it_comes(tmp_path, monkeypatch, place, error):
    monkeypatch.setattr(PCA, place, raising(error()))
    with pytest.raises(error):
        run(tmp_path, experiment().cells)
    assert ResultsStore(tmp_path).records() == []
    assert deaths_at(experiment().cells[0].identity.folder(tmp_path)) == 0, "stopping is no death"
    monkeypatch.undo()
    assert [r.status for r in run(tmp_path, experiment().cells)] == ["ok", "ok"]


def test_both_spaces_of_either_population_are_kept_under_their_names(tmp_path, monkeypatch):
    def encode(self, images):
        return Representation(images.mean((1, 2, 3))[:, None], -images.mean((1, 2, 3))[:, None])

    monkeypatch.setattr(PCA, "encode", encode)
    file = experiment().cells[0].data
    (record, _) = run(tmp_path, experiment().cells)
    train, test = ResultsStore(tmp_path).read_representations(record, file)
    for split, encoded in (("train", train), ("test", test)):
        for images, population in zip((file.read(split).background, file.read(split).target), encoded, strict=True):
            means = as_float(images.images).mean((1, 2, 3))[:, None].numpy()
            np.testing.assert_allclose(population.spaces["common"], means, atol=1e-6)
            np.testing.assert_allclose(population.spaces["salient"], -means, atol=1e-6)


# What cannot be saved


def test_a_folder_that_can_no_longer_be_written_is_one_error_and_keeps_what_is_done(tmp_path):
    cells = experiment().cells
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "chance").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(UserError, match="planted / chance / seed 0 could not be saved"):
        run(tmp_path, cells)
    assert [record.method["label"] for record in ResultsStore(tmp_path).records()] == ["pca"]


def test_every_method_leaves_maps_and_pictures(tmp_path):
    cells = experiment().cells
    run(tmp_path, cells)
    for cell in cells:
        folder = cell.identity.folder(tmp_path)
        mapped = json.loads((folder / "maps.json").read_text(encoding="utf-8"))
        assert set(mapped["spaces"]) == {"common", "salient"}
        assert [attribute["name"] for attribute in mapped["attributes"]] == [a.name for a in cell.data.info.attributes]
        with Image.open(folder / "pictures.png") as picture:
            assert picture.height == 5 * 66, "a row of targets, and two of neighbours in either space"


def test_a_representation_that_is_not_finite_fails_its_cell_for_that_reason_and_the_others_go_on(tmp_path, monkeypatch):
    encode = PCA.encode

    def encode_with_a_hole(self, images):
        representation = encode(self, images)
        representation.salient[0, 0] = torch.nan  # PCA's spaces are one
        return representation

    monkeypatch.setattr(PCA, "encode", encode_with_a_hole)
    pca, chance = run(tmp_path, experiment().cells)
    assert (pca.status, chance.status) == ("failed", "ok")
    assert "representation holds values that are not finite" in pca.error["message"]
    assert ResultsStore(tmp_path).records() == [chance, pca]


def test_a_finished_cell_is_given_back_under_the_profile_that_asks(tmp_path, monkeypatch):
    cells = experiment().cells[1:]
    (first,) = run(tmp_path, cells)
    monkeypatch.setattr(Chance, "fit", lambda *_: pytest.fail("a finished cell was computed"))
    mine: ProfileEntry = {"name": "mine", "description": "of my own", "extends": ["smoke"]}
    others = [replace(cell, identity=replace(cell.identity, profile="mine"), profile=mine) for cell in cells]
    (again,) = run(tmp_path, others)
    assert again == replace(first, profile="mine", provenance={**first.provenance, "profile": mine})


def test_a_method_that_gives_too_few_vectors_is_told_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr(PCA, "encode", lambda self, images: Representation(images[:2, 0, 0], images[:2, 0, 0]))
    pca, _ = run(tmp_path, experiment().cells)
    assert re.fullmatch(r"pca gives 2 common vectors for \d+ images\.", pca.error["message"])


# Failures


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


def overflow(*arguments: object) -> None:
    overflow()


@pytest.mark.parametrize(
    ("place", "fail"),
    [
        ("__init__", raising(RuntimeError("broken"))),
        ("fit", raising(SystemExit(3))),
        ("fit", raising(MuteError())),
        ("fit", raising(RuntimeError("\udcff\x1b[31m"))),
        ("fit", raising(OSError(errno.ENOSPC, "on a disk of its own"))),
        ("fit", overflow),
        ("encode", raising(MemoryError())),
        ("encode", raising(GeneratorExit())),
        ("parameter_count", raising(SystemExit())),
        ("state_dict", raising(RuntimeError("broken"))),
    ],
)
def test_whatever_a_method_raises_fails_its_cell_and_the_others_go_on(tmp_path, monkeypatch, place, fail):
    cells = experiment().cells
    monkeypatch.setattr(PCA, place, fail)
    pca, chance = run(tmp_path, cells)
    assert (pca.status, chance.status) == ("failed", "ok")
    assert {"type", "message", "traceback", "step", "last_terms"} == set(pca.error)
    assert pca.error["type"] in pca.error["traceback"]
    assert ResultsStore(tmp_path).records() == [chance, pca]
    monkeypatch.undo()
    pca, _ = run(tmp_path, cells)
    assert pca.status == "ok", "the next run tries it again"


def test_a_record_that_cannot_be_written_as_json_fails_its_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(PCA, "parameter_count", lambda self: np.int64(3))
    pca, chance = run(tmp_path, experiment().cells)
    assert (pca.status, pca.error["type"], chance.status) == ("failed", "TypeError", "ok")


def failing_at(step: int, error: BaseException, alive: list[weakref.ref]) -> Callable[..., dict[str, torch.Tensor]]:
    """A training step that keeps a weak reference to its method and raises at one step."""
    done = []

    def training_step(self, *arguments):
        alive[:] = [weakref.ref(self)]
        done.append(None)
        if len(done) == step:
            raise type(error)(*error.args)  # one of its own, as an error holds all that it passes through
        return train_once(self, *arguments)

    train_once = MMcVAE.training_step
    return training_step


@pytest.mark.parametrize(("step", "epochs_logged"), [(4, 0), (8, 1), (10, 1)])
def test_a_failure_in_training_is_told_with_its_step_and_the_last_terms(tmp_path, monkeypatch, step, epochs_logged):
    monkeypatch.setattr(MMcVAE, "training_step", failing_at(step, ValueError("broken"), []))
    failed, _ = run(tmp_path, trained().cells)
    assert (failed.error["type"], failed.error["message"], failed.error["step"]) == ("ValueError", "broken", step - 1)
    log = [json.loads(line) for line in next(tmp_path.rglob("log.jsonl")).read_text(encoding="utf-8").splitlines()]
    assert len(log) == epochs_logged
    assert "total" in failed.error["last_terms"]
    assert all(np.isfinite(float(value)) for value in failed.error["last_terms"].values())
    if step == 8:
        assert failed.error["last_terms"] == {name: str(value) for name, value in log[0]["terms"].items()}


def test_a_device_without_room_is_told_with_a_batch_size_and_is_free_for_the_next_cell(tmp_path, monkeypatch):
    alive: list[weakref.ref] = []
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
    monkeypatch.setattr(MMcVAE, "training_step", failing_at(3, error, alive))
    fit = Chance.fit

    def look(self, data, context):
        assert alive
        assert alive[0]() is None, "the method that failed still holds its memory"
        fit(self, data, context)

    monkeypatch.setattr(Chance, "fit", look)
    gc.disable()  # the runner has to see to it
    try:
        failed, chance = run(tmp_path, trained().cells)
    finally:
        gc.enable()
    assert chance.status == "ok", chance.error
    assert failed.error["type"] == "OutOfMemoryError"
    assert failed.error["message"] == (
        "No room on cpu for a step on 64 images (CUDA out of memory. Tried to allocate 2.00 GiB); "
        "set mmcvae.batch_size to 32 or less."
    )
    assert failed.error["step"] == 2


# Processes that died


KILL_AT_EPOCH = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
import torch
from cabench import training
from cabench.experiment.plan import resolve
from cabench.experiment.request import Request
from cabench.experiment.progress import make_reporter
from cabench.experiment.runner import Runner
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import tasks_of
from cabench.hardening.journal import Journal

def end_epoch(*arguments, end_epoch=training._end_epoch):
    end_epoch(*arguments)
    if arguments[0].epoch == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

training._end_epoch = end_epoch
request = Request("mmcvae,chance", "planted", "0", "smoke", ["planted.repeats=1"], "cpu", "fp32", None, False)
cells = resolve(request, say=lambda text: None).cells
store = ResultsStore(Path(sys.argv[1]))
tasks = tasks_of(cells, store, False, Journal())
Runner(store, torch.device("cpu"), make_reporter(), float(sys.argv[2])).run(tasks)
"""


@pytest.fixture
def die(tmp_path, start_python) -> Callable[[int, int], None]:
    """Runs the two cells of `trained` in a process that dies at the end of an epoch."""

    def run(checkpoint_seconds: int, epoch: int) -> None:
        process = start_python(tmp_path, "-c", KILL_AT_EPOCH, tmp_path, checkpoint_seconds, epoch)
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors

    return run


def states(folder: Path) -> list[str]:
    """What `plan` shows of the two cells of `trained`."""
    return [cell.said for cell in survey(requested("mmcvae,chance"), ResultsStore(folder)).cells]


@pytest.mark.slow
def test_a_cell_that_kills_its_process_comes_last_and_fails_the_third_time(tmp_path, die):
    die(60, 1)
    assert states(tmp_path) == ["missing (1 process died at it)", "missing"]
    die(60, 1)
    assert states(tmp_path) == ["missing (2 processes died at it)", "done"], "the other cell did not come first"
    die(60, 1)
    failed, chance = run(tmp_path, trained().cells)
    assert (failed.status, chance.status) == ("failed", "ok")
    assert failed.error["type"] == "ProcessDiedError"
    assert failed.error["message"].startswith("3 processes in a row died at this cell")
    assert failed.error["step"] == 7
    assert "total" in failed.error["last_terms"]
    assert states(tmp_path) == ["failed (ProcessDiedError at step 7)", "done"]
    again, _ = run(tmp_path, trained().cells)
    assert again.status == "ok", "the next run tries it again"


@pytest.mark.slow
def test_deaths_between_which_a_run_got_further_never_count_as_a_failure(tmp_path, die):
    for epoch in (1, 2):
        die(0, epoch)
        assert states(tmp_path)[0] == "missing (1 process died at it)"
    ended, _ = run(tmp_path, trained().cells)
    assert ended.status == "ok"


# Records that cannot be read


@pytest.mark.parametrize("damage", [lambda content: content[:500], lambda content: b"", lambda content: b"\xff{]"])
def test_a_record_that_cannot_be_read_is_set_aside_and_its_cell_computed_again(tmp_path, capsys, damage):
    cells = experiment().cells
    before = run(tmp_path, cells)
    path = before[0].folder(tmp_path) / "record.json"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    assert ResultsStore(tmp_path).state(cells[0].identity) == "damaged"
    assert ResultsStore(tmp_path).state(cells[1].identity) == "done"
    after = run(tmp_path, cells)
    assert [(r.key, r.scores) for r in after] == [(r.key, r.scores) for r in before]
    assert path.with_suffix(".damaged").read_bytes() == damaged
    assert "[1/2] planted / pca / seed 0: its record cannot be read and was set aside" in capsys.readouterr().err


# Folders that vanish and disks that fill up


@pytest.mark.parametrize("what", ["results", "cell", "lock"])
def test_what_is_renamed_or_unlocked_meanwhile_is_not_written_to_and_the_run_goes_on_where_it_is_now(
    tmp_path, monkeypatch, what
):
    results, (chance, pca) = tmp_path / "results", reversed(experiment().cells)
    cell = pca.identity.folder(results)
    moved = {"results": results, "cell": cell, "lock": cell / ".lock"}[what]

    def rename(self, *arguments):
        moved.rename(tmp_path / "elsewhere")
        return fit(self, *arguments)

    fit = PCA.fit
    monkeypatch.setattr(PCA, "fit", rename)
    with pytest.raises(UserError, match=r"planted / pca / seed 0 could not be saved in .* was removed meanwhile"):
        run(results, [chance, pca])
    assert moved.exists() is False
    assert not list(tmp_path.rglob("pca/*/record.json"))
    monkeypatch.undo()
    records = run(tmp_path / "elsewhere" if what == "results" else results, [chance, pca])
    assert [record.status for record in records] == ["ok", "ok"]


@pytest.mark.parametrize("place", ["fit", "encode"])
def test_results_that_are_removed_meanwhile_end_the_run_with_one_message(tmp_path, monkeypatch, place):
    go_on = getattr(PCA, place)

    def remove(self, *arguments):
        shutil.rmtree(tmp_path / "planted" / "pca")
        return go_on(self, *arguments)

    monkeypatch.setattr(PCA, place, remove)
    chance, pca = reversed(experiment().cells)
    with pytest.raises(UserError, match=r"planted / pca / seed 0 could not be saved in .* was removed meanwhile"):
        run(tmp_path, [chance, pca])
    assert [record.method["label"] for record in ResultsStore(tmp_path).records()] == ["chance"]
    assert not (tmp_path / "planted" / "pca").exists(), "a part of the cell was written where nobody looks for it"


def test_a_full_disk_is_no_failure_of_the_cell_and_keeps_its_checkpoint(tmp_path, monkeypatch):
    def full(self, *arguments):
        raise StorageError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ResultsStore, "write_representations", full)
        with pytest.raises(UserError, match=r"mmcvae / seed 0 could not be saved in .*No space left on device"):
            run(tmp_path, trained().cells)
    assert ResultsStore(tmp_path).records() == []
    monkeypatch.setattr(MMcVAE, "training_step", lambda *_: pytest.fail("finished training was lost"))
    assert [record.status for record in run(tmp_path, trained().cells)] == ["ok", "ok"]


# Forcing


def test_a_forced_run_leaves_alone_what_another_process_has_computed_since_it_began(tmp_path, monkeypatch):
    cells = experiment().cells
    run(tmp_path, cells)
    computed = []

    def count(self, data, context, fit=Chance.fit):
        computed.append("chance")
        fit(self, data, context)

    def meanwhile(self, data, context, fit=PCA.fit):
        if not computed:
            run(tmp_path, cells[1:], force=True)  # the other process
        fit(self, data, context)

    monkeypatch.setattr(Chance, "fit", count)
    monkeypatch.setattr(PCA, "fit", meanwhile)
    assert [record.status for record in run(tmp_path, cells, force=True)] == ["ok", "ok"]
    assert computed == ["chance"]
    run(tmp_path, cells, force=True)
    assert computed == ["chance", "chance"]


# What is made after the scores


def unequal(folder: Path) -> Path:
    """A data set of 60 background and 30 target images, of which 12 and 6 are tested."""
    generator = np.random.default_rng(0)
    background, target = (generator.integers(0, 256, (count, 1, 32, 32), dtype=np.uint8) for count in (60, 30))
    lesion = Attribute("lesion", "salient", "class", ("round", "long"))
    examples = Examples(background), Examples(target, {"lesion": np.arange(30) % 2})
    return write_arrays(folder / "unequal.h5", *examples, [lesion]).path


def test_populations_of_unequal_size_leave_pictures_of_what_is_there(tmp_path):
    sets = ["mmcvae.batch_size=16", "mmcvae.epochs=1"]
    request = Request("mmcvae", [unequal(tmp_path)], "0", "smoke", sets, "cpu", "fp32", None, False)
    (record,) = run(tmp_path / "out", resolve(request, say=lambda text: None).cells)
    assert (record.status, record.unmade) == ("ok", {}), record.error
    with Image.open(record.folder(tmp_path / "out") / "pictures.png") as picture:
        assert picture.size == (LABELS_WIDTH + 6 * 66, 6 * 66)


@pytest.mark.parametrize(
    ("place", "broken", "name"),
    [
        ("cabench.experiment.keepsakes.cell_picture", RuntimeError("no picture"), "pictures.png"),
        ("cabench.experiment.keepsakes.cell_picture", OSError("a decoder's own"), "pictures.png"),
        ("cabench.experiment.keepsakes.cell_picture", SystemExit(3), "pictures.png"),
        ("cabench.experiment.keepsakes.maps", ValueError("no maps"), "maps.json"),
        ("cabench.experiment.keepsakes.save_method", MuteError(), "model.safetensors"),
    ],
)
def test_what_is_made_after_the_scores_costs_no_cell_its_scores(tmp_path, monkeypatch, capsys, place, broken, name):
    cells = experiment().cells[:1]
    (sound,) = run(tmp_path / "sound", cells)
    monkeypatch.setattr(place, raising(broken))
    (record,) = run(tmp_path / "broken", cells)
    assert (record.status, record.scores) == ("ok", sound.scores)
    assert list(record.unmade) == [name]
    assert record.unmade[name].startswith(type(broken).__name__)
    assert ResultsStore(tmp_path / "broken").records() == [record]
    kept = {path.name for path in record.folder(tmp_path / "broken").iterdir()}
    assert {path.name for path in sound.folder(tmp_path / "sound").iterdir()} - kept == {name}
    assert f"planted / pca / seed 0: {name} could not be made ({type(broken).__name__}: " in capsys.readouterr().err
    assert f"pca, seed 0: {name} ({type(broken).__name__}" in markdown([record])


@pytest.mark.parametrize("place", ["cell_picture", "maps", "save_method"])
def test_a_disk_that_is_full_after_the_scores_is_told_and_loses_no_training(tmp_path, monkeypatch, place):
    full = StorageError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(f"cabench.experiment.keepsakes.{place}", raising(full))
    with pytest.raises(UserError, match=r"pca / seed 0 could not be saved in .*No space left on device"):
        run(tmp_path, experiment().cells)
    assert ResultsStore(tmp_path).records() == []


def test_a_run_without_time_waits_for_no_lease(tmp_path, monkeypatch):
    (tmp_path / "locks.toml").write_text('kind = "lease"\nseconds = 5\n', encoding="utf-8")
    store = ResultsStore(tmp_path)
    no_time = SimpleNamespace(leaves_room_for=lambda cell: False)
    monkeypatch.setattr("cabench.experiment.runner.time.sleep", lambda seconds: pytest.fail("it waits"))
    tasks = tasks_of(experiment().cells, store, False, Journal())
    Runner(store, torch.device("cpu"), make_reporter(), time_limit=no_time).run(tasks)
    assert store.records() == []
