"""`cabench tune` judges real trials: what its records say is what the stored vectors give, and it chooses by it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from cabench import tune
from cabench.data.file import DatasetFile
from cabench.data.tuning_split import tuning_file
from cabench.datasets.planted import Planted
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.experiment.training_log import losses
from cabench.tuning.choice import choose
from cabench.tuning.judging import EVERY, Judge
from cabench.tuning.rules import RULES
from cabench.tuning.tuning_record import TuningRecord, read_tuning_records

pytestmark = pytest.mark.slow


class Tuned(NamedTuple):
    """A folder in which settings were tuned without labels, and what came of it."""

    folder: Path
    record: TuningRecord
    cells: dict[str, Record]

    @property
    def store(self) -> ResultsStore:
        return ResultsStore(self.folder / "trials")


def tuned(folder: Path, criterion: str) -> TuningRecord:
    places = {"results": folder / "trials", "records": folder / criterion, "output": folder / f"{criterion}.toml"}
    tune("mmcvae", "planted", trials=2, profile="smoke", criterion=criterion, device="cpu", **places)
    (record,) = read_tuning_records(folder / criterion)
    return record


@pytest.fixture(scope="module")
def without_labels(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    record = tuned(folder, "label-free")
    return Tuned(folder, record, {cell.key: cell for cell in ResultsStore(folder / "trials").records()})


@pytest.fixture(scope="module")
def part(cache: Path) -> DatasetFile:
    """The part of `planted` that settings are judged by."""
    return tuning_file(Planted().obtain(None))


def test_every_trial_is_judged_by_every_criterion(without_labels: Tuned) -> None:
    outcomes = [outcome for trial in without_labels.record.trials for outcome in trial.outcomes]
    assert [sorted(outcome.criteria) for outcome in outcomes] == [sorted(EVERY)] * 6


def test_criteria_are_those_of_the_stored_vectors(without_labels: Tuned, part: DatasetFile) -> None:
    """Read here with h5py alone, and measured by other code: one minus R² of least squares, nearly without penalty."""
    outcome = without_labels.record.trials[0].outcomes[0]
    cell = without_labels.cells[outcome.key]
    folder = cell.folder(without_labels.store.folder)
    with h5py.File(folder / "representations.h5") as stored:
        salient = stored["test/target/salient"][:].astype(np.float64)
    shares = np.linalg.svd(salient - salient.mean(0), compute_uv=False)
    shares = shares[shares > 0] / shares.sum()
    assert outcome.criteria["salient_rank"] == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))
    assert len(salient) == part.info.counts["test"]["target"]
    assert outcome.criteria["loss"] == losses(folder)[-1]
    aucs = {s.space: s.value for s in cell.scores if (s.attribute, s.metric) == ("is_target", "auc")}
    expected = max(0, 2 * aucs["salient"] - 1) - max(0, 2 * aucs["common"] - 1)
    assert outcome.criteria["told"] == pytest.approx(expected)
    assert all(0 <= outcome.criteria[name] <= 1 for name in ("labels:100", "apart", "stable"))


def test_the_choice_is_the_rules_and_the_record_and_the_profile_say_so(without_labels: Tuned) -> None:
    record = without_labels.record
    assert record.criterion == "label-free"
    assert record.chosen == choose(record.trials, RULES["label-free"]).number
    text = (without_labels.folder / "label-free.toml").read_text()
    assert "# Chosen by: label-free" in text
    assert tomllib.loads(text)["extends"] == "smoke"


@pytest.mark.parametrize("criterion", ["labels", "labels:100"])
def test_the_same_trials_serve_another_rule(without_labels: Tuned, criterion: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in without_labels.store.paths()}
    other = tuned(without_labels.folder, criterion)
    assert {path: path.stat().st_mtime_ns for path in without_labels.store.paths()} == before
    assert other.criterion == criterion
    assert other.chosen == choose(other.trials, RULES[criterion]).number
    assert other.trials == without_labels.record.trials  # two trials are finalists by any rule


def test_trials_without_vectors_are_judged_by_what_is_left(without_labels: Tuned, part: DatasetFile) -> None:
    cells = [without_labels.cells[outcome.key] for outcome in without_labels.record.trials[1].outcomes]
    vectors = [cell.folder(without_labels.store.folder) / "representations.h5" for cell in cells]
    hidden = [path.rename(path.with_suffix(".hidden")) for path in vectors]
    judge = Judge(without_labels.store)
    found = judge.criteria(part, cells, EVERY)
    for path in hidden:
        path.rename(path.with_suffix(".h5"))
    assert [sorted(criteria) for criteria in found] == [["loss", "told"]] * 3
    assert [set(judge.unread), "was not kept" in judge.unread[cells[0].key]] == [{cell.key for cell in cells}, True]


def test_what_is_not_asked_for_is_not_measured(without_labels: Tuned, part: DatasetFile) -> None:
    outcome, judge = without_labels.record.trials[0].outcomes[0], Judge(ResultsStore(Path("nowhere")))
    found = judge.criteria(part, [without_labels.cells[outcome.key]], ("told",))
    assert (found, judge.unread) == ([{"told": outcome.criteria["told"]}], {})
