"""The trap: a data set whose test split cannot be read is tuned on, and what is chosen does not depend on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cabench
from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import Examples, write_arrays
from cabench.data.sample import SampledFile
from cabench.experiment.record import Record
from cabench.tuning.tuning_record import read_tuning_records

READERS = ("read", "read_attributes", "read_rows")


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes it an error to read the test split of a whole data set, in any way; what was tried to is noted."""
    sprung: list[str] = []

    def guarded(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(self: DatasetFile, split: str) -> Any:
            if split != "train":
                sprung.append(f"{read.__qualname__}({split!r})")
                raise AssertionError(f"the {split} split was read")
            return read(self, split)

        return reading

    for kind in (DatasetFile, SampledFile):
        for name in READERS:
            monkeypatch.setattr(kind, name, guarded(getattr(kind, name)))
    return sprung


@pytest.mark.slow
@pytest.mark.parametrize(
    ("methods", "trials", "repeats"),
    [("ratio_pca,beta_vae", 2, 1), ("ratio_pca", 1, 5)],  # the last has more rows than the profile's sample
)
def test_settings_are_chosen_without_the_test_split(
    cabench_here, tmp_path: Path, trap: list[str], methods: str, trials: int, repeats: int
) -> None:
    options = ("--datasets", "planted", "--profile", "smoke", "--trials", str(trials))
    done = cabench_here("tune", "--methods", methods, *options, "--set", f"planted.repeats={repeats}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert trap == []
    records = read_tuning_records(tmp_path / "results" / "tuning")
    assert sorted(record.method for record in records) == sorted(methods.split(","))
    outcomes = [outcome for record in records for trial in record.trials for outcome in trial.outcomes]
    assert len(outcomes) == {1: 1, 2: 6}[trials] * len(records)
    assert all(outcome.gap is not None and outcome.test_gap is None for outcome in outcomes)
    cells = [Record.load(path) for path in tmp_path.glob("results/trials/*/*/*/record.json")]
    assert all(cell.unmade == {} for cell in cells), "something failed in silence"


def test_plan_does_not_read_it_either(cabench_here, trap: list[str]) -> None:
    options = ("--methods", "ratio_pca", "--datasets", "planted", "--profile", "smoke", "--trials", "3")
    assert cabench_here("plan", *options).returncode == 0
    assert trap == []


def test_a_run_springs_the_trap(cabench_here, trap: list[str]) -> None:
    """It is none that nothing can spring."""
    options = ("--methods", "ratio_pca", "--datasets", "planted", "--profile", "smoke", "--no-controls")
    done = cabench_here("run", *options, "--set", "planted.repeats=1")
    assert done.returncode == 1
    assert "the test split was read" in done.stderr
    assert trap


def written(path: Path, seed: int) -> Path:
    """Own data whose training rows are always the same, and whose test rows follow from the seed."""
    parts = []
    for is_target in (False, True):
        generator = np.random.default_rng(is_target)
        tested = np.arange(150) % 3 == 0
        rows = generator.normal(size=(150, 6)).astype(np.float32)
        mark = generator.integers(0, 2, 150)
        rows[:, 0] += 3 * (2 * mark - 1) * is_target
        other = np.random.default_rng([seed, is_target])
        rows[tested] = other.normal(size=(50, 6))
        mark[tested] = other.integers(0, 2, 50)
        parts.append(Examples(rows, {"mark": mark} if is_target else {}, None, tested))
    kinds = (Attribute("mark", "salient", "class", ("no", "yes")),)
    return write_arrays(path, *parts, kinds).path


def test_gaps_and_choice_do_not_depend_on_what_the_test_split_holds(tmp_path: Path) -> None:
    """Of a method that leaves nothing to chance: seeds of trials follow from the content of the whole."""
    found = []
    for seed in (0, 1):
        path = written(tmp_path / f"data{seed}" / "own.h5", seed)
        folders = (tmp_path / f"trials{seed}", tmp_path / f"tuning{seed}", tmp_path / f"{seed}.toml")
        (record,) = cabench.tune("ratio_pca", [path], 5, 1, "smoke", *folders, device="cpu").records
        found.append(record)
    one, other = found
    assert one.content_sha256 != other.content_sha256
    assert one.chosen == other.chosen
    gaps = [[outcome.gap for trial in record.trials for outcome in trial.outcomes] for record in found]
    assert gaps[0] == gaps[1]
    assert len(set(gaps[0])) > 1
