"""`cabench merge`: cells of several folders come together whole, and nothing that stands anywhere is lost."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import pytest

import cabench
from cabench.errors import UserError
from cabench.experiment.asked import NAME
from cabench.experiment.locks import Flock, Leases, write_leases
from cabench.experiment.store import ResultsStore

BESIDE_CELLS = ("report.md", ".report.md.sign", NAME)
METHODS = "chance,random_encoder"
RUN = ("run", "--profile", "smoke", "--no-controls", "--set", "planted.repeats=1", "--methods", METHODS)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, start_cabench: Callable[..., Any]) -> Path:
    """Folders "first", with seeds 0 and 1, and "second", with seeds 1 and 2, of two methods; do not write to them."""
    folder = tmp_path_factory.mktemp("computed")
    runs = [
        start_cabench(folder, *RUN, "--seeds", seeds, "--results", name)
        for name, seeds in (("first", "0-1"), ("second", "1-2"))
    ]
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 0, errors
    return folder


@pytest.fixture
def folders(computed: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of both."""
    return tuple(shutil.copytree(computed / name, tmp_path / name) for name in ("first", "second"))  # type: ignore[return-value]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".lock" not in path.name)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def cells(folder: Path) -> dict[str, bytes]:
    """Every file of cells."""
    return {name: content for name, content in contents(folder).items() if Path(name).name not in BESIDE_CELLS}


def one(folder: Path, method: str = "chance", seed: int = 1) -> Path:
    """The folder of a cell."""
    (found,) = folder.glob(f"planted/{method}/seed{seed}-*")
    return found


def change(record: Path, **changes: object) -> None:
    record.write_text(json.dumps(json.loads(record.read_text()) | changes), encoding="utf-8")


def fail(cell: Path) -> None:
    error = {"type": "ValueError", "message": "no", "traceback": "", "step": None, "last_terms": None}
    failed: Mapping[str, object] = {"status": "failed", "scores": [], "separation_gap": None, "cost": {}}
    change(cell / "record.json", **failed, unmeasured=[], error=error)
    for path in cell.glob("*.h5"):
        path.unlink()


def test_folders_come_together_and_stay_as_they_are(folders: tuple[Path, Path], tmp_path: Path) -> None:
    before = [contents(folder) for folder in folders]
    merged = cabench.merge(folders, tmp_path / "into")
    assert str(merged) == "6 cells copied, 2 there already, 0 in conflict, 0 refused, 0 left out."
    assert [contents(folder) for folder in folders] == before
    assert cells(tmp_path / "into") == {**cells(folders[1]), **cells(folders[0])}
    report = (tmp_path / "into" / "report.md").read_text(encoding="utf-8")
    assert "| chance " in report
    assert "seeds 0, 1, 2" in report
    assert ResultsStore(tmp_path / "into").readable_records()[1] == []


def test_merging_again_changes_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    cabench.merge(folders, tmp_path / "into")
    before = contents(tmp_path / "into")
    merged = cabench.merge(folders, tmp_path / "into")
    assert (merged.copied, merged.equal) == (0, 8)
    assert contents(tmp_path / "into") == before


def test_the_command_says_what_became_of_the_cells(folders: tuple[Path, Path], tmp_path: Path, cabench_here) -> None:
    scores = json.loads((one(folders[1]) / "record.json").read_text())["scores"]
    change(one(folders[1]) / "record.json", scores=[{**scores[0], "value": 0.25}, *scores[1:]])
    fail(one(folders[1], seed=2))
    done = cabench_here("merge", *map(str, folders), "--results", str(tmp_path / "into"))
    assert done.returncode == 1
    assert done.stdout.strip() == "6 cells copied, 1 there already, 1 in conflict, 0 refused, 0 left out."
    conflict = (one(folder) / "record.json" for folder in (folders[1], tmp_path / "into"))
    assert done.stderr.strip() == "conflict: {} has other scores than {}, which stays.".format(*conflict)
    assert cells(one(tmp_path / "into")) == cells(one(folders[0]))
    assert ResultsStore(tmp_path / "into").readable_records()[0][2].status == "failed"


