"""Links in every place of a results folder: nothing is read or written through them, and reports can be written."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cabench
from cabench.errors import UserError
from cabench.experiment.progress import make_reporter
from cabench.experiment.record import Record
from cabench.experiment.reevaluation import Reevaluation
from cabench.experiment.store import ResultsStore
from cabench.report.markdown import markdown
from cabench.report.section_figures import section_figures

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")

TIMES = int(os.environ.get("CABENCH_FUZZ", "1"))
WriteAll = Callable[[Sequence[Record], Path], None]

FOLDERS = ("planted", "planted/pca", "cell")
FILES = ("record.json", "contributions.h5", "representations.h5", "model.safetensors", "pictures.png", "maps.json")
BESIDE = ("log.jsonl", ".begun", ".lock", "checkpoint", "record.damaged")
TOP = ("report.md", ".report.md.sign", ".report.lock", "locks.toml", "slurm")
PLACES = (*FOLDERS, *FILES, *BESIDE, *TOP)

_followed: list[str] = []
_outside: list[Path] = []  # while it is watched: the folder where links lead to


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what Python opens or changes below the folder; what HDF5 opens is not told."""
    if _outside and event in ("open", "os.remove", "os.rename", "os.mkdir", "os.chmod", "os.link"):
        for path in [path for path in arguments[:2] if isinstance(path, str | Path)]:
            follows = event == "open" and not arguments[2] & os.O_NOFOLLOW
            place = Path(path) if follows else Path(path).parent
            if place.resolve().is_relative_to(_outside[0]):
                _followed.append(f"{event} {path}")


sys.addaudithook(_watch)


def run(results: Path, **others: Any) -> cabench.Results:
    settings: dict[str, Any] = {"datasets": "planted", "profile": "smoke", "controls": False, "device": "cpu"}
    return cabench.run("pca", results=results, sets=["planted.repeats=1"], **{"seeds": "0-1", **settings, **others})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells, with all that may stand in a folder."""
    folder = tmp_path_factory.mktemp("finished") / "results"
    run(folder)
    cell = one(folder)
    (cell / "log.jsonl").write_text('{"epoch": 1, "steps": 1, "terms": {"total": 1.0}}\n')
    (cell / "record.damaged").write_text("{")
    (cell / ".begun").write_text('{"deaths": 3, "checkpoint": null, "by": "a secret"}')
    (cell / "checkpoint").mkdir()
    (cell / "checkpoint" / ".state.tmp").write_text("a secret")
    (folder / "slurm").mkdir()
    (folder / "locks.toml").write_text('kind = "flock"\n')
    return folder


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "results"))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Where links lead to."""
    (tmp_path / "outside").mkdir()
    return tmp_path / "outside"


@contextmanager
def left_alone(folder: Path) -> Iterator[None]:
    """Checks that nothing below a folder is opened or changed in the block."""
    before = contents(folder)
    _followed.clear()
    _outside.append(folder)
    try:
        yield
    finally:
        _outside.clear()
    assert _followed == []
    assert contents(folder) == before


def one(results: Path) -> Path:
    return min(results.glob("planted/pca/seed0-*"))


def linked(results: Path, place: str, outside: Path) -> Path:
    """A results folder with a link to what stood in a place. Gives the link."""
    path = {"cell": one(results)}.get(place, results / place if place in (*FOLDERS, *TOP) else one(results) / place)
    if path.exists():
        path.rename(outside / "there")
    else:
        (outside / "there").touch()
    path.symlink_to(outside / "there")
    return path


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("place", PLACES)
def test_reading_follows_none(results: Path, outside: Path, write_all: WriteAll, tmp_path: Path, place: str) -> None:
    path = linked(results, place, outside)
    with left_alone(outside):
        if place == "locks.toml":
            with pytest.raises(UserError, match=r"locks\.toml is a link"):
                cabench.merge([results], tmp_path / "merged")
            return
        records, reasons = ResultsStore(results).readable_records()
        lost = 2 if place in FOLDERS[:2] else int(place in ("cell", "record.json"))
        assert (len(records), len(reasons)) == (2 - lost, lost)
        assert all("is a link" in reason for reason in reasons)
        write_all(records, results)
        section_figures(records, results)
        if place == "contributions.h5":
            assert [record.read_contributions() is None for record in records] == [True, False]
        merged = cabench.merge([results], tmp_path / "merged")
    assert merged.copied == 2 - len(merged.refused)
    assert len(merged.refused) == (lost or int(place in (*FILES, "log.jsonl")))
    assert path.is_symlink()


@pytest.mark.parametrize("place", PLACES)
def test_a_run_follows_none(results: Path, outside: Path, place: str) -> None:
    """What cannot be done without following a link is refused in a sentence, before any cell."""
    linked(results, place, outside)
    with left_alone(outside):
        if place in (*FOLDERS, "locks.toml", ".lock", ".report.lock"):
            with pytest.raises(UserError, match="is a link, and none is followed"):
                run(results, seeds="0", force=True)
        else:
            assert not run(results, seeds="0", force=True).unread


@pytest.mark.parametrize("place", [*FOLDERS, "representations.h5", "pictures.png", "checkpoint"])
def test_measuring_anew_follows_none(results: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr("cabench.experiment.reevaluation._is_measured", lambda record: False)
    store = ResultsStore(results)
    linked(results, place, outside)
    with left_alone(outside):
        records, reasons = store.readable_records()
        _, failures = Reevaluation(store, None, [], make_reporter().say).bring_up_to_date(records)
        store.write_report(markdown)
    assert len(reasons) + len(failures) == {"planted": 2, "planted/pca": 2, "pictures.png": 0, "checkpoint": 0}.get(
        place, 1
    )


def test_a_cell_that_is_moved_to_its_new_key_writes_through_no_link_at_any_depth(results: Path, outside: Path) -> None:
    store = ResultsStore(results)
    record = store.records()[0]
    renewed = replace(record, key="f" * 64)
    old, new = record.folder(results), renewed.folder(results)
    for name in ("notes", "more/notes"):
        (old / name).mkdir(parents=True)
        (old / name / "line").write_text("theirs")
    (new / "more").mkdir(parents=True)
    for name in ("notes", "more/notes"):
        (new / name).symlink_to(outside)
    with left_alone(outside):
        store.move(record, renewed)
    assert (new / "more" / "notes" / "line").read_text() == "theirs"


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/full", "nowhere", "."])
def test_links_to_devices_to_nothing_and_in_circles(
    results: Path, write_all: WriteAll, tmp_path: Path, target: str
) -> None:
    """Any number of files at a time."""
    generator = random.Random(target)
    for _ in range(2 * TIMES):
        copy = Path(shutil.copytree(results, tmp_path / f"copy-{generator.random()}", symlinks=True))
        for name in generator.sample([name for name in (*FILES, *BESIDE) if name != ".lock"], 4):
            path = one(copy) / name
            if path.exists():
                path.rename(tmp_path / f"{generator.random()}")
            path.symlink_to(target)
        records, _ = ResultsStore(copy).readable_records()
        write_all(records, copy)
        run(copy)
