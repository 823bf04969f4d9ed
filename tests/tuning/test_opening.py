"""Opening the test split for trials that were really computed: what is found, what stays, and what cannot be opened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import cabench
from cabench import ContrastiveAnalysisMethod
from cabench.data.dataset import SPACES, ContrastiveDataset, as_float
from cabench.data.tuning_split import held_out_rows
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.evaluation.vectors import Vectors
from cabench.experiment.request import ResolvedProfile
from cabench.tuning import opening
from cabench.tuning.tuning_record import WORST, Outcome, TuningRecord, read_tuning_records

SMALL = ["planted.repeats=1", "mmcvae.epochs=1"]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trials of a linear method and one of a network, as `cabench tune` leaves them in two folders of records."""
    folder = tmp_path_factory.mktemp("tuned")
    for method, trials in (("cpca", 2), ("mmcvae", 1)):
        tune(method, trials, folder)
        shutil.copytree(folder / f"tuning-{method}", folder / "tuning", dirs_exist_ok=True)
    return folder


def tune(method: str, trials: int, folder: Path) -> None:
    places = {"results": folder / "trials", "records": folder / f"tuning-{method}", "output": folder / "tuned.toml"}
    sets = [change for change in SMALL if change.startswith((method, "planted"))]
    cabench.tune(method, "planted", trials, 1, "smoke", **places, sets=sets, device="cpu")


