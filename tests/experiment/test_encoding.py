"""What a run leaves behind is usable: fitted methods on new images, and vectors joined to the names of their rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import cabench
from cabench.data.dataset import as_float
from cabench.errors import UserError
from cabench.experiment.encoding import encode_file, stored_vectors, table_of
from cabench.experiment.fitted_rows import FittedRows
from cabench.experiment.store import ResultsStore
from cabench.saving import load_method, saved_shape

PATIENTS = 12


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of patients, two each, in a folder for either population, with a table of what is known of them."""
    folder = tmp_path_factory.mktemp("pictures")
    lines = ["file,patient"]
    for population, seed in (("healthy", 0), ("ill", 1)):
        (folder / population).mkdir()
        drawn = np.random.default_rng(seed).integers(0, 256, (2 * PATIENTS, 20, 16), np.uint8)
        for row, pixels in enumerate(drawn):
            Image.fromarray(pixels).save(folder / population / f"{population}{row:02}.png")
            lines.append(f"{population}{row:02}.png,{population}-patient-{row // 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def data(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cabench.data.importing.images.fitting import Size
    from cabench.data.importing.images.folders import LabelFile, import_folders
    from cabench.data.importing.images.reading import ImageForm
    from cabench.data.importing.labels import parse_columns
    from cabench.data.importing.splitting import Drawn

    path = tmp_path_factory.mktemp("data") / "patients.h5"
    columns = parse_columns(group="patient")
    labels = LabelFile(pictures / "labels.csv")
    import_folders(pictures / "healthy", pictures / "ill", path, ImageForm(Size(16, 16)), labels, columns, Drawn(0.3))
    return path


@pytest.fixture(scope="module")
def cell(data: Path, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The folder of a finished cell on those pictures."""
    results = tmp_path_factory.mktemp("results")
    (record,) = cabench.run("pca", [data], 1, "smoke", results, controls=False).records
    assert record.status == "ok", record.error
    return record.folder(results)


def test_a_cell_keeps_its_fitted_method(cell: Path, data: Path) -> None:
    loaded, train = load_method(cell), cabench.load_dataset(data, "smoke").train
    kept = stored_vectors(cell / "representations.h5")
    rows = (kept.rows["split"] == "train") & (kept.rows["population"] == "target")
    torch.testing.assert_close(
        loaded.encode(as_float(train.target.images)).salient, torch.from_numpy(kept.spaces["salient"][rows])
    )
    assert saved_shape(cell) == tuple(train.info.image_shape)


def test_stored_vectors_carry_the_names_and_groups_of_their_rows(cell: Path) -> None:
    table = table_of(stored_vectors(cell / "representations.h5"))
    assert len(table) == 4 * PATIENTS
    assert set(table["name"]) == {f"{p}{row:02}.png" for p in ("healthy", "ill") for row in range(2 * PATIENTS)}
    for _, line in table.iterrows():
        number = int(line["name"][-6:-4]) // 2
        assert line["group"].endswith(f"-patient-{number}")
        assert line["population"] == ("background" if line["name"].startswith("healthy") else "target")
    assert table.groupby("group")["split"].nunique().max() == 1


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_the_command_encodes_a_folder_as_the_data_were_made(cell, data, pictures, tmp_path, cabench_here, suffix):
    output = tmp_path / f"vectors.{suffix}"
    done = cabench_here("encode", str(cell), "--images", str(pictures / "ill"), "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert f"{2 * PATIENTS} rows" in done.stdout
    kept = table_of(stored_vectors(cell / "representations.h5")).set_index("name")
    if suffix == "csv":
        found = pd.read_csv(output).set_index("name")
        np.testing.assert_allclose(found["salient_0"], kept.loc[found.index, "salient_0"], rtol=1e-4, atol=1e-5)
    else:
        with np.load(output, allow_pickle=False) as arrays:
            assert set(arrays.files) == {"name", "common", "salient"}
            first = kept.loc[arrays["name"], "common_0"]
            np.testing.assert_allclose(arrays["common"][:, 0], first, rtol=1e-4, atol=1e-5)


def test_images_that_are_not_square_are_made_to_fit_alike(pictures: Path, tmp_path: Path, cache: Path) -> None:
    """Without a size, and by padding: the vectors of a folder are those that the cell keeps."""
    from cabench.data.importing.images.fitting import Size
    from cabench.data.importing.images.folders import import_folders
    from cabench.data.importing.images.reading import ImageForm
    from cabench.data.importing.labels import Columns
    from cabench.data.importing.splitting import Drawn
    from cabench.experiment.encoding import encode_folder

    both = pictures / "healthy", pictures / "ill"
    for form in (ImageForm(), ImageForm(Size(12, 24), "pad")):
        path = tmp_path / f"{form.fit}.h5"
        import_folders(*both, path, form, None, Columns(), Drawn(0.3))
        (record,) = cabench.run("pca", [path], 1, "smoke", tmp_path / "results", controls=False).records
        assert record.status == "ok", record.error
        folder = record.folder(tmp_path / "results")
        method, shape = load_method(folder), saved_shape(folder)
        encoded = table_of(encode_folder(method, shape, both[1], form.fit, None, torch.device("cpu")))
        kept = table_of(stored_vectors(folder / "representations.h5"))
        kept = kept[kept["population"] == "target"].set_index("name").loc[encoded["name"]]
        np.testing.assert_allclose(encoded["salient_0"], kept["salient_0"], rtol=1e-4, atol=1e-5)


def test_encoding_the_cells_own_data_gives_its_stored_vectors(cell: Path, data: Path) -> None:
    from cabench.data.file import DatasetFile

    given = load_method(cell), saved_shape(cell), DatasetFile.open(data), torch.device("cpu"), FittedRows.saved(cell)
    again = encode_file(*given)
    pd.testing.assert_frame_equal(table_of(again), table_of(stored_vectors(cell / "representations.h5")))


def test_the_command_writes_the_vectors_that_a_cell_keeps(cell: Path, tmp_path: Path, cabench_here) -> None:
    done = cabench_here("encode", str(cell), "--output", str(tmp_path / "kept.csv"))
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "kept.csv")
    assert list(table.columns[:4]) == ["name", "group", "split", "population"]
    assert len(table) == 4 * PATIENTS


def test_names_that_a_spreadsheet_would_compute_are_made_inert(cell, tmp_path, cabench_here) -> None:
    (tmp_path / "new").mkdir()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "new" / "=1+1.png")
    cabench_here("encode", str(cell), "--images", str(tmp_path / "new"), "--output", str(tmp_path / "new.csv"))
    assert pd.read_csv(tmp_path / "new.csv")["name"].tolist() == ["'=1+1.png"]


def test_without_models_nothing_is_kept_and_that_is_said(data: Path, tmp_path: Path) -> None:
    (record,) = cabench.run("pca", [data], 1, "smoke", tmp_path, controls=False, models=False).records
    assert not (record.folder(tmp_path) / "model.safetensors").exists()
    with pytest.raises(UserError, match=r"keeps no fitted method: .*--no-models"):
        load_method(record.folder(tmp_path))


def test_a_method_that_cannot_be_saved_loses_nothing_else(data, tmp_path, monkeypatch, capsys) -> None:
    from cabench.methods.pca import PCA

    monkeypatch.setattr(PCA, "state_dict", lambda self: 1 / 0)
    monkeypatch.setattr(PCA, "parameter_count", lambda self: 0)
    (record,) = cabench.run("pca", [data], 1, "smoke", tmp_path, controls=False).records
    assert record.status == "ok"
    assert "model.safetensors could not be made (ZeroDivisionError: division by zero)" in capsys.readouterr().err
    assert ResultsStore(tmp_path).records() == [record]


def test_what_is_cut_off_or_not_read_is_said(cell: Path, tmp_path: Path, cabench_here) -> None:
    """The cell is of 16 x 16: of 40 x 16 the crop keeps two fifths."""
    (tmp_path / "new").mkdir()
    pixels = np.random.default_rng(5).integers(0, 256, (3, 16, 40), np.uint8)
    for row, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "new" / f"{row}.png")
    (tmp_path / "new" / "list.txt").write_text("")
    told = (str(cell), "--images", "new", "--output")
    done = cabench_here("encode", *told, "x.csv")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "Note: Not read in new: 1 .txt file.",
        "Note: More than a tenth of the area, up to 60%, is cut off 3 of 3 images, and findings at the edge with it: "
        "choose --fit as for the images that the method was fitted on.",
    ]
    assert "cut off" not in cabench_here("encode", *told, "y.csv", "--fit", "squash").stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{cell}", "--output", "x.txt"), "must end in .csv or .npz"),
        (("{cell}", "--images", "nowhere", "--output", "x.csv"), "nowhere is not a folder"),
        (("{cell}", "--images", "nowhere.h5", "--output", "x.csv"), "no data set file nowhere.h5"),
        (("{cell}", "--range", "0", "9", "--output", "x.csv"), "are for new images; name them with --images"),
        (
            ("{cell}", "--images", "{data}", "--range", "0", "9", "--output", "x.csv"),
            "--range and --fit are for folders",
        ),
        (("nowhere", "--output", "x.csv"), "nowhere is no folder of a cell"),
        ((".", "--output", "x.csv"), "is not the folder of a finished cell"),
        ((".", "--images", "{pictures}", "--output", "x.csv"), "keeps no fitted method"),
        (("{cell}", "--images", "{pictures}", "--output", "none/x.csv", "--device", "gpu"), "Unknown device 'gpu'"),
    ],
)
def test_what_cannot_be_encoded_is_said_in_a_sentence(cell, pictures, data, cabench_here, arguments, words) -> None:
    places = {"cell": cell, "pictures": pictures / "ill", "data": data}
    said = cabench_here("encode", *(text.format(**places) for text in arguments))
    assert said.returncode == 2
    assert words in said.stderr
    assert said.stderr.count("\n") == 1


def test_data_of_another_size_are_refused(cell: Path, tmp_path: Path, cabench_here) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), np.uint8)
    cabench.write_arrays(tmp_path / "small.h5", cabench.Examples(images[:6]), cabench.Examples(images[6:]))
    said = cabench_here("encode", str(cell), "--images", str(tmp_path / "small.h5"), "--output", "x.csv")
    assert said.returncode == 2
    assert "holds examples of shape (1, 8, 8), but pca was fitted on (1, 16, 16)" in said.stderr
