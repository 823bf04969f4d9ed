"""Cells that two profiles ask for: computed once, and in the tables, the files and the gate under both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cabench
from cabench.errors import UserError
from cabench.experiment import asked
from cabench.experiment.asked import LOCK, MOST, NAME, Asked, AskedCells, asked_cells, note
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.files.atomic import stamp
from cabench.gate.selection import by_group, read_results
from cabench.profiles import ProfileEntry
from cabench.publication.verify import verify_results
from cabench.report.tidy_csv import tidy_table

RUN = ("run", "--datasets", "planted", "--no-controls", "--seeds", "0", "--set", "planted.repeats=1")
MINE: ProfileEntry = {"name": "mine", "description": "of my own", "extends": ["smoke"]}
OTHER: ProfileEntry = {"name": "other", "description": "", "extends": []}
BOTH = {("pca", "smoke"), ("pca", "mine"), ("chance", "mine")}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, start_cabench: Callable[..., Any]) -> Path:
    """A folder in which profile `mine` asked for two cells, one of which `smoke` had computed; do not write to it."""
    folder = tmp_path_factory.mktemp("computed")
    (folder / "mine.toml").write_text('description = "of my own"\nextends = "smoke"\n', encoding="utf-8")
    for methods, profile in (("pca", "smoke"), ("chance,pca", "mine.toml")):
        run = start_cabench(folder, *RUN, "--methods", methods, "--profile", profile, "--results", "runs")
        said = run.communicate()
        assert run.returncode == 0, said
    return folder / "runs"


@pytest.fixture
def store(computed: Path, tmp_path: Path) -> ResultsStore:
    """A copy."""
    return ResultsStore(shutil.copytree(computed, tmp_path / "runs"))


def shown(store: ResultsStore) -> set[tuple[str, str]]:
    """Methods, and the profiles that they are shown under."""
    records, reasons = store.shown_records()
    assert not reasons
    found = [(record.method["label"], record.profile) for record in records]
    assert len(found) == len(set(found))
    return set(found)


def of_pca(store: ResultsStore) -> Record:
    (record,) = (record for record in store.records() if record.method["label"] == "pca")
    return record


def noted(cells: list[AskedCells], folder: Path) -> None:
    (folder / NAME).write_text(json.dumps(cells), encoding="utf-8")


def test_a_cell_is_computed_once_and_shown_under_both(store: ResultsStore) -> None:
    assert [record.profile for record in store.records()] == ["mine", "smoke"]
    assert shown(store) == BOTH
    under = {record.profile: record for record in store.shown_records()[0] if record.method["label"] == "pca"}
    assert under["mine"].provenance["profile"] == MINE
    assert under["mine"] == of_pca(store).under(MINE)
    assert under["smoke"] == of_pca(store)


def test_tables_show_it_under_both(store: ResultsStore, cabench_here: Any) -> None:
    _, of_mine, of_smoke = (store.folder / "report.md").read_text(encoding="utf-8").split("## planted\n")
    assert "Profile mine (extends smoke: of my own)" in of_mine
    assert "Profile smoke," in of_smoke
    assert [f"| {name} " in of_mine for name in ("pca", "chance")] == [True, True]
    assert [f"| {name} " in of_smoke for name in ("pca", "chance")] == [True, False]
    for format in ("markdown", "summary", "latex", "html", "csv"):
        done = cabench_here("report", "--results", str(store.folder), "--format", format)
        assert done.returncode == 0, done.stderr
        assert "mine" in done.stdout
        assert "smoke" in done.stdout
    done = cabench_here("report", "--results", str(store.folder), "--figures", "figures", "--output", "page.md")
    assert done.returncode == 0, done.stderr
    drawn = {path.name for path in Path("figures").iterdir()}
    assert {"planted-mine-wanted-leaked.svg", "planted-smoke-wanted-leaked.svg"} <= drawn


def test_files_of_scores_have_it_under_both(store: ResultsStore) -> None:
    table = tidy_table(store.shown_records()[0])
    under = dict(iter(table[table.method == "pca"].groupby("profile")))
    assert set(under) == {"smoke", "mine"}
    assert under["smoke"].value.tolist() == under["mine"].value.tolist()


def test_the_gate_finds_it_under_both(store: ResultsStore) -> None:
    records, unreadable = read_results(store.folder)
    assert not unreadable
    assert {(name.method, name.profile) for name in by_group(records)} == BOTH


@pytest.mark.usefixtures("cabench_here")
def test_it_stays_under_both_when_it_is_computed_anew(store: ResultsStore) -> None:
    before = store.stamp(of_pca(store))
    again = {"sets": ["planted.repeats=1"], "controls": False, "force": True, "device": "cpu"}
    cabench.run("pca", "planted", "0", "smoke", store.folder, **again)
    assert store.stamp(of_pca(store)) != before
    assert shown(store) == BOTH


def test_what_is_noted_already_is_not_written_again(store: ResultsStore) -> None:
    before = stamp(store.folder / NAME)
    note(store.folder, asked_cells([(of_pca(store), MINE)]))
    assert stamp(store.folder / NAME) == before


def test_what_a_profile_says_of_itself_is_the_latest_and_its_cells_add_up(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    a, b, c = (letter * 64 for letter in "abc")
    changed: ProfileEntry = {**MINE, "description": "changed"}
    note(store.folder, [{"dataset": "planted", "profile": MINE, "keys": {"pca": [b, a]}}])
    note(store.folder, [{"dataset": "planted", "profile": changed, "keys": {"pca": [c, a], "cpca": [b]}}])
    (cells,) = Asked.read(store.folder).by_place.values()
    assert cells == {"dataset": "planted", "profile": changed, "keys": {"pca": [a, b, c], "cpca": [b]}}
    assert store.shown_records() == ([], [])


def test_merged_folders_tell_the_profiles_of_both(store: ResultsStore, tmp_path: Path, cabench_here: Any) -> None:
    other = ResultsStore(shutil.copytree(store.folder, tmp_path / "other"))
    noted(asked_cells([(of_pca(store), OTHER)]), other.folder)
    fresh = ResultsStore(tmp_path / "fresh")
    for target in (store, fresh):
        done = cabench_here("merge", str(other.folder), "--results", str(target.folder))
        assert done.returncode == 0, done.stderr
    assert shown(store) == {*BOTH, ("pca", "other")}
    assert shown(fresh) == {("pca", "smoke"), ("pca", "other"), ("chance", "mine")}


def test_equal_cells_of_another_label_are_others(store: ResultsStore, cabench_here: Any) -> None:
    """The same method under the name of a variant: its cells have the same keys, and folders of their own."""
    Path("variant.toml").write_text('extends = "smoke"\n[variants.again]\nmethod = "pca"\n', encoding="utf-8")
    done = cabench_here(*RUN, "--methods", "again", "--profile", "variant.toml", "--results", str(store.folder))
    assert done.returncode == 0, done.stderr
    assert shown(store) == {*BOTH, ("again", "variant")}


def test_a_lock_that_is_held_too_long_is_named(store: ResultsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "PATIENCE_S", 0.1)
    with store.locks.hold(store.folder / LOCK, 1.0):
        note(store.folder, asked_cells([(of_pca(store), MINE)]))  # which is noted already
        with pytest.raises(UserError, match=f"Another process has held .*{LOCK} for 0 s"):
            note(store.folder, asked_cells([(of_pca(store), OTHER)]))


def test_an_archive_holds_what_was_asked_for(store: ResultsStore, tmp_path: Path) -> None:
    archive = tmp_path / "cells.tar.gz"
    cabench.publish(store.folder, archive)
    assert verify_results(archive).findings == []
    shutil.unpack_archive(archive, tmp_path)
    unpacked = tmp_path / "cabench-results"
    assert shown(ResultsStore(unpacked / "results")) == BOTH
    assert "Profiles: mine, smoke." in (unpacked / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[", "Expecting value"),
        ("{}", "valid array"),
        ('[{"dataset": "planted", "profile": {"name": "mine"}, "keys": {}}]', "description"),
        (json.dumps([{"dataset": "planted", "profile": MINE, "keys": {"pca": ["../a"]}}]), "pattern"),
        (
            json.dumps([{"dataset": f"d{number}", "profile": MINE, "keys": {}} for number in range(MOST + 1)]),
            "more than 1,000 profiles",
        ),
    ],
    ids=["cut short", "another kind", "a field is missing", "no key", "too many"],
)
def test_a_damaged_file_is_named_and_nothing_is_lost(
    store: ResultsStore, cabench_here: Any, content: str, reason: str
) -> None:
    (store.folder / NAME).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=f"{NAME}, .* cannot be read .*{reason}.*Remove it"):
        Asked.read(store.folder)
    done = cabench_here("report", "--results", str(store.folder))
    assert done.returncode == 1
    assert "| pca " in done.stdout
    assert done.stderr.count("cannot be read") == 1
    refused = cabench_here(*RUN, "--methods", "pca", "--profile", "smoke", "--results", str(store.folder))
    assert refused.returncode == 2
    assert "Remove it" in refused.stderr
    assert (store.folder / NAME).read_text(encoding="utf-8") == content
    assert [finding for finding in verify_results(store.folder).findings if NAME in finding]


def test_a_key_that_is_there_many_times_shows_its_cell_once(store: ResultsStore) -> None:
    (cells,) = asked_cells([(of_pca(store), OTHER)])
    noted([{**cells, "keys": {"pca": cells["keys"]["pca"] * 1000}}] * 2, store.folder)
    assert shown(store) == {("pca", "smoke"), ("pca", "other"), ("chance", "mine")}


def test_a_link_in_its_place_is_not_followed(store: ResultsStore, tmp_path: Path) -> None:
    (store.folder / NAME).rename(tmp_path / "elsewhere.json")
    (store.folder / NAME).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(UserError, match="it is a link"):
        Asked.read(store.folder)


def test_more_profiles_than_can_be_read_are_refused_before_they_are_written(tmp_path: Path) -> None:
    many: list[AskedCells] = [{"dataset": f"d{number}", "profile": MINE, "keys": {}} for number in range(MOST)]
    note(tmp_path, many)
    with pytest.raises(UserError, match="more than it may"):
        note(tmp_path, [{"dataset": "one-more", "profile": MINE, "keys": {}}])
    assert len(Asked.read(tmp_path).by_place) == MOST


def test_processes_that_note_at_once_lose_nothing(tmp_path: Path, start_python: Callable[..., Any]) -> None:
    program = (
        "import sys; from pathlib import Path; from cabench.experiment.asked import note\n"
        "for number in range(20):\n"
        "    profile, key = {'name': 'p', 'description': '', 'extends': []}, f'{sys.argv[1]}{number:063}'\n"
        "    note(Path('runs'), [{'dataset': 'd', 'profile': profile, 'keys': {'pca': [key]}}])\n"
    )
    (tmp_path / "runs").mkdir()
    running = [start_python(tmp_path, "-c", program, name) for name in ("a", "b")]
    assert [process.communicate() and process.returncode for process in running] == [0, 0]
    (cells,) = Asked.read(tmp_path / "runs").by_place.values()
    assert len(cells["keys"]["pca"]) == 40
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {NAME, LOCK}