@pytest.fixture
def tuned(computed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(computed, tmp_path / "tuned")


def opened(folder: Path) -> opening.Opened:
    return cabench.open_trials(folder / "tuning", folder / "trials", device="cpu")


def first_outcomes(record: TuningRecord) -> list[Outcome]:
    return [trial.outcomes[0] for trial in record.trials]


def changed(folder: Path, change: Callable[[TuningRecord], TuningRecord]) -> TuningRecord:
    """Write the record of `cpca` anew."""
    (record,) = [record for record in read_tuning_records(folder / "tuning") if record.method == "cpca"]
    record = change(record)
    record.write(folder / "tuning")
    return record


def with_first_outcomes(record: TuningRecord, *outcomes: Outcome) -> TuningRecord:
    trials = [replace(trial, outcomes=(own,)) for trial, own in zip(record.trials, outcomes, strict=True)]
    return replace(record, trials=tuple(trials))


@pytest.mark.parametrize("method", ["cpca", "mmcvae"])
def test_the_gap_is_what_an_evaluation_gives_on_the_test_split(tuned: Path, method: str) -> None:
    opened(tuned)
    file = ResolvedProfile.read("smoke", SMALL[:1]).sample("planted").obtain(None)
    train, test, kept = file.read("train"), file.read("test"), [~held for held in held_out_rows(file)]
    (record,) = [record for record in read_tuning_records(tuned / "tuning") if record.method == method]
    for outcome in first_outcomes(record):
        fitted = cabench.load_method(tuned / "trials" / "planted-validation" / method / f"seed1000-{outcome.key[:8]}")
        measured = cabench.evaluate(
            vectors(fitted, train, kept),
            vectors(fitted, test, [np.ones(len(part), bool) for part in (test.background, test.target)]),
            file.info.attributes,
        )
        assert outcome.test_gap == measured.attrs["separation_gap"]


def vectors(fitted: ContrastiveAnalysisMethod, split: ContrastiveDataset, rows: list[np.ndarray]) -> Vectors:
    """Of some rows of either population."""
    parts = list(zip((split.background, split.target), rows, strict=True))
    encoded = [fitted.encode(as_float(part.images[torch.from_numpy(chosen)])) for part, chosen in parts]
    return Vectors(
        np.repeat([False, True], [int(chosen.sum()) for chosen in rows]),
        {
            name: np.concatenate([part.attributes[name][chosen] for part, chosen in parts])
            for name in parts[0][0].attributes
        },
        *(torch.cat([getattr(part, space) for part in encoded]).numpy() for space in SPACES),
    )


def test_nothing_but_the_test_gaps_of_first_seeds_changes(tuned: Path) -> None:
    before = read_tuning_records(tuned / "tuning")
    done = opened(tuned)
    after = read_tuning_records(tuned / "tuning")
    assert done.records == after
    assert (done.opened, done.closed) == (3, [])
    for old, new in zip(before, after, strict=True):
        assert all(0 < outcome.test_gap < 1 for outcome in first_outcomes(new))
        for one, other in zip(old.trials, new.trials, strict=True):
            first, *others = other.outcomes
            assert replace(other, outcomes=(replace(first, test_gap=None), *others)) == one
        assert replace(new, trials=old.trials) == old


def test_what_is_known_stays_and_needs_no_cells(tuned: Path) -> None:
    opened(tuned)
    before = [path.read_bytes() for path in sorted((tuned / "tuning").glob("*/*.json"))]
    shutil.rmtree(tuned / "trials")
    done = opened(tuned)
    assert (done.opened, done.closed) == (0, [])
    assert [path.read_bytes() for path in sorted((tuned / "tuning").glob("*/*.json"))] == before


def test_stopped_it_goes_on(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def stopping(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    real = opening.gap_of_vectors
    monkeypatch.setattr(opening, "gap_of_vectors", stopping)
    with pytest.raises(KeyboardInterrupt):
        opened(tuned)
    assert opened(tuned).opened == 2


def test_cells_and_models_that_are_gone_are_said_and_the_others_opened(tuned: Path, cabench_here) -> None:
    record = read_tuning_records(tuned / "tuning")[0]
    folder = tuned / "trials" / "planted-validation" / "cpca"
    keys = [outcome.key[:8] for outcome in first_outcomes(record)]
    shutil.rmtree(folder / f"seed1000-{keys[0]}")
    (folder / f"seed1000-{keys[1]}" / "model.safetensors").unlink()
    done = cabench_here(
        "open-trials", "--records", str(tuned / "tuning"), "--trials", str(tuned / "trials"), "--device", "cpu"
    )
    assert done.returncode == 1
    assert done.stdout == "1 trials opened, 2 cannot be.\n"
    lines = [line for line in done.stderr.splitlines() if line.startswith("not opened: ")]
    assert lines[0].startswith("not opened: planted / cpca, trial 0: its cell ")
    assert "keeps no fitted method" in lines[1]
    cpca, mmcvae = read_tuning_records(tuned / "tuning")
    assert [outcome.test_gap for outcome in first_outcomes(cpca)] == [None, None]
    assert all(outcome.test_gap for outcome in first_outcomes(mmcvae))


def test_methods_that_are_no_files_are_refused(tuned: Path) -> None:
    with pytest.raises(cabench.UserError, match=r"cpca is no file of a method\. Installed methods need not be named"):
        cabench.open_trials(tuned / "tuning", tuned / "trials", methods="cpca", device="cpu")


def test_failed_trials_stay_closed(tuned: Path) -> None:
    changed(
        tuned,
        lambda record: with_first_outcomes(
            record, replace(first_outcomes(record)[0], gap=None, error="it broke"), *first_outcomes(record)[1:]
        ),
    )
    done = opened(tuned)
    assert (done.opened, done.closed) == (2, [])
    assert first_outcomes(done.records[0])[0].test_gap is None


def test_equal_trials_share_a_cell(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = changed(tuned, lambda record: with_first_outcomes(record, *[first_outcomes(record)[0]] * 2))
    monkeypatch.setattr(opening, "read_tuning_records", lambda folder: [record])
    gaps = iter([0.25])
    monkeypatch.setattr(opening.Opening, "_test_gap", lambda *_: next(gaps))
    done = opened(tuned)
    assert [outcome.test_gap for outcome in first_outcomes(done.records[0])] == [0.25] * 2


def test_vectors_that_are_not_finite_on_the_test_split_count_as_the_worst(
    tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> EncodedSplit:
        parts = real(*arguments)
        return EncodedSplit(
            parts.background,
            EncodedPopulation(
                {space: np.full_like(vectors, np.nan) for space, vectors in parts.target.spaces.items()},
                parts.target.attributes,
                parts.target.groups,
            ),
        )

    real = opening.encode_split
    monkeypatch.setattr(opening, "encode_split", broken)
    done = opened(tuned)
    assert {outcome.test_gap for record in done.records for outcome in first_outcomes(record)} == {WORST}


def test_there_is_no_record_before_the_choice(tuned: Path) -> None:
    path = tuned / "tuning" / "planted" / "cpca.json"
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, "chosen": None}), "utf-8")
    with pytest.raises(cabench.UserError, match="is not a record of tuning"):
        opened(tuned)
    shutil.rmtree(tuned / "tuning")
    with pytest.raises(cabench.UserError, match=r"no tuning records below .*/tuning; name their folder"):
        opened(tuned)
