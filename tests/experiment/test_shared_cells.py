"""Cells that two profiles ask for: computed once, and in the tables, the files and the gate under both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.experiment.shared_cells import share, under_all_profiles, with_profiles
from cabench.experiment.store import ResultsStore
from cabench.gate.selection import by_group, read_results
from cabench.profiles import ProfileEntry
from cabench.report.markdown import markdown
from cabench.report.tidy_csv import tidy_table

RUN = ("run", "--datasets", "planted", "--no-controls", "--seeds", "0", "--set", "planted.repeats=1")
MINE: ProfileEntry = {"name": "mine", "description": "of my own", "extends": ["smoke"]}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, start_cabench: Callable[..., Any]) -> Path:
    """A folder in which profile `mine` asked for two cells, one of which `smoke` had computed; do not write to it."""
    folder = tmp_path_factory.mktemp("computed")
    (folder / "mine.toml").write_text('description = "of my own"\nextends = "smoke"\n', encoding="utf-8")
    for arguments in (
        ("--methods", "pca", "--profile", "smoke"),
        ("--methods", "chance,pca", "--profile", "mine.toml"),
    ):
        run = start_cabench(folder, *RUN, *arguments, "--results", "runs")
        said = run.communicate()
        assert run.returncode == 0, said
    return folder / "runs"


@pytest.fixture
def store(computed: Path, tmp_path: Path) -> ResultsStore:
    """A copy."""
    return ResultsStore(shutil.copytree(computed, tmp_path / "runs"))


def profiles_of(store: ResultsStore) -> dict[str, list[str]]:
    return {record.method["label"]: [one["name"] for one in record.profiles] for record in store.records()}


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a cell but its record."""
    files = (path for path in folder.iterdir() if path.name not in ("record.json", ".lock"))
    return {path.name: path.read_bytes() for path in files}


def of_pca(store: ResultsStore) -> Record:
    (record,) = (record for record in store.records() if record.method["label"] == "pca")
    return record


def test_the_record_of_a_shared_cell_names_both_profiles(store: ResultsStore) -> None:
    assert profiles_of(store) == {"chance": ["mine"], "pca": ["smoke", "mine"]}
    record = of_pca(store)
    assert record.profile == "smoke"
    assert record.shared_with == (MINE,)
    assert Record.load(record.folder(store.folder) / "record.json") == record


def test_tables_show_it_under_both(store: ResultsStore) -> None:
    text = (store.folder / "report.md").read_text(encoding="utf-8")
    assert text == markdown(store.records())
    _, of_mine, of_smoke = text.split("## planted\n")
    assert "Profile mine (extends smoke: of my own)" in of_mine
    assert "Profile smoke," in of_smoke
    assert [name in of_mine for name in ("| pca", "| chance")] == [True, True]
    assert [name in of_smoke for name in ("| pca", "| chance ")] == [True, False]


def test_files_of_scores_have_it_under_both(store: ResultsStore) -> None:
    table = tidy_table(store.records())
    under = dict(iter(table[table.method == "pca"].groupby("profile")))
    assert set(under) == {"smoke", "mine"}
    assert under["smoke"].value.tolist() == under["mine"].value.tolist()


def test_the_gate_finds_it_under_both(store: ResultsStore) -> None:
    records, unreadable = read_results(store.folder)
    assert not unreadable
    assert {(name.method, name.profile) for name in by_group(records)} == {
        ("pca", "smoke"),
        ("pca", "mine"),
        ("chance", "mine"),
    }


def test_what_was_computed_stays_as_it_is(store: ResultsStore) -> None:
    before = of_pca(store)
    files = contents(before.folder(store.folder))
    share(before, {**MINE, "name": "other"}, store)
    after = of_pca(store)
    assert replace(after, shared_with=before.shared_with) == before
    assert contents(after.folder(store.folder)) == files
    shown = under_all_profiles([after])
    assert [record.profile for record in shown] == ["smoke", "mine", "other"]
    assert {record.key for record in shown} == {before.key}
    assert {record.separation_gap for record in shown} == {before.separation_gap}


def test_a_record_that_names_the_profile_is_not_written_again(store: ResultsStore) -> None:
    record = of_pca(store)
    before = store.stamp(record)
    for profile in record.profiles:
        share(record, profile, store)
    assert store.stamp(record) == before


def test_a_failure_and_a_cell_that_is_computed_anew_are_left_alone(store: ResultsStore) -> None:
    record, other = of_pca(store), {**MINE, "name": "other"}
    before = store.stamp(record)
    share(replace(record, status="failed"), other, store)
    with store.lock(record):
        share(record, other, store)
    assert store.stamp(record) == before


def test_merged_folders_tell_the_profiles_of_both(store: ResultsStore, tmp_path: Path, cabench_here: Any) -> None:
    record = of_pca(store)
    tables = markdown(store.records()).count("±")
    elsewhere = ResultsStore(shutil.copytree(store.folder, tmp_path / "elsewhere"))
    elsewhere.replace_record(with_profiles(replace(record, shared_with=()), [{**MINE, "name": "other"}]))
    done = cabench_here("merge", str(elsewhere.folder), "--results", str(store.folder))
    assert done.returncode == 0, done.stderr
    assert [profile["name"] for profile in of_pca(store).profiles] == ["smoke", "mine", "other"]
    assert markdown(store.records()).count("±") > tables, (
        "intervals are those of its contributions, now in a third section"
    )


@pytest.mark.parametrize(
    "shared", [[MINE, MINE], [{**MINE, "name": "smoke"}], [{**MINE, "name": f"p{number}"} for number in range(100)]]
)
def test_a_record_that_names_a_profile_twice_or_hundreds_is_refused(store: ResultsStore, shared: list[object]) -> None:
    path = of_pca(store).folder(store.folder) / "record.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "shared_with": shared}), encoding="utf-8")
    with pytest.raises(UserError, match="profiles that are not different, or more than 100"):
        Record.load(path)
