"""Tuning records and profiles from elsewhere: trials follow from ranges, choices from outcomes, profiles from both."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cabench
from cabench.data.file import DatasetFile
from cabench.publication.found import Verification
from cabench.publication.tuning_checks import check_tuning
from cabench.tuning.tuned_profile import digest_line, published_profile, write_tuned_profile
from cabench.tuning.tuning_record import TuningRecord, read_tuning_records


def record_of(folder: Path) -> Path:
    return folder / "tuning/planted/cpca.json"


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> list[str]:
    """What is found in tuning records when one was changed, and the profile made anew from it."""
    content = json.loads(record_of(folder).read_text(encoding="utf-8"))
    change(content)
    record_of(folder).write_text(json.dumps(content), encoding="utf-8")
    found = Verification()
    check_tuning(folder / "tuning", found)
    return [*found.findings, *found.notes]


def worse(content: dict[str, Any]) -> None:
    """The chosen trial was not that good."""
    for outcome in content["trials"][content["chosen"]]["outcomes"]:
        outcome["gap"] = 0.99


def other(content: dict[str, Any]) -> None:
    content["chosen"] = (content["chosen"] + 1) % len(content["trials"])


def first(content: dict[str, Any], **changes: object) -> None:
    content["trials"][1]["outcomes"][0].update(changes)


def setting(content: dict[str, Any]) -> None:
    trial = content["trials"][1]
    trial["settings"] = dict.fromkeys(trial["settings"], 1.23)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a setting": (setting, "trial 1 has other settings than the declared ranges give"),
    "a fixed setting": (lambda content: content["fixed"].update(no=1), "fixed settings cannot be"),
    "the space": (lambda content: content["space"].update(alpha="Log(low=1, high=2)"), "searched over other ranges"),
    "the budget": (lambda content: content.update(budget=8), "of a budget that gives 8"),
    "no budget": (lambda content: content.update(budget=0), "0 trials are not allowed"),
    "a trial less": (
        lambda content: content.update(trials=content["trials"][:3], chosen=0),
        "trials, of a budget that gives 4",
    ),
    "the choice": (other, "by its own outcomes that is trial"),
    "an outcome": (worse, "by its own outcomes that is trial"),
    "a gap": (lambda content: first(content, gap=-0.5), "gap: Input should be greater than or equal to"),
    "a failure with a gap": (lambda content: first(content, error="no"), "an outcome that cannot be"),
    "a seed": (lambda content: first(content, seed=0), "was not computed under the seeds"),
    "a look less": (lambda content: [trial["outcomes"].clear() for trial in content["trials"]], "under the seeds"),
    "the rule": (lambda content: content.update(criterion="luck"), "Unknown criterion"),
    "the version": (lambda content: content.update(version=77), "has version 77 in tuning records"),
    "what it is told": (lambda content: content.update(supervised=True), "something else of what it learns from"),
    "its spaces": (lambda content: content.update(one_space=True), "or of its spaces"),
    "the method": (lambda content: content.update(name="theirs"), "theirs is not installed"),
    "the label": (lambda content: content.update(method="pca"), "another method or data set"),
    "nonsense": (lambda content: content.update(trials=[], chosen=0), "none of them was chosen"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_in_a_tuning_record_is_found(mine: Path, what: str) -> None:
    changing, said = CHANGES[what]
    assert changed(mine, lambda content: None) == []
    found = changed(mine, changing)
    assert any(said in each for each in found), found


def test_a_profile_of_other_records_is_found(mine: Path) -> None:
    changed(mine, lambda content: first(content, images_seen=1e6))
    arguments = mine / "runs", mine / "tuning", mine / "tuned.toml"
    (finding,) = cabench.verify_results(*arguments).findings
    assert finding == "tuned.toml: its digest is not that of the tuning records: one of the two was changed."
    write_tuned_profile(read_tuning_records(mine / "tuning"), mine / "tuned.toml")
    assert cabench.verify_results(*arguments).passed


def test_test_gaps_that_came_later_change_no_profile(mine: Path) -> None:
    assert changed(mine, lambda content: first(content, test_gap=0.4)) == []
    assert cabench.verify_results(mine / "runs", mine / "tuning", mine / "tuned.toml").passed


def test_a_profile_that_was_changed_by_hand_is_found(mine: Path) -> None:
    profile = mine / "tuned.toml"
    profile.write_text(profile.read_text(encoding="utf-8") + "\n[methods.sepclr]\nepochs = 1\n", encoding="utf-8")
    (finding,) = cabench.verify_results(mine / "runs", mine / "tuning", profile).findings
    assert finding == "tuned.toml: it was changed: the tuning records give another profile."


def test_a_profile_of_the_sender_s_is_not_read(mine: Path, tmp_path: Path) -> None:
    """Whoever sends results does not choose which files are opened here."""
    record = json.loads(record_of(mine).read_text(encoding="utf-8"))
    record["profile"] = str(tmp_path / "secret.toml")
    record_of(mine).write_text(json.dumps(record), encoding="utf-8")
    (mine / "tuned.toml").write_text(digest_line(read_tuning_records(mine / "tuning")) + "\n", encoding="utf-8")
    found = cabench.verify_results(mine / "runs", mine / "tuning", mine / "tuned.toml")
    assert found.passed
    assert any("extends one of the sender's own" in note for note in found.notes)


def test_cells_with_other_settings_than_were_chosen_are_noted(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    tuned = {"methods": "cpca", "profile": str(mine / "tuned.toml"), "seeds": "0", "controls": False}
    cabench.run(**tuned, results="tuned")
    assert not cabench.verify_results("tuned", "tuning", "tuned.toml").notes
    cabench.run(**tuned, results="tuned", sets=["cpca.components=3"])
    found = cabench.verify_results("tuned", "tuning", "tuned.toml")
    assert found.passed
    assert dict(found.notes) == {"Cells of cpca on planted have other settings than tuning chose.": 1}


def own(mine: Path, path: str, **data: object) -> list[TuningRecord]:
    """The tuning record as one of a table of somebody's own, in place of that of planted images."""
    content = json.loads(record_of(mine).read_text(encoding="utf-8"))
    content |= {"dataset": "own", "data": {"name": "table", "config": {"path": path}} | data}
    place = mine / "tuning" / "own" / record_of(mine).name
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(content), encoding="utf-8")
    record_of(mine).unlink(missing_ok=True)
    return read_tuning_records(mine / "tuning")


