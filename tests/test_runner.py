"""The runner between cells: what it does when it is asked to stop, and when a cell cannot be saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cabench.context import StopFlag
from cabench.errors import StopRequested, UserError
from cabench.methods.pca import PCA
from cabench.plan import Experiment, Request, resolve
from cabench.progress import make_reporter
from cabench.runner import Runner
from cabench.store import ResultsStore


def experiment() -> Experiment:
    return resolve(
        Request("pca,chance", "planted", "0", "smoke", [], "cpu", "fp32", None, False), say=lambda text: None
    )


def runner(folder: Path, stop: StopFlag) -> Runner:
    return Runner(ResultsStore(folder), torch.device("cpu"), make_reporter(), stop=stop)


def test_a_signal_during_a_closed_form_fit_ends_the_run_after_it(tmp_path, monkeypatch):
    stop = StopFlag()
    fit = PCA.fit

    def fit_and_be_stopped(self, data, context):
        fit(self, data, context)
        stop.requested = True

    monkeypatch.setattr(PCA, "fit", fit_and_be_stopped)
    with pytest.raises(StopRequested):
        runner(tmp_path, stop).run(experiment().cells, force=False)
    assert ResultsStore(tmp_path).records() == []


def test_a_run_that_was_asked_to_stop_starts_no_further_cell(tmp_path):
    stop = StopFlag()
    stop.requested = True
    with pytest.raises(StopRequested):
        runner(tmp_path, stop).run(experiment().cells, force=False)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_no_longer_be_written_is_one_error_and_keeps_what_is_done(tmp_path):
    cells = experiment().cells
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "chance").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(UserError, match="planted / chance / seed 0 could not be saved"):
        runner(tmp_path, StopFlag()).run(cells, force=False)
    assert [record.method["label"] for record in ResultsStore(tmp_path).records()] == ["pca"]
