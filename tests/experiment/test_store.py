"""The results folder: the state of a cell as its files tell it, and records that come back as they were written."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from filelock import FileLock, Timeout
from PIL import Image

from cabench.context import Precision
from cabench.data.dataset import SPACES, Attribute, DatasetInfo
from cabench.data.file import DatasetFile, Rows
from cabench.data.layout import SPLITS
from cabench.data.writing import DatasetWriter
from cabench.errors import UserError
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.score import Score
from cabench.experiment import identity
from cabench.experiment.identity import Identity, identify, method_entry
from cabench.experiment.record import SCHEMA, Record
from cabench.experiment.store import ResultsStore
from cabench.experiment.training_log import last_logged
from cabench.files.atomic import StorageError
from cabench.method import ContrastiveAnalysisMethod
from cabench.methods.chance import Chance, ChanceConfig

INFO = DatasetInfo(
    name="tiny",
    builder_version=1,
    config={"size": 8},
    content_sha256="0" * 64,
    sources=("nothing",),
    image_shape=(1, 8, 8),
    attributes=(Attribute("a", "common", "class", ("x", "y")),),
    counts={"train": {"background": 10, "target": 10}, "test": {"background": 10, "target": 10}},
)
SCORE = Score(
    space="common",
    attribute="a",
    attribute_space="common",
    population="target",
    metric="balanced_accuracy",
    value=0.1 + 0.2,
    chance=1 / 3,
    ideal=1.0,
    standard_error=1e-17,
    n_train=10,
    n_test=7,
    converged=True,
)


LEAK = dataclasses.replace(SCORE, space="salient", metric="correlation", value=-1.5e-300, chance=0.0, ideal=0.0)
NO_ROWS = Rows(np.full(10, ""), np.full(10, ""))
ROWS = dict.fromkeys(SPLITS, (NO_ROWS, NO_ROWS))
# Files of text that hold no JSON object of the kind wanted.
DAMAGED = ("{", "[" * 100_000, '{"a":' * 100_000, "[]", "{}", "null", "7", '"text"', "\0\xff")


class NewerChance(Chance):
    version = Chance.version + 1


def cell(
    method: ContrastiveAnalysisMethod | None = None,
    method_label: str = "chance",
    dataset: DatasetInfo = INFO,
    dataset_label: str = "tiny",
    seed: int = 1,
    precision: Precision = "fp32",
    profile: str = "quick",
) -> Identity:
    return identify(method_entry(method or Chance(), method_label), dataset, dataset_label, profile, seed, precision)


def record_of(one: Identity, **changes: object) -> Record:
    plain = Record.of(
        one,
        "ok",
        scores=(SCORE, LEAK),
        separation_gap=0.5,
        cost={"train_s": 0.1, "steps": 3, "parameters": 0, "images_seen": 0},
        provenance={"torch": "2.8", "gpu": None},
        error=None,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def failed_record_of(one: Identity) -> Record:
    error = {"type": "ValueError", "message": "ü", "traceback": "...", "step": None, "last_terms": {"total": "nan"}}
    return record_of(one, status="failed", scores=(), separation_gap=None, cost={}, error=error)


@pytest.fixture
def store(tmp_path: Path) -> ResultsStore:
    return ResultsStore(tmp_path / "results")


HOLD_A_LOCK = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(lock: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD_A_LOCK, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


# States


def test_a_cell_that_nobody_began_is_missing_and_asking_writes_nothing(store: ResultsStore) -> None:
    assert store.state(cell()) == "missing"
    assert not store.folder.exists()


def test_a_cell_with_a_record_is_done(store: ResultsStore) -> None:
    store.write_record(record_of(cell()))
    assert store.state(cell()) == "done"
    assert store.load(cell()) == record_of(cell())


def test_a_cell_whose_record_tells_of_an_error_failed(store: ResultsStore) -> None:
    store.write_record(failed_record_of(cell()))
    assert store.state(cell()) == "failed"


def test_a_cell_that_another_process_works_on_is_running(store: ResultsStore) -> None:
    folder = cell().folder(store.folder)
    folder.mkdir(parents=True)
    with held_by_another_process(folder / ".lock") as process:
        assert store.state(cell()) == "running"
        assert store.state(cell(seed=2)) == "missing"
        with pytest.raises(Timeout), store.lock(cell()):
            pass
        process.kill()
        process.wait(timeout=30)
        assert store.state(cell()) == "missing", "a dead process still holds the cell"
        with store.lock(cell()):
            pass


def test_a_cell_that_was_begun_and_left_is_missing(store: ResultsStore) -> None:
    with store.lock(cell()):
        assert store.state(cell()) == "running"
    (cell().folder(store.folder) / "checkpoint").mkdir()
    assert store.state(cell()) == "missing"


def test_a_finished_cell_is_done_even_while_its_lock_is_held(store: ResultsStore) -> None:
    store.write_record(record_of(cell()))
    with FileLock(cell().folder(store.folder) / ".lock"):
        assert store.state(cell()) == "done"


def older_method(monkeypatch: pytest.MonkeyPatch) -> Identity:
    return cell(NewerChance())


def older_builder(monkeypatch: pytest.MonkeyPatch) -> Identity:
    return cell(dataset=dataclasses.replace(INFO, builder_version=2, content_sha256="1" * 64))


def newer_evaluation(monkeypatch: pytest.MonkeyPatch) -> Identity:
    monkeypatch.setattr(identity, "VERSION", identity.VERSION + 1)
    return cell()


@pytest.mark.parametrize("change", [older_method, older_builder, newer_evaluation])
def test_a_record_of_an_older_version_makes_the_cell_stale(
    store: ResultsStore, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], Identity]
) -> None:
    store.write_record(record_of(cell()))
    assert store.state(change(monkeypatch)) == "stale"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(cell(Chance(ChanceConfig(d_common=5))), id="another configuration"),
        pytest.param(cell(NewerChance(), seed=11), id="another seed that starts alike"),
        pytest.param(cell(NewerChance(), precision="bf16"), id="another precision"),
        pytest.param(cell(NewerChance(), profile="paper"), id="another profile"),
        pytest.param(cell(NewerChance(), method_label="other"), id="another method label"),
        pytest.param(cell(NewerChance(), dataset_label="other"), id="another data set label"),
        pytest.param(cell(dataset=dataclasses.replace(INFO, content_sha256="1" * 64)), id="other data, same builder"),
    ],
)
def test_a_record_of_something_else_does_not_make_a_cell_stale(store: ResultsStore, other: Identity) -> None:
    store.write_record(record_of(cell()))
    assert store.state(other) == "missing"
    assert not record_of(cell()).is_stale_form_of(other)


def test_a_current_record_beside_an_older_one_is_done(store: ResultsStore) -> None:
    new = cell(NewerChance())
    store.write_record(record_of(cell()))
    store.write_record(record_of(new))
    assert store.state(new) == "done"
    assert not record_of(new).is_stale_form_of(new)


# Files


def test_all_records_come_in_the_order_of_their_paths(store: ResultsStore) -> None:
    cells = [cell(seed=2), cell(seed=1), cell(dataset_label="a"), cell(method_label="another")]
    for one in cells:
        store.write_record(record_of(one))
    order = [(r.dataset["label"], r.method["label"], r.seed) for r in store.records()]
    assert order == [("a", "chance", 1), ("tiny", "another", 1), ("tiny", "chance", 1), ("tiny", "chance", 2)]


def test_writing_a_record_ends_with_the_checkpoint_removed(store: ResultsStore) -> None:
    checkpoint = cell().folder(store.folder) / "checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.safetensors").write_bytes(b"...")
    store.write_record(record_of(cell()))
    assert not checkpoint.exists()


def test_clearing_a_cell_removes_all_it_left_and_nothing_of_its_neighbour(store: ResultsStore) -> None:
    neighbour = cell(seed=2)
    for one in (cell(), neighbour):
        store.write_record(record_of(one))
        folder = one.folder(store.folder)
        for name in (
            "representations.h5",
            "pictures.png",
            "maps.json",
            "log.jsonl",
            "checkpoint/state.safetensors",
        ):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("x")
    store.clear(cell())
    assert list(cell().folder(store.folder).iterdir()) == []
    assert len([path for path in neighbour.folder(store.folder).rglob("*") if path.is_file()]) == 6
    store.clear(cell())


def encoded() -> tuple[EncodedSplit, EncodedSplit]:
    """Random vectors of 4 background and 5 target images of either split."""
    generator = np.random.default_rng(0)

    def population(rows: int) -> EncodedPopulation:
        return EncodedPopulation({space: generator.normal(size=(rows, 3)) for space in SPACES}, {})

    train, test = (EncodedSplit(population(4), population(5)) for _ in range(2))
    return train, test


def test_representations_are_kept_as_float32_for_each_split_population_and_space(store: ResultsStore) -> None:
    train, test = encoded()
    store.write_representations(cell(), train, test, ROWS)
    with h5py.File(cell().folder(store.folder) / "representations.h5") as file:
        assert file.attrs["key"] == cell().key
        assert file.attrs["content_sha256"] == INFO.content_sha256
        for name, split in (("train", train), ("test", test)):
            for part in ("background", "target"):
                for space in SPACES:
                    kept = file[f"{name}/{part}/{space}"]
                    assert kept.dtype == np.float32
                    np.testing.assert_array_equal(kept, getattr(split, part).spaces[space].astype(np.float32))


@pytest.fixture
def data(tmp_path: Path) -> DatasetFile:
    """A data set of 4 background and 5 target images a split, background and target by turns."""
    path = tmp_path / "tiny.h5"
    generator = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        writer = DatasetWriter(file)
        for split in SPLITS:
            with writer.split(split, 9, (1, 8, 8), INFO.attributes) as out:
                for row in range(9):
                    out.append(np.zeros((1, 1, 8, 8), np.uint8), row % 2 == 0, {"a": generator.integers(0, 2, 1)})
        writer.finish("tiny", 1, {}, [])
    return DatasetFile.open(path)


def test_representations_come_back_with_the_attributes_of_their_images(store: ResultsStore, data: DatasetFile) -> None:
    one = cell(dataset=data.info)
    store.write_representations(one, *encoded(), ROWS)
    read = store.read_representations(record_of(one), data)
    for split, back, written in zip(SPLITS, read, encoded(), strict=True):
        images = data.read(split)
        for name in ("background", "target"):
            part = getattr(back, name)
            for space in SPACES:
                np.testing.assert_array_equal(part.spaces[space], getattr(written, name).spaces[space].astype("f4"))
            np.testing.assert_array_equal(part.attributes["a"], getattr(images, name).attributes["a"])


def test_representations_that_were_not_kept_are_told_with_what_to_do(store: ResultsStore, data: DatasetFile) -> None:
    with pytest.raises(UserError, match=r"representations\.h5 was not kept: the cell must be computed again"):
        store.read_representations(record_of(cell(dataset=data.info)), data)


def test_representations_of_other_images_are_refused(store: ResultsStore, data: DatasetFile) -> None:
    store.write_representations(cell(), *encoded(), ROWS)
    with pytest.raises(UserError, match=r"representations\.h5 cannot be used \(it is of another data set's images\)"):
        store.read_representations(record_of(cell()), data)


# What can be looked at


def test_views_are_written_for_a_cell_and_for_its_record_alike(store: ResultsStore) -> None:
    record = record_of(cell())
    assert not store.has_picture(record)
    store.write_maps(cell(), {"b": [0.5], "a": None})
    assert not store.has_picture(record)
    folder = cell().folder(store.folder)
    assert (folder / "maps.json").read_text(encoding="utf-8") == '{"a":null,"b":[0.5]}\n'
    store.write_picture(record, Image.new("RGB", (3, 2), "red"))
    assert store.has_picture(record)
    with Image.open(folder / "pictures.png") as picture:
        assert (picture.size, picture.getpixel((0, 0))) == ((3, 2), (255, 0, 0))
    assert sorted(path.name for path in folder.iterdir()) == ["maps.json", "pictures.png"]


def test_views_never_hold_numbers_that_json_lacks(store: ResultsStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.write_maps(cell(), {"points": [float("nan")]})
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def test_a_picture_that_no_png_can_hold_is_no_full_disk_and_leaves_nothing(store: ResultsStore) -> None:
    with pytest.raises(OSError, match="cannot write mode F as PNG") as raised:
        store.write_picture(cell(), Image.new("F", (3, 2)))
    assert not isinstance(raised.value, StorageError)
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


# Moving


def test_a_moved_record_takes_all_files_of_its_cell_along(store: ResultsStore) -> None:
    old, new = record_of(cell()), record_of(cell(), key="f" * 64, leak_floor=0.25)
    store.replace_record(old)
    for name in ("representations.h5", "pictures.png", "maps.json", "log.jsonl", ".lock", ".record.json.x.tmp"):
        (old.folder(store.folder) / name).write_text(name, encoding="utf-8")
    store.move(old, new)
    assert not old.folder(store.folder).exists()
    assert store.records() == [new]
    files = {path.name: path.read_text(encoding="utf-8") for path in new.folder(store.folder).iterdir()}
    assert files.pop(".lock") == ""
    del files["record.json"]
    assert files == {name: name for name in ("representations.h5", "pictures.png", "maps.json", "log.jsonl")}


def test_moving_over_what_was_begun_there_replaces_it(store: ResultsStore) -> None:
    old, new = record_of(cell()), record_of(cell(), key="f" * 64)
    store.replace_record(old)
    (old.folder(store.folder) / "representations.h5").write_text("whole", encoding="utf-8")
    new.folder(store.folder).mkdir()
    (new.folder(store.folder) / "representations.h5").write_text("half", encoding="utf-8")
    store.move(old, new)
    assert (new.folder(store.folder) / "representations.h5").read_text(encoding="utf-8") == "whole"
    assert store.records() == [new]


def test_moving_follows_no_link_on_either_side(store: ResultsStore, tmp_path: Path) -> None:
    old, new = record_of(cell()), record_of(cell(), key="f" * 64)
    store.replace_record(old)
    for name in ("away", "secret"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    (old.folder(store.folder) / "log.jsonl").write_text("log", encoding="utf-8")
    (old.folder(store.folder) / "maps.json").symlink_to(tmp_path / "secret")
    new.folder(store.folder).mkdir()
    (new.folder(store.folder) / "log.jsonl").symlink_to(tmp_path / "away")
    store.move(old, new)
    moved = new.folder(store.folder)
    assert ((moved / "log.jsonl").is_symlink(), (moved / "log.jsonl").read_text(encoding="utf-8")) == (False, "log")
    assert (moved / "maps.json").readlink() == tmp_path / "secret"
    assert (tmp_path / "away").read_text(encoding="utf-8") == "away"


# Links


def test_a_link_in_place_of_the_checkpoints_is_removed_and_what_it_leads_to_is_left(
    store: ResultsStore, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".state.tmp").write_text("kept")
    cell().folder(store.folder).mkdir(parents=True)
    (cell().folder(store.folder) / "checkpoint").symlink_to(elsewhere)
    with store.lock(cell()):
        assert not (cell().folder(store.folder) / "checkpoint").exists()
    assert (elsewhere / ".state.tmp").read_text() == "kept"


def test_a_link_in_place_of_the_lock_is_not_followed(store: ResultsStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("kept")
    cell().folder(store.folder).mkdir(parents=True)
    (cell().folder(store.folder) / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link, and none is followed"), store.lock(cell()):
        pass
    assert (tmp_path / "elsewhere").read_text() == "kept"


# The log


@pytest.mark.parametrize("text", [*DAMAGED, '{"steps": "9", "terms": {}}', '{"steps": 9, "terms": {"total": [1]}}'])
def test_what_was_logged_last_stands_before_a_damaged_line(store: ResultsStore, text: str) -> None:
    log = cell().folder(store.folder) / "log.jsonl"
    log.parent.mkdir(parents=True)
    assert last_logged(cell().folder(store.folder)) == (0, {})
    log.write_text(text, encoding="latin-1")
    assert last_logged(cell().folder(store.folder)) == (0, {})
    sound = '{"epoch": 2, "steps": 4, "terms": {"total": 0.5}}'
    log.write_text(f"{sound}\n{text}\n{sound}\n", encoding="latin-1")
    assert last_logged(cell().folder(store.folder)) == (4, {"total": 0.5})


def test_a_pipe_in_place_of_a_log_is_not_waited_for(store: ResultsStore) -> None:
    folder = cell().folder(store.folder)
    folder.mkdir(parents=True)
    os.mkfifo(folder / "log.jsonl")
    assert last_logged(cell().folder(store.folder)) == (0, {})


# Writability


def test_a_writable_folder_is_made_and_left_empty(store: ResultsStore) -> None:
    store.check_writable()
    assert list(store.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=f"results folder {folder} cannot be written to .*--results"):
            ResultsStore(folder).check_writable()
    assert (tmp_path / "file").read_text() == "in the way"


# Records


@pytest.mark.parametrize("record", [record_of(cell()), failed_record_of(cell())], ids=["ok", "failed"])
def test_a_record_comes_back_to_the_last_digit(tmp_path: Path, record: Record) -> None:
    (tmp_path / "record.json").write_text(record.to_json(), encoding="utf-8")
    assert Record.load(tmp_path / "record.json") == record


def test_a_record_holds_the_documented_fields() -> None:
    content = json.loads(record_of(cell()).to_json())
    documented = "schema key status method dataset profile seed precision scores separation_gap cost provenance error"
    assert set(documented.split()) <= set(content)
    assert content["schema"] == SCHEMA
    assert content["scores"][0]["value"] == 0.30000000000000004


def test_a_record_never_holds_numbers_that_json_lacks() -> None:
    with pytest.raises(ValueError, match="JSON"):
        record_of(cell(), separation_gap=float("nan")).to_json()


def content(**changes: Any) -> dict[str, Any]:
    return {**json.loads(record_of(cell()).to_json()), **changes}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in content().items() if key != name}


MALFORMED = {
    "empty": "",
    "half": record_of(cell()).to_json()[:200],
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "other JSON": '{"a": 1}',
    "another schema": json.dumps(content(schema=SCHEMA - 1)),
    "no key": json.dumps(without("key")),
    "no scores": json.dumps(without("scores")),
    "an unknown field": json.dumps(content(extra=1)),
    "scores null": json.dumps(content(scores=None)),
    "a score without its fields": json.dumps(content(scores=[{"space": "common"}])),
    "a score that is a number": json.dumps(content(scores=[0.5])),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_record_is_named_with_what_to_do(store: ResultsStore, text: str) -> None:
    path = cell().folder(store.folder) / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert store.state(cell()) == "damaged"
    for read in (lambda: Record.load(path), store.records):
        with pytest.raises(UserError, match=r"is not a record of cabench.*sets it aside") as caught:
            read()
        assert str(path) in str(caught.value)


def test_a_record_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"record\.json is not a record"):
        Record.load(tmp_path / "record.json")


def test_a_record_in_the_folder_of_another_cell_is_refused(store: ResultsStore) -> None:
    record = record_of(cell())
    store.write_record(record)
    other = record.folder(store.folder).with_name("seed7-12345678")
    other.mkdir()
    (other / "record.json").write_text(record.to_json(), encoding="utf-8")
    with pytest.raises(UserError, match="is the record of another cell; move it"):
        store.records()


@pytest.mark.parametrize(
    "changes",
    [
        *({part: {**content()[part], "label": "../../x"}} for part in ("method", "dataset")),
        *({"key": key} for key in ("", "../../../x", "AB" * 32)),
        *({"seed": seed} for seed in (-1, True, 0.5)),
        *({"separation_gap": gap} for gap in (float("nan"), 1e300, None)),
        {"cost": {}},
        {"precision": "fp64"},
        {"more": 1},
        {"provenance": {"a": json.loads("[" * 60 + "]" * 60)}},
        {"method": None},
        {"method": {}},
        {"dataset": "tiny"},
        {"status": "done"},
        {"seed": "1"},
        {"scores": {}},
        {"scores": [{**dataclasses.asdict(SCORE), "value": "high"}]},
    ],
    ids=lambda changes: json.dumps(changes)[:30],
)
def test_a_record_whose_values_are_of_another_kind_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    (tmp_path / "record.json").write_text(json.dumps(content(**changes)), encoding="utf-8")
    with pytest.raises(UserError, match=r"record\.json is not a record"):
        Record.load(tmp_path / "record.json")
