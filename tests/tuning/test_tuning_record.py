"""Records of tuning: written and read again, what they say of trials, and what is no record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cabench.errors import UserError
from cabench.tuning.tuning_record import WORST, Outcome, TrialEntry, TuningRecord, read_tuning_records


def outcome(seed: int, gap: float | None) -> Outcome:
    return Outcome(
        seed=seed,
        key=f"{seed:064x}",
        error="" if gap is not None else "no",
        gap=gap,
        criteria={"told": 0.25},
        train_s=1.5,
        images_seen=100.0,
        is_flat=True,
    )


@pytest.fixture
def record() -> TuningRecord:
    """Of three trials: the profile's own, one that failed, and one that was looked at again and chosen."""
    trials = (
        TrialEntry(number=0, settings={"weight": 1.0}, refused="", outcomes=(outcome(1000, 0.5),)),
        TrialEntry(number=1, settings={"weight": 0.1}, refused="", outcomes=(outcome(1000, None),)),
        TrialEntry(
            number=2,
            settings={"weight": 30.5},
            refused="",
            outcomes=tuple(outcome(seed, gap) for seed, gap in ((1000, 0.2), (1001, 0.3), (1002, None))),
        ),
    )
    return TuningRecord(
        dataset="planted",
        data={"name": "planted", "config": {"repeats": 2}},
        content_sha256="ab" * 32,
        profile="quick",
        method="pca",
        name="pca",
        version=1,
        supervised=False,
        one_space=False,
        precision="fp32",
        budget=3,
        space={"weight": "Log(low=0.1, high=100)"},
        fixed={"weight": 1.0, "size": 4},
        criterion="labels",
        chosen=2,
        trials=trials,
    )


def test_what_is_written_is_read_again(record: TuningRecord, tmp_path: Path) -> None:
    others = [replace(record, method="uca"), replace(record, dataset="dsprites"), record]
    for each in others:
        each.write(tmp_path)
    assert read_tuning_records(tmp_path) == [others[1], others[2], others[0]], "in the order of their paths"
    assert record.path(tmp_path) == tmp_path / "planted" / "pca.json"
    assert read_tuning_records(tmp_path / "absent") == []


@pytest.mark.parametrize("place", ["file", "folder"])
def test_links_are_neither_read_nor_written_through(record: TuningRecord, tmp_path: Path, place: str) -> None:
    record.write(tmp_path / "theirs")
    path, theirs = record.path(tmp_path / "mine"), record.path(tmp_path / "theirs")
    if place == "file":
        path.parent.mkdir(parents=True)
        path.symlink_to(theirs)
    else:
        path.parent.parent.mkdir()
        path.parent.symlink_to(theirs.parent)
    before = theirs.read_bytes()
    with pytest.raises(UserError, match="is a link"):
        read_tuning_records(tmp_path / "mine")
    with pytest.raises(UserError, match="is a link"):
        replace(record, budget=4).write(tmp_path / "mine")
    assert theirs.read_bytes() == before


def test_equal_records_are_equal_files(record: TuningRecord, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        record.write(tmp_path / folder)
    one, other = (record.path(tmp_path / folder).read_bytes() for folder in ("one", "other"))
    assert one == other
    assert one.endswith(b"}\n")


def test_the_settings_are_those_of_the_choice_over_what_is_fixed(record: TuningRecord) -> None:
    assert record.choice.number == 2
    assert record.settings == {"weight": 30.5, "size": 4}


def test_a_trial_counts_by_its_first_seed_and_by_the_mean_of_all(record: TuningRecord) -> None:
    assert [trial.gap for trial in record.trials] == [0.5, WORST, 0.2]
    assert [trial.mean_gap for trial in record.trials] == pytest.approx([0.5, WORST, (0.2 + 0.3 + WORST) / 3])


def test_a_trial_that_was_refused_counts_as_the_worst() -> None:
    trial = TrialEntry(number=1, settings={}, refused="no", outcomes=())
    assert (trial.gap, trial.mean_gap) == (WORST, WORST)


def test_what_was_decided_leaves_out_clocks_and_what_came_later(record: TuningRecord) -> None:
    changed = [
        replace(trial, outcomes=tuple(replace(each, train_s=7.0, test_gap=0.4) for each in trial.outcomes))
        for trial in record.trials
    ]
    assert replace(record, trials=tuple(changed)).decided() == record.decided()
    other = replace(record.trials[0], outcomes=(outcome(1000, 0.51),))
    assert replace(record, trials=(other, *record.trials[1:])).decided() != record.decided()
    assert replace(record, chosen=0).decided() != record.decided()


def test_test_gaps_stay_with_the_cells_that_they_are_of(record: TuningRecord) -> None:
    first, failed, third = record.trials
    opened = replace(
        record, trials=(replace(first, outcomes=(replace(first.outcomes[0], test_gap=0.4),)), failed, third)
    )
    larger = replace(record, budget=4, criterion="label-free", trials=(*record.trials, replace(third, number=3)))
    kept = larger.with_test_gaps_of([opened, replace(record, method="uca")])
    assert [trial.outcomes[0].test_gap for trial in kept.trials] == [0.4, None, None, None]
    assert kept.decided() == larger.decided()
    anew = replace(record, trials=(replace(first, outcomes=(outcome(1000, 0.51),)), failed, third))
    assert anew.with_test_gaps_of([opened]) == anew, "a cell that was computed anew came to something else"


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"chosen": 3},
        {"chosen": -1},
        {"trials": []},
        {"method": "uca"},
        {"method": "../pca"},
        {"dataset": "dsprites"},
        {"budget": "three"},
        {"more": 1},
        {"trials": [{"number": 1, "settings": {}, "refused": "", "outcomes": []}]},
    ],
)
def test_what_is_no_record_of_tuning_is_named(record: TuningRecord, tmp_path: Path, change: dict) -> None:
    record.write(tmp_path)
    path = record.path(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=r"pca\.json is not a record of tuning .*; `cabench tune` writes it anew"):
        read_tuning_records(tmp_path)


@pytest.mark.parametrize("change", [{"gap": -3.0}, {"gap": 1.5}, {"test_gap": -0.1}, {"train_s": -1.0}])
def test_an_outcome_that_cannot_be_is_refused(record: TuningRecord, tmp_path: Path, change: dict) -> None:
    record.write(tmp_path)
    path = record.path(tmp_path)
    content = json.loads(path.read_text())
    content["trials"][0]["outcomes"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"pca\.json is not a record of tuning \(.*{next(iter(change))}"):
        read_tuning_records(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "nothing", '{"dataset": "planted"}', "\x00"])
def test_text_that_is_none_is_named_too(tmp_path: Path, text: str) -> None:
    path = tmp_path / "planted" / "pca.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError, match="is not a record of tuning"):
        read_tuning_records(tmp_path)
