"""Images and labels of .npz files in MedMNIST's layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cabench.data.file import DatasetFile
from cabench.data.importing.images.fitting import Size, fit_image
from cabench.data.importing.images.medmnist import read_splits
from cabench.data.importing.images.npz import UNKNOWN_PATIENTS, import_npz
from cabench.data.importing.images.reading import ImageForm
from cabench.data.importing.labels import parse_columns
from cabench.data.importing.populations import Choice
from cabench.data.importing.splitting import Drawn

SIZES = {"train": 40, "val": 12, "test": 20}
X_RAYS = Path(os.environ.get("CABENCH_DATA", "absent")) / "medmnist" / "pneumoniamnist.npz"
Arrays = dict[str, np.ndarray]


def medmnist(channels: int | None = None, size: int = 28) -> Arrays:
    """Arrays of 72 images and labels 0 to 3; ages of some."""
    arrays: Arrays = {}
    for number, (part, count) in enumerate(SIZES.items()):
        generator = np.random.default_rng(number)
        shape = (count, size, size) if channels is None else (count, size, size, channels)
        arrays[f"{part}_images"] = generator.integers(0, 256, shape, np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count, dtype=np.uint8) % 4)[:, None]
        arrays[f"{part}_age"] = np.where(np.arange(count) % 5, 20.5 + np.arange(count), np.nan).astype(np.float32)
    return arrays


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., DatasetFile]:
    def make(
        arrays: Arrays,
        choice: Choice | None = None,
        form: ImageForm | None = None,
        drawn: Drawn | None = None,
        **given: str,
    ) -> DatasetFile:
        np.savez_compressed(tmp_path / "own.npz", **arrays)
        chosen = choice or Choice("label", ("0",), ("1", "2"))
        own = tmp_path / "own.npz", chosen, tmp_path / "own.h5"
        return import_npz(*own, form or ImageForm(), parse_columns(**given), drawn or Drawn())

    return make


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_images_and_labels_are_those_of_the_arrays(imported, channels: int | None) -> None:
    arrays = medmnist(channels)
    file = imported(arrays, salient="label", common="age:real")
    file.verify()
    label, age = sorted(file.info.attributes, key=lambda attribute: attribute.name, reverse=True)
    assert (label.classes, age.kind) == (("1", "2"), "real")
    assert file.info.image_shape == (channels or 1, 28, 28)
    for stored, part in {"train": "train", "validation": "val", "test": "test"}.items():
        data, rows = file.read(stored), file.read_rows(stored)
        labels = arrays[f"{part}_labels"][:, 0]
        for population, named, wanted in zip((data.background, data.target), rows, ([0], [1, 2]), strict=True):
            there = np.flatnonzero(np.isin(labels, wanted))
            assert named.names.tolist() == [f"{part} {row}" for row in there]
            given = arrays[f"{part}_images"][there].reshape(len(there), 28, 28, -1)
            np.testing.assert_array_equal(population.images.numpy(), np.moveaxis(given, -1, 1))
            np.testing.assert_array_equal(population.attributes["age"], arrays[f"{part}_age"][there].astype(np.float64))
            codes = labels[there] - 1 if wanted != [0] else np.full(len(there), -1)
            assert population.attributes["label"].tolist() == codes.tolist()
    counts = sum(int((labels == 3).sum()) for name, labels in arrays.items() if name.endswith("labels"))
    assert file.info.notes == (f"{counts} rows are left out, as 'label' is '3'.", UNKNOWN_PATIENTS)


def test_several_labels_an_image_are_columns_of_their_own(imported) -> None:
    arrays = {name: array for name, array in medmnist().items() if "labels" not in name}
    for part, count in SIZES.items():
        found = np.stack([np.arange(count) % 2, np.arange(count) // 2 % 2, np.arange(count) % 3], 1).astype(np.uint8)
        arrays[f"{part}_labels"] = np.asfortranarray(found)
    file = imported(arrays, Choice("label_1", ("0",), ("1",)), common="label_0", salient="label_2")
    target = file.read("test").target.attributes
    rows = np.flatnonzero(arrays["test_labels"][:, 1])
    assert target["label_0"].tolist() == arrays["test_labels"][rows, 0].tolist()
    assert target["label_2"].tolist() == arrays["test_labels"][rows, 2].tolist()


def test_a_file_without_splits_is_split_here(imported) -> None:
    known = medmnist()
    arrays = {
        "images": known["train_images"],
        "labels": known["train_labels"],
        "who": np.arange(40) // 2,
        "site": np.array(["a", "b "] * 20),
    }
    file = imported(arrays, Choice("site", ("a",), ("b",)), common="label", group="who", drawn=Drawn(0.3, 1))
    assert file.info.counts == {"train": {"background": 14, "target": 14}, "test": {"background": 6, "target": 6}}
    assert UNKNOWN_PATIENTS not in file.info.notes
    for split in ("train", "test"):
        for data, rows in zip(file.read(split)[1:], file.read_rows(split), strict=True):
            for image, name, group in zip(data.images.numpy(), rows.names, rows.groups, strict=True):
                np.testing.assert_array_equal(image[0], arrays["images"][int(name)])
                assert int(group) == int(name) // 2


def test_repeats_of_tested_images_are_left_out_of_the_others(imported) -> None:
    arrays = medmnist()
    arrays["train_images"][[0, 4]] = arrays["test_images"][8]  # all of label 0
    arrays["train_images"][5] = arrays["val_images"][1]  # of label 1
    arrays["val_images"][6] = arrays["test_images"][2]  # of label 2
    arrays["test_images"][12] = arrays["test_images"][16]  # both in one split
    file = imported(arrays)
    names = {split: [rows.names.tolist() for rows in file.read_rows(split)] for split in file.info.counts}
    assert not {"train 0", "train 4"} & set(names["train"][0])
    assert "train 5" not in names["train"][1]
    assert "val 6" not in names["validation"][1]
    assert {"test 12", "test 16"} <= set(names["test"][0])
    assert "Left out, as the same image is for testing or validation too: 4 images." in file.info.notes
    assert sum(sum(part.values()) for part in file.info.counts.values()) == 72 // 4 * 3 - 4


def test_an_empty_validation_split_is_none(imported) -> None:
    arrays = medmnist()
    arrays |= {name: array[:0] for name, array in arrays.items() if name.startswith("val")}
    file = imported(arrays, common="age:real")
    assert set(file.info.counts) == {"train", "test"}
    assert not [note for note in file.info.notes if "not read" in note]


def test_an_identifier_that_nobody_declared_is_hinted_at(imported) -> None:
    patients = {f"{part}_patient_id": np.arange(count) // 8 for part, count in SIZES.items()}
    unreadable = {f"{part}_sample": np.full(count, b"\xff") for part, count in SIZES.items()}
    notes = imported(medmnist() | patients | unreadable).info.notes
    assert notes[1:] == (
        "Rows seem to belong together, as 'patient_id' says: if that is what was sampled, import again with --group "
        "patient_id.",
    )


def test_a_split_of_its_own_has_no_fraction(imported) -> None:
    assert imported(medmnist()).info.config == {"split": "given"}
    known = medmnist()
    whole = {"images": known["train_images"], "labels": known["train_labels"]}
    assert imported(whole).info.config == {"test_fraction": 0.2, "seed": 0}


def test_an_image_of_both_populations_is_refused(imported, refusal) -> None:
    arrays = medmnist()
    arrays["train_images"][1] = arrays["test_images"][0]
    assert "background image 'test 0' and target image 'train 1' are equal" in refusal(lambda: imported(arrays))


def test_colour_becomes_grey_as_pillow_does_it(imported) -> None:
    arrays = medmnist(3)
    file = imported(arrays, form=ImageForm(channels="grey"))
    image = file.read("test").background.images.numpy()[1, 0]
    np.testing.assert_array_equal(image, np.asarray(Image.fromarray(arrays["test_images"][4]).convert("L")))
    grey = medmnist()
    coloured = imported(grey, form=ImageForm(channels="colour")).read("test").background.images.numpy()[1]
    np.testing.assert_array_equal(coloured, np.stack([grey["test_images"][4]] * 3))


def test_images_are_fitted_as_those_of_folders_are(imported) -> None:
    arrays = {name: array[:, :20] if "images" in name else array for name, array in medmnist().items()}
    file = imported(arrays, form=ImageForm(Size(16, 16), "pad", "grey"))
    assert file.info.image_shape == (1, 16, 16)
    given = Image.fromarray(arrays["test_images"][4])
    image = file.read("test").background.images.numpy()[1, 0]
    np.testing.assert_array_equal(image, np.asarray(fit_image(given, Size(16, 16), "pad")))


def without(name: str) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.pop(name)


def put(name: str, make: Callable[[Arrays], np.ndarray]) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({name: make(arrays)})


@pytest.mark.parametrize(
    ("change", "given", "words"),
    [
        (without("test_images"), {}, "wanted are train_images and test_images, or images"),
        (put("train_images", lambda a: a["train_images"] / 255), {}, "(images * 255).round().astype(numpy.uint8)"),
        (put("val_images", lambda a: a["val_images"].astype(np.uint16)), {}, "val_images of"),
        (put("test_images", lambda a: a["test_images"][:, None].repeat(3, 1)), {}, "the channels last"),
        (put("test_images", lambda a: a["test_images"][:, :20]), {}, "images of the shapes (20, 28) and (28, 28)"),
        (put("test_images", lambda a: a["test_images"][:0]), {}, "test_images of"),
        (
            put("train_images", lambda a: np.asfortranarray(a["train_images"])),
            {},
            "; save numpy.ascontiguousarray of it.",
        ),
        (put("train_labels", lambda a: a["train_labels"][1:]), {}, "where there are 40 images"),
        (put("train_labels", lambda a: a["train_labels"].astype(object)), {}, "Python objects, which are never loaded"),
        (put("val_labels", lambda a: np.eye(12)), {}, "another number of columns in each split"),
        (without("val_age"), {"common": "age:real"}, "val has no such array"),
        (put("test_age", lambda a: a["test_age"].astype(complex)), {"common": "age:real"}, "it is complex"),
        (lambda a: None, {"common": "agee"}, "did you mean 'age'"),
        (lambda a: None, {"choice": Choice("label", ("0",), ("7",))}, "Known: 0, 1, 2, 3"),
        (lambda a: None, {"split": "age"}, "leave --split out"),
        (put("test_age", lambda a: np.full(20, b"\xff")), {"common": "age"}, "UTF-8"),
    ],
)
def test_what_does_not_fit_is_refused(imported, refusal, tmp_path: Path, change, given, words: str) -> None:
    arrays = medmnist()
    change(arrays)
    assert words in refusal(lambda: imported(arrays, **given))
    assert not (tmp_path / "own.h5").exists()


def test_sizes_that_no_method_takes_are_refused(imported, refusal) -> None:
    assert "7 x 7 pixels; a side has 8 to 1024" in refusal(lambda: imported(medmnist(size=7)))


def test_what_is_not_read_is_said(imported) -> None:
    arrays = medmnist() | {
        "label_names": np.array(["a", "b"]),
        "train_mean": np.zeros((28, 28)),
        "val_mean": np.zeros((28, 28)),
        "test_mean": np.zeros((28, 28)),
    }
    notes = imported(arrays).info.notes
    assert "The array 'label_names' is not read: it belongs to no images." in notes
    assert "The array 'mean' is not read: it has the shape (28, 28), where there are 20 images." in notes


def test_memory_is_that_of_the_images(tmp_path: Path) -> None:
    """Only headers are read before images are asked for, whatever else the file declares."""
    np.savez_compressed(tmp_path / "own.npz", images=np.zeros((4000, 64, 64), np.uint8), labels=np.zeros(4000))
    part = read_splits(tmp_path / "own.npz").parts[""]
    assert max(piece.nbytes for _, piece in part.pieces()) <= 1 << 22
    assert sum(len(piece) for _, piece in part.pieces()) == len(part) == 4000


@pytest.mark.skipif(not X_RAYS.exists(), reason="CABENCH_DATA holds no medmnist/pneumoniamnist.npz")
def test_chest_x_rays_of_medmnist(tmp_path: Path, cabench_here) -> None:
    """Counts of this copy: train 388 + 3,494, val 135 + 389, test 234 + 390; no image is in train and test."""
    own = ("--input", str(X_RAYS), "--population", "label", "--background", "0", "--target", "1")
    done = cabench_here("data", "import", *own, "--output", str(tmp_path / "x.h5"))
    assert done.returncode == 0, done.stderr
    with np.load(X_RAYS) as arrays:
        kept = {image.tobytes() for part in ("val", "test") for image in arrays[f"{part}_images"]}
        labels = arrays["train_labels"][[image.tobytes() not in kept for image in arrays["train_images"]], 0]
    assert DatasetFile.open(tmp_path / "x.h5").info.counts == {
        "train": {"background": int((labels == 0).sum()), "target": int((labels == 1).sum())},
        "validation": {"background": 135, "target": 389},
        "test": {"background": 234, "target": 390},
    }
    assert f"for testing or validation too: {388 + 3494 - len(labels)} images." in done.stderr
    assert UNKNOWN_PATIENTS in done.stderr