def test_a_failed_cell_gives_way_and_never_takes_a_place(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = folders
    sound = cells(one(first))
    shutil.copytree(one(first), tmp_path / "sound")
    fail(one(first))
    assert cabench.merge([first], tmp_path / "into").copied == 4
    (one(tmp_path / "into") / "checkpoint").mkdir()
    again = cabench.merge([first], tmp_path / "into")
    assert (again.equal, again.left_out) == (4, [])
    assert cabench.merge([second], tmp_path / "into").copied == 3, "seed 2 of both methods, and what had failed"
    assert cells(one(tmp_path / "into")) == cells(one(second))
    assert not (one(tmp_path / "into") / "checkpoint").exists()
    back = cabench.merge([first], tmp_path / "into")
    assert (back.copied, len(back.left_out), back.conflicts) == (0, 1, [])
    assert "tells of a failure" in back.left_out[0]
    assert cells(one(tmp_path / "into"))["record.json"] != sound["record.json"], "both were timed"


def test_a_changed_record_is_refused_and_the_others_are_copied(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first, _ = folders
    record = one(first) / "record.json"
    change(record, method={**json.loads(record.read_text())["method"], "version": 77})
    (one(first, seed=0) / "record.json").write_text("{", encoding="utf-8")
    one(first, "random_encoder").rename(first / "planted" / "random_encoder" / "seed1-01234567")
    merged = cabench.merge([first], tmp_path / "into")
    assert merged.copied == 1
    for said, reason in zip(merged.refused, ("not a record", "was changed", "another cell"), strict=True):
        assert reason in said
    assert all(str(first) in said for said in merged.refused)


@pytest.mark.parametrize("name", ["contributions.h5", "representations.h5"])
def test_files_of_another_cell_or_damaged_ones_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    first, _ = folders
    shutil.copy(one(first, "random_encoder", 0) / name, one(first) / name)
    (one(first, seed=0) / name).write_bytes(b"nothing")
    merged = cabench.merge([first], tmp_path / "into")
    assert (merged.copied, len(merged.refused)) == (2, 2)
    assert "damaged" in merged.refused[0]
    assert "of another cell" in merged.refused[1]
    assert not list((tmp_path / "into").glob("planted/chance/*/record.json"))


def test_vectors_of_an_older_evaluation_are_known_by_themselves(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Where a record is brought up to date, its key changes, and that beside the vectors stays."""
    first, _ = folders
    with h5py.File(one(first) / "representations.h5", "r+") as file:
        file.attrs["key"] = "0" * 64
    assert cabench.merge([first], tmp_path / "into").copied == 4
    with h5py.File(one(first) / "representations.h5", "r+") as file:
        file["test/target/common"][0, 0] += 1
    assert len(cabench.merge([first], tmp_path / "other").refused) == 1


@pytest.mark.parametrize("place", ["planted", "planted/chance", "cell", "record.json", "model.safetensors"])
def test_no_link_is_followed(folders: tuple[Path, Path], tmp_path: Path, place: str) -> None:
    first, _ = folders
    path = {"cell": one(first), "record.json": one(first) / "record.json"}.get(place, first / place)
    path = one(first) / place if place == "model.safetensors" else path
    if path.exists():
        path.rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "elsewhere").write_text("a secret")
    path.symlink_to(tmp_path / "elsewhere")
    merged = cabench.merge([first], tmp_path / "into")
    assert merged.refused
    assert all("is a link" in said for said in merged.refused)
    assert merged.copied == 4 - len(merged.refused)
    assert not any(path.is_symlink() for path in (tmp_path / "into").rglob("*"))


@pytest.mark.parametrize("name", ["pictures.png", "maps.json", "log.jsonl"])
def test_a_file_as_long_as_a_disk_is_not_copied(folders: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    first = next(folders[0].glob("*/*/seed*")) / name
    with first.open("wb") as file:
        file.truncate(40 << 30)
    merged = cabench.merge(folders, tmp_path / "merged")
    (sentence,) = merged.refused
    assert sentence.startswith(
        f"{first} cannot be copied (it has 42,949,672,960 bytes, and of its kind at most 67,108,864"
    )


def test_links_in_the_target_are_replaced(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first, _ = folders
    (tmp_path / "theirs").write_text("theirs")
    cell = tmp_path / "into" / one(first).relative_to(first)
    cell.mkdir(parents=True)
    (cell / "representations.h5").symlink_to(tmp_path / "theirs")
    assert cabench.merge([first], tmp_path / "into").copied == 4
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert cells(cell) == cells(one(first))


@pytest.mark.parametrize("which", ["source", "target", "unfinished"])
@pytest.mark.parametrize("lease", [False, True])
def test_cells_being_computed_are_left_out(folders: tuple[Path, Path], tmp_path: Path, which: str, lease: bool) -> None:
    first, _ = folders
    into = tmp_path / "into"
    into.mkdir()
    if lease:
        for folder in (first, into):
            write_leases(folder, 60)
    cell = one(first)
    held = into / cell.relative_to(first) if which == "target" else cell
    held.mkdir(parents=True, exist_ok=True)
    if which == "unfinished":
        (cell / "record.json").unlink()
    with (Leases(60.0) if lease else Flock()).hold(held / ".lock", 0):
        merged = cabench.merge([first], into)
    assert (merged.copied, merged.left_out) == (3, [f"{held} is being computed."])
    assert merged.refused == []


def test_a_damaged_record_in_the_target_is_named_and_stays(folders: tuple[Path, Path], tmp_path: Path) -> None:
    first, _ = folders
    record = tmp_path / "into" / one(first).relative_to(first) / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    merged = cabench.merge([first], tmp_path / "into")
    assert (merged.copied, len(merged.refused)) == (3, 1)
    assert str(record) in merged.refused[0]
    assert record.read_text() == "{"


def test_folders_that_cannot_be_merged_are_refused_before_anything_is_copied(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    first, _ = folders
    (tmp_path / "empty").mkdir()
    (tmp_path / "same").symlink_to(first)
    for wrong, reason in {"empty": "holds no records", "nowhere": "no results folder"}.items():
        with pytest.raises(UserError, match=reason):
            cabench.merge([first, tmp_path / wrong], tmp_path / "into")
    with pytest.raises(UserError, match="is the folder to merge into"):
        cabench.merge([tmp_path / "same"], first)
    assert not (tmp_path / "into").exists()


# Merges, says so before it puts some file in place, and waits there to be killed.
HALFWAY = """
import sys, time
from pathlib import Path
replace, left = Path.replace, [int(sys.argv.pop(1))]
def put(self, target):
    left[0] -= 1
    if left[0] == 0:
        print("here", flush=True)
        time.sleep(300)
    return replace(self, target)
Path.replace = put
from cabench.__main__ import main
sys.argv = ["cabench", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_a_merge_that_is_killed_leaves_whole_cells_and_goes_on(
    folders: tuple[Path, Path], tmp_path: Path, start_python
) -> None:
    into = tmp_path / "into"
    expected = {**cells(folders[1]), **cells(folders[0])}
    for file in (1, 2, 3, 4, 5, 3, 1):
        process = start_python(tmp_path, "-c", HALFWAY, file, "merge", *folders, "--results", into)
        process.wait_for("here\n")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        records, unreadable = ResultsStore(into).readable_records()
        assert unreadable == []
        for record in records:
            folder = record.folder(into)
            place = folder.relative_to(into)
            found = {str(place / name): content for name, content in contents(folder).items()}
            assert found == {name: content for name, content in expected.items() if Path(name).parent == place}
    process = start_python(tmp_path, "-m", "cabench", "merge", *folders, "--results", into)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert cells(into) == expected
