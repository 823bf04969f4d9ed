"""Data sets of feature tables: how they are written and read, who refuses them, and one run from table to report."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from cabench.conformance import context
from cabench.data.dataset import DataForm, as_float, float_batches
from cabench.data.writing import DatasetWriter
from cabench.errors import UserError
from cabench.experiment.request import check_method
from cabench.method import ContrastiveAnalysisMethod
from cabench.methods.cpca import CPCA, CPCAConfig
from cabench.methods.mmcvae import MMcVAE, MMcVAEConfig
from cabench.pictures.generation import reconstruct, remove_salient, swap

FEATURES = 40


# Writing and reading


def test_rows_come_back_as_they_were_written(planted_table):
    info = planted_table.info
    assert info.is_table
    assert info.image_shape == (FEATURES,)
    train = planted_table.read("train")
    for population in train.background, train.target:
        assert population.images.shape == (100, FEATURES)
        assert population.images.dtype == torch.float32
    with h5py.File(planted_table.path) as file:
        assert set(file["train"]) == {"features", "is_target", "attributes"}
        together = torch.cat([train.background.images, train.target.images]).numpy()
        np.testing.assert_array_equal(file["train/features"][:], together)
    np.testing.assert_allclose(together.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(together.std(0), 1, atol=1e-5)


def test_the_hash_covers_features(planted_table, tmp_path):
    changed = tmp_path / "changed.h5"
    changed.write_bytes(planted_table.path.read_bytes())
    with h5py.File(changed, "r+") as file:
        file["test/features"][3, 4] += 1
    with pytest.raises(UserError, match="damaged"):
        type(planted_table).open(changed).verify()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.zeros((2, 3), np.float64), "stored as float32, but float64"),
        (np.zeros((2, 3), np.uint8), "stored as float32, but uint8"),
        (np.zeros((2, 1), np.float32), r"\(1,\) was given where \(3,\)"),
        (np.array([[0, 1, np.inf], [0, 0, 0]], np.float32), "finite"),
    ],
)
def test_other_rows_than_declared_are_refused(tmp_path, rows, said):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        writer = DatasetWriter(file)
        with pytest.raises(ValueError, match=said), writer.split("train", 2, (3,), ()) as out:
            out.append(rows, False, {})


@pytest.mark.parametrize("shape", [(), (4, 5), (1, 2, 3, 4)])
def test_a_shape_of_neither_image_nor_row_is_refused(tmp_path, shape):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        writer = DatasetWriter(file)
        with pytest.raises(ValueError, match="neither an image nor a row"), writer.split("train", 2, shape, ()):
            pass


def test_the_form_of_a_table_survives_as_a_tensor(planted_table):
    form = planted_table.info.form
    assert DataForm.from_tensor(form.to_tensor()) == form


def test_methods_get_rows_as_they_are_and_cannot_change_the_data():
    rows = torch.tensor([[-3.0, 7.5], [0.0, 1e6]])
    assert torch.equal(as_float(rows), rows)
    for batch in float_batches(rows, torch.device("cpu"), size=1):
        batch.zero_()
    assert rows.abs().sum() > 1e6


# Refusals


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("method", "said"),
    [
        (
            "double_infogan",
            "double_infogan takes images, but planted_table holds a table of 40 features; choose other methods",
        ),
        ("oracle", "oracle takes images, but planted_table holds a table"),
        (
            "sepclr",
            "sepclr.encoder = small_image_resnet18 takes images of at least 8 x 8, but planted_table holds a table "
            "of 40 features; set sepclr.encoder=mlp.",
        ),
        ("random_encoder", "set random_encoder.encoder=mlp"),
        ("mmcvae", "mmcvae.architecture = mmcvae_64 takes images of at least 8 x 8, but planted_table holds a table"),
        ("beta_vae", "set beta_vae.architecture=mlp"),
    ],
)
def test_what_takes_images_alone_is_refused_with_one_sentence(
    cabench_here, planted_table_by_name, tmp_path, command, method, said
):
    small = [f"--set={method}.batch_size=16"] if method not in ("oracle", "random_encoder") else []
    arguments = [command, "--methods", method, "--datasets", planted_table_by_name, *small]
    if command == "plan":
        cabench_here("data", "build", planted_table_by_name)
    done = cabench_here(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2, done.stderr  # one may tell of the data set being built
    assert not (tmp_path / "results").exists()


def test_a_method_that_never_thought_of_tables_is_refused(planted_table):
    class OfImages(ContrastiveAnalysisMethod):
        name, version, Config = "of_images", 1, CPCAConfig
        fit = encode = state_dict = load_state_dict = None

    with pytest.raises(UserError, match=r"of_images takes images, .* choose other methods, or 'all' for every one"):
        check_method(OfImages(), planted_table.info)


def test_all_leaves_out_what_takes_images_alone(cabench_here, planted_table_by_name):
    cabench_here("data", "build", planted_table_by_name)
    planned = cabench_here("plan", "--methods", "all", "--datasets", planted_table_by_name, "--no-controls").stdout
    states = {line.split()[1]: line for line in planned.splitlines()[2:]}
    assert "missing" in states["cpca"]
    assert (
        "left out (double_infogan takes images, but planted_table holds a table of 40 features)"
        in states["double_infogan"]
    )
    assert "left out" in states["sepclr"]


@pytest.mark.parametrize("setting", ["sepclr.encoder=mlp", "mmcvae.architecture=mlp"])
def test_fully_connected_networks_are_refused_for_images(cabench_here, setting):
    method = setting.split(".")[0]
    done = cabench_here("run", "--methods", method, "--profile", "smoke", "--set", setting)
    assert done.returncode == 2
    assert "= mlp takes rows of a table" in done.stderr
    assert "the images of planted are 32 x 32; choose another" in done.stderr


def test_more_components_than_features_are_as_many_as_features(planted_table):
    method = CPCA(CPCAConfig(components=41))
    check_method(method, planted_table.info)
    data = planted_table.read("train")
    method.fit(data, context())
    assert [part.shape[1] for part in method.encode(data.target.images)] == [40, 40]


# Runs


def scores(folder: Path) -> dict[tuple[str, str], float]:
    """Linear probes' scores on targets, by space and attribute, of a cell's record."""
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    assert record["status"] == "ok"
    return {
        (score["space"], score["attribute"]): score["value"]
        for score in record["scores"]
        if score["population"] == "target" and score["metric"] in ("balanced_accuracy", "r2")
    }


def test_a_run_finds_what_is_planted_and_leaves_maps_but_no_pictures(cabench_here, planted_table_by_name, tmp_path):
    done = cabench_here(
        *("run", "--methods", "cpca,sepclr", "--datasets", planted_table_by_name, "--profile", "smoke"),
        *("--set", "sepclr.encoder=mlp"),
    )
    assert done.returncode == 0, done.stderr
    cells = {path.parent.name: path for path in (tmp_path / "results/runs/planted_table").glob("*/seed0-*")}
    assert set(cells) == {"cpca", "sepclr", "pca", "chance"}
    found = scores(cells["cpca"])
    assert found["salient", "salient_class"] > 0.95
    assert found["common", "salient_class"] < 0.65
    assert found["common", "common_level"] > 0.9
    assert found["salient", "common_level"] < 0.2
    for folder in cells.values():
        assert (folder / "maps.json").exists()
        assert not (folder / "pictures.png").exists()
    page = cabench_here("report", "--format", "html", "--output", "page.html")
    assert page.returncode == 0, page.stderr
    assert "data:image" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_finished_cells_are_evaluated_again_without_pictures(cabench_here, planted_table_by_name, tmp_path):
    cabench_here("run", "--methods", "cpca", "--datasets", planted_table_by_name, "--profile", "smoke", "--no-controls")
    (place,) = tmp_path.glob("results/runs/planted_table/cpca/*/record.json")
    record = json.loads(place.read_text(encoding="utf-8"))
    expected = record["scores"]
    record["evaluation"]["version"] = 0
    place.write_text(json.dumps(record | {"scores": []}), encoding="utf-8")
    done = cabench_here("evaluate")
    assert done.returncode == 0, done.stderr
    (renewed,) = tmp_path.glob("results/runs/planted_table/cpca/*/record.json")
    assert json.loads(renewed.read_text(encoding="utf-8"))["scores"] == expected
    assert not (renewed.parent / "pictures.png").exists()


def test_rows_are_reconstructed_and_swapped(planted_table):
    train = planted_table.read("train")
    light = {"common_mmd_weight": 10.0, "salient_mmd_weight": 10.0}
    method = MMcVAE(MMcVAEConfig(architecture="mlp", epochs=30, batch_size=32, learning_rate=3e-3, **light))
    method.fit(train, context())
    rows = train.target.images[:50]
    error = (reconstruct(method, rows) - rows).square().mean()
    assert error < 0.5 * rows.square().mean(), "what lies outside of [0, 1] is decoded too"
    others = train.target.images[50:]
    assert torch.equal(swap(method, rows, rows), reconstruct(method, rows))
    assert not torch.equal(swap(method, rows, others), reconstruct(method, rows))
    assert remove_salient(method, rows).shape == rows.shape
