"""The runner between cells: what it does when it is asked to stop, and when a cell cannot be saved."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from cabench.context import StopFlag
from cabench.errors import StopRequested, UserError
from cabench.methods.chance import Chance
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


def test_every_method_leaves_maps_and_pictures(tmp_path):
    cells = experiment().cells
    runner(tmp_path, StopFlag()).run(cells, force=False)
    for cell, file in cells:
        folder = cell.folder(tmp_path)
        mapped = json.loads((folder / "maps.json").read_text(encoding="utf-8"))
        assert set(mapped["spaces"]) == {"common", "salient"}
        assert [attribute["name"] for attribute in mapped["attributes"]] == [a.name for a in file.info.attributes]
        with Image.open(folder / "pictures.png") as picture:
            assert picture.height == 5 * 66, "a row of targets, and two of neighbours in either space"


def test_a_representation_that_is_not_finite_fails_its_cell_for_that_reason_and_the_others_go_on(tmp_path, monkeypatch):
    encode = PCA.encode

    def encode_with_a_hole(self, images):
        representation = encode(self, images)
        representation.salient[0, 0] = torch.nan  # PCA's spaces are one
        return representation

    monkeypatch.setattr(PCA, "encode", encode_with_a_hole)
    pca, chance = runner(tmp_path, StopFlag()).run(experiment().cells, force=False)
    assert (pca.status, chance.status) == ("failed", "ok")
    assert "representation holds values that are not finite" in pca.error["message"]
    assert ResultsStore(tmp_path).records() == [chance, pca]


def test_a_finished_cell_is_given_back_under_the_profile_that_asks(tmp_path, monkeypatch):
    cells = experiment().cells[1:]
    (first,) = runner(tmp_path, StopFlag()).run(cells, force=False)
    monkeypatch.setattr(Chance, "fit", lambda *_: pytest.fail("a finished cell was computed"))
    others = [(dataclasses.replace(cell, profile="mine"), file) for cell, file in cells]
    (again,) = runner(tmp_path, StopFlag()).run(others, force=False)
    assert again == dataclasses.replace(first, profile="mine")
