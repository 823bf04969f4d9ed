"""`cabench publish`: one archive, whole or not at all, with equal bytes for equal content."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cabench
from cabench.errors import UserError
from cabench.experiment.locks import Flock
from cabench.files.json import read_json
from cabench.publication import publish as module
from cabench.publication.layout import ROOT
from cabench.publication.manifest import Manifest

from .conftest import write_own_table

ENDED = {"error": {"type": "ValueError", "message": "no", "traceback": "", "step": None, "last_terms": None}}


def names(archive: Path) -> list[str]:
    if archive.suffix == ".zip":
        return zipfile.ZipFile(archive).namelist()
    with tarfile.open(archive) as members:
        return members.getnames()


def one(folder: Path) -> Path:
    return next(folder.glob("runs/planted/chance/seed0-*"))


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_what_is_published_passes(computed: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"all{suffix}"
    done = cabench.publish(computed / "runs", output, computed / "tuning", computed / "tuned.toml", vectors=True)
    assert done.manifest.summary.cells == {"planted": {"chance": 1, "random_encoder": 1}}
    found = cabench.verify_results(output)
    assert found.passed, found.findings
    assert (found.cells, found.recomputed, found.equal, found.tuned) == (2, 2, 2, 1)
    assert not found.notes


def test_it_holds_what_was_asked_for_and_nothing_else(computed: Path, tmp_path: Path) -> None:
    cell = "/".join(one(computed).relative_to(computed / "runs").parts)
    beside = {"record.json", "contributions.h5"}
    for options, more in (
        ({}, set()),
        ({"models": True}, {"model.safetensors"}),
        ({"vectors": True}, {"representations.h5"}),
    ):
        output = tmp_path / f"{len(more)}{''.join(options)}.tar.gz"
        cabench.publish(computed / "runs", output, **options)
        found = names(output)
        assert found == sorted(found)
        kept = {name.rpartition("/")[2] for name in found if f"results/{cell}/" in name}
        assert kept == beside | {name for name in more if (one(computed) / name).exists()}
        assert {name for name in found if name.count("/") == 1} == {f"{ROOT}/README.md", f"{ROOT}/manifest.json"}


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_equal_content_gives_equal_bytes(mine: Path, computed: Path, tmp_path: Path, suffix: str) -> None:
    for path in sorted(mine.rglob("*"), reverse=True):
        os.utime(path, (1, 1))
        if path.is_file():
            path.chmod(0o600)
    first, second = tmp_path / f"one{suffix}", tmp_path / "elsewhere" / f"another{suffix}"
    told = [cabench.publish(folder / "runs", path).sha256 for folder, path in ((computed, first), (mine, second))]
    assert first.read_bytes() == second.read_bytes()
    assert told[0] == told[1]


def test_the_manifest_tells_versions_cells_and_data(unpacked: Path) -> None:
    manifest = Manifest.read(unpacked / "manifest.json")
    assert {"python", "cabench", "torch", "numpy"} <= manifest.versions.keys()
    record = read_json(next(unpacked.glob("results/*/*/*/record.json")), dict)
    assert manifest.summary.datasets == {"planted": (record["dataset"]["content_sha256"],)}
    page = (unpacked / "README.md").read_text(encoding="utf-8")
    assert "| planted |" in page
    assert "2 cells" in page
    assert "tuned.toml" in page


def test_failed_cells_are_kept_and_told(mine: Path, tmp_path: Path, cabench_here) -> None:
    record = one(mine) / "record.json"
    failed = {"status": "failed", "scores": [], "separation_gap": None, "cost": {}, "unmeasured": [], **ENDED}
    record.write_text(json.dumps(json.loads(record.read_text()) | failed), encoding="utf-8")
    for path in one(mine).glob("*.h5"):
        path.unlink()
    done = cabench_here("publish", "--results", str(mine / "runs"), "--output", "a.zip")
    assert done.returncode == 0
    assert "2 cells, 1 of them failed" in done.stdout
    assert cabench.verify_results(tmp_path / "a.zip").failed == 1


def test_a_cell_being_computed_is_left_out(mine: Path, tmp_path: Path) -> None:
    with Flock().hold(one(mine) / ".lock", 0):
        done = cabench.publish(mine / "runs", tmp_path / "a.zip")
    assert done.left_out == [f"{one(mine)} is being computed."]
    assert done.manifest.summary.cells["planted"] == {"random_encoder": 1}


def test_what_is_not_in_order_is_refused_and_nothing_is_written(mine: Path, tmp_path: Path) -> None:
    def refused(*arguments: Path, **options: bool) -> str:
        with pytest.raises(UserError) as error:
            cabench.publish(*arguments, **options)
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]
        return str(error.value)

    output = tmp_path / "a.tar.gz"
    assert "must end in" in refused(mine / "runs", tmp_path / "a.rar")
    assert "holds no records" in refused(mine / "trials" / "nothing", output)
    assert "name their folder" in refused(mine / "runs", output, None, mine / "tuned.toml")
    assert "no tuning records" in refused(mine / "runs", output, mine / "runs")
    (mine / "tuned.toml").write_text((mine / "tuned.toml").read_text().replace("0-4", "0-9"), encoding="utf-8")
    assert "was changed" in refused(mine / "runs", output, mine / "tuning", mine / "tuned.toml")
    (one(mine) / "record.json").rename(mine / "elsewhere")
    (one(mine) / "record.json").symlink_to(mine / "elsewhere")
    assert "is a link" in refused(mine / "runs", output)
    (one(mine) / "record.json").unlink()
    (one(mine) / "record.json").write_text("{", encoding="utf-8")
    assert "not a record" in refused(mine / "runs", output)


def test_a_file_that_changes_meanwhile_is_refused(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = module.readme

    def changing(*arguments: object) -> str:
        with (one(mine) / "contributions.h5").open("ab") as file:
            file.write(b"more")
        return written(*arguments)

    monkeypatch.setattr(module, "readme", changing)
    with pytest.raises(UserError, match="changed while it was published"):
        cabench.publish(mine / "runs", tmp_path / "a.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_archive_is_replaced_by_force_alone(computed: Path, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        cabench.publish(computed / "runs", tmp_path / "a.zip")
    cabench.publish(computed / "runs", tmp_path / "a.zip", force=True)
    assert cabench.verify_results(tmp_path / "a.zip").passed


HALFWAY = """
import sys, time
from cabench.publication import archive
read = archive._Hashing.read
pieces = []
def until_the_third(self, size=-1):
    pieces.append(read(self, size))
    print("reading", flush=True)
    if len(pieces) == 3:
        time.sleep(300)
    return pieces[-1]