def test_a_profile_of_an_own_data_set_is_compared_without_its_file(mine: Path) -> None:
    profile = mine / "tuned.toml"
    text = published_profile(own(mine, "own.h5"))
    profile.write_text(text, encoding="utf-8")
    found = cabench.verify_results(mine / "runs", mine / "tuning", profile)
    assert (found.passed, list(found.notes)) == (True, [])
    for old, new in (
        ('dataset = "table"', 'dataset = "file"'),
        ('path = "own.h5"', 'path = "/victim/own.h5"'),
        ('extends = "smoke"', 'extends = "elsewhere/smoke"'),
    ):
        assert old in text
        profile.write_text(text.replace(old, new), encoding="utf-8")
        (finding,) = cabench.verify_results(mine / "runs", mine / "tuning", profile).findings
        assert finding == "tuned.toml: it was changed: the tuning records give another profile."


@pytest.mark.parametrize("path", ["/gone/own.h5", "C:\\gone\\own.h5"])
def test_a_profile_whose_data_was_moved_is_noted(mine: Path, path: str) -> None:
    """Also where the records come from another system."""
    profile = mine / "tuned.toml"
    write_tuned_profile(own(mine, path), profile)
    (mine / "deep" / "er").mkdir(parents=True)
    moved = profile.rename(mine / "deep" / "er" / "tuned.toml")
    found = cabench.verify_results(mine / "runs", mine / "tuning", moved)
    assert found.passed
    assert [note for note in found.notes if "as data files were moved" in note] == list(found.notes)


def test_no_file_is_opened_that_a_tuning_record_names(mine: Path, tmp_path: Path, monkeypatch) -> None:
    """Not by a data set that is made of another one either, whatever its neighbour says."""
    monkeypatch.setattr(DatasetFile, "open_from_elsewhere", lambda path: pytest.fail(f"{path} was opened"))
    profile = mine / "tuned.toml"
    victim = {"path": "own.h5", "of": str(tmp_path / "victim.h5")}
    records = own(mine, "own.h5", name="features", config=victim)
    for name, config in (("features", {}), ("table", victim)):
        other = replace(records[0], method="cpca2", data={"name": name, "config": config})
        other.write(mine / "tuning")
        head = digest_line(read_tuning_records(mine / "tuning"))
        profile.write_text(head + "\n", encoding="utf-8")
        assert not cabench.verify_results(mine / "runs", mine / "tuning", profile).passed


def test_an_unknown_criterion_is_a_finding_and_no_crash(mine: Path) -> None:
    content = json.loads(record_of(mine).read_text(encoding="utf-8"))
    record_of(mine).write_text(json.dumps(content | {"criterion": "luck"}), encoding="utf-8")
    (mine / "tuned.toml").write_text(digest_line(read_tuning_records(mine / "tuning")) + "\n", encoding="utf-8")
    found = cabench.verify_results(mine / "runs", mine / "tuning", mine / "tuned.toml")
    assert any("Unknown criterion 'luck'" in finding for finding in found.findings)
