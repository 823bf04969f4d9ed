"""A file of one's own is used like a built-in data set, from `plan` to `evaluate`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench import Attribute, Examples, write_arrays
from cabench.datasets.file import File, FileConfig
from cabench.errors import UserError
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import Profile, Variant, load_profile

KIND = Attribute("kind", "salient", "class", ("upper", "lower"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 x 32 noise; targets have a bright square in the upper or the lower half."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 100, (160, 1, 32, 32), np.uint8)
    kinds = np.arange(80) % 2
    for row, kind in zip(images[80:], kinds, strict=True):
        row[:, 4 + 16 * kind : 12 + 16 * kind, 10:20] = 250
    path = tmp_path_factory.mktemp("own") / "mine.h5"
    write_arrays(path, Examples(images[:80]), Examples(images[80:], {"kind": kinds}), [KIND])
    return path


def test_it_is_planned_run_reported_and_evaluated_by_its_path(made: Path, tmp_path: Path, cabench) -> None:
    shutil.copy(made, tmp_path / "mine.h5")
    common = ("--datasets", "mine.h5", "--seeds", "0", "--results", "results", "--set", "cpca.components=2")
    asked = ("--methods", "cpca", *common)
    planned = cabench("plan", *asked)
    assert planned.returncode == 0, planned.stderr
    assert [line.split()[:2] for line in planned.stdout.splitlines()[2:]] == [
        ["mine", name] for name in ("cpca", "pca", "chance")
    ]
    run = cabench("run", *asked)
    assert run.returncode == 0, run.stderr
    assert "## mine" in run.stdout
    (record,) = (tmp_path / "results" / "mine" / "cpca").glob("*/record.json")
    content = json.loads(record.read_text())
    assert content["dataset"]["name"] == "file"
    assert content["dataset"]["config"] == {"path": str(tmp_path / "mine.h5")}
    found = {
        (score["space"], score["attribute"]): score["value"]
        for score in content["scores"]
        if score["metric"] == "balanced_accuracy"
    }
    assert found["salient", "kind"] == 1
    content["evaluation"]["version"] -= 1
    record.write_text(json.dumps(content))
    renewed = cabench("evaluate", "--results", "results")
    assert renewed.returncode == 0, renewed.stderr
    assert "mine / cpca / seed 0: evaluated" in renewed.stdout + renewed.stderr


def test_the_file_is_checked_when_it_is_opened(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made, tmp_path / "mine.h5"))
    with h5py.File(path, "a") as file:
        file["train/images"][0, 0, 0, 0] += 1
    with pytest.raises(UserError, match="content hash does not match"):
        File(FileConfig(path=str(path))).obtain(None)


def test_without_a_path_it_says_what_to_write() -> None:
    with pytest.raises(UserError, match=r"--datasets mine\.h5"):
        File().find(None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no data set file"):
        File(FileConfig(path=str(tmp_path / "absent.h5"))).find(None)


def test_paths_become_variants_named_by_their_files(made: Path) -> None:
    resolved, labels = ResolvedProfile(load_profile("quick")).with_files([str(made), "planted", str(made)])
    assert labels == ["mine", "planted", "mine"]
    assert resolved.profile.dataset_variants["mine"] == Variant("file", {"path": str(made)})
    name, fields = resolved.profile.method_fields("sepclr", "mine")
    assert (name, fields["crop_size"]) == ("sepclr", 0)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["pca.h5"], "called like another data set or a method, 'pca'"),
        (["all.h5"], "called like another data set or a method, 'all'"),
        (["planted.h5"], "called like another data set or a method, 'planted'"),
        (["a/mine.h5", "b/mine.h5"], "called like another data set or a method, 'mine'"),
        (["my file.h5"], "digits, _ and -"),
        ([".h5"], "digits, _ and -"),
        (["absent.h5"], "There is no data set file"),
    ],
)
def test_files_that_could_not_be_told_apart_are_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in names:
        if name != "absent.h5":
            Path(name).parent.mkdir(exist_ok=True)
            shutil.copy(made, name)
    with pytest.raises(UserError, match=words):
        ResolvedProfile(Profile("mine", "")).with_files(names)