archive._Hashing.read = until_the_third
from cabench.__main__ import main
sys.argv = ["cabench", *sys.argv[1:]]
main()
"""


def test_a_kill_while_writing_leaves_the_old_archive(computed: Path, tmp_path: Path, start_python) -> None:
    output = tmp_path / "a.tar.gz"
    output.write_text("old")
    arguments = "publish", "--results", computed / "runs", "--output", output, "--force"
    process = start_python(tmp_path, "-c", HALFWAY, *arguments)
    process.wait_for("reading\nreading\nreading")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert output.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_the_page_names_the_methods_that_were_tuned(unpacked: Path) -> None:
    page = (unpacked / "README.md").read_text(encoding="utf-8")
    assert "cabench run --profile tuned.toml --methods cpca   #" in page
    assert "--methods all" not in page


def computed_on_own_data(folder: Path, start_cabench: Callable[..., Any], profile: str, *options: str) -> None:
    """Tune and run contrastive PCA on a table in `secret`."""
    write_own_table(folder / "secret" / "own.h5", seed=0)
    asked = ("--methods", "cpca", "--profile", profile, *(options or ("--datasets", "secret/own.h5")))
    for command in (
        ("tune", *asked, "--trials", "2", "--results", "trials", "--records", "tuning", "--output", "new/tuned.toml"),
        ("run", "--methods", "cpca", "--profile", "new/tuned.toml", "--seeds", "0", "--results", "runs"),
    ):
        process = start_cabench(folder, *command)
        _, errors = process.communicate()
        assert process.returncode == 0, errors


def unpacked_and_silent(archive: Path, *secrets: str) -> Path:
    """What is in an archive, none of whose files holds any of these words."""
    folder = archive.with_suffix("")
    shutil.unpack_archive(archive, folder)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert not [word for word in secrets if word.encode() in path.read_bytes()], path
    return folder / ROOT


@pytest.mark.slow
def test_nobody_is_told_where_one_s_own_data_is(tmp_path: Path, start_cabench: Callable[..., Any]) -> None:
    """Records, tuning records, profile and vectors, published twice: all of it passes."""
    here = tmp_path / 'jané "quoted"'
    here.mkdir()
    computed_on_own_data(here, start_cabench, "smoke")
    cabench.publish(here / "runs", tmp_path / "one.zip", here / "tuning", here / "new" / "tuned.toml", vectors=True)
    theirs = unpacked_and_silent(tmp_path / "one.zip", "secret", "jan", "quoted")
    profile = tomllib.loads((theirs / "tuned.toml").read_text(encoding="utf-8"))
    assert profile["variants"]["own"] == {"dataset": "table", "path": "own.h5"}
    found = cabench.verify_results(theirs, data=[here / "secret" / "own.h5"])
    assert (found.passed, found.cells, found.equal, found.tuned, list(found.notes)) == (True, 1, 1, 1, [])
    sources = (theirs / "results", tmp_path / "two.zip", theirs / "tuning", theirs / "tuned.toml")
    cabench.publish(*sources, vectors=True)
    assert (tmp_path / "two.zip").read_bytes() == (tmp_path / "one.zip").read_bytes()
    (theirs / "own.h5").write_bytes((here / "secret" / "own.h5").read_bytes())
    again = start_cabench(theirs, "run", "--profile", "tuned.toml", "--methods", "cpca", "--seeds", "0")
    again.communicate()
    assert again.returncode == 0, "a file beside the profile is found"


@pytest.mark.slow
def test_nobody_is_told_where_one_s_own_profile_is(
    tmp_path: Path, start_cabench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "jane"
    (here / "secret").mkdir(parents=True)
    text = 'extends = "smoke"\n[variants.mine]\ndataset = "table"\npath = "own.h5"\n'
    (here / "secret" / "mine.toml").write_text(text, encoding="utf-8")
    computed_on_own_data(here, start_cabench, "secret/mine.toml", "--datasets", "mine")
    monkeypatch.chdir(here)
    cabench.publish("runs", tmp_path / "one.zip", "tuning", "new/tuned.toml")
    theirs = unpacked_and_silent(tmp_path / "one.zip", "secret", "jane")
    profile = tomllib.loads((theirs / "tuned.toml").read_text(encoding="utf-8"))
    assert profile["extends"] == "mine.toml"
    assert "variants" not in profile, "the profile that it extends says where the table is"
    found = cabench.verify_results(theirs)
    assert (found.passed, found.tuned) == (True, 1)
