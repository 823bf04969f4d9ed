"""MedMNIST: the populations of card B8b, on small files in the published layout, declared official."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from cabench.config import ConfigError
from cabench.data.checks import check_file
from cabench.data.file import DatasetFile
from cabench.datasets.medmnist import SUBSETS, MedMnist, MedMnistConfig
from cabench.errors import UserError
from cabench.files import npz

COLOURED = ("retina", "derma")
COUNTS = {"train": 60, "val": 24, "test": 30}
OURS = {"train": "train", "val": "validation", "test": "test"}
Arrays = Mapping[str, np.ndarray]


def arrays_of(subset: str, size: int) -> dict[str, np.ndarray]:
    """Random images in the published layout, with labels in turn."""
    generator = np.random.default_rng(0)
    found = SUBSETS[subset]
    shape = (size, size, 3) if subset in COLOURED else (size, size)
    arrays = {}
    for split, count in COUNTS.items():
        arrays[f"{split}_images"] = generator.integers(0, 256, (count, *shape), np.uint8)
        if found.background is None:
            labels = np.zeros((count, 14), np.uint8)
            for row in range(count):  # none, cardiomegaly, effusion, pneumothorax, two of them, another
                labels[row, ([], [1], [2], [7], [1, 2], [5])[row % 6]] = 1
        else:
            labels = (np.arange(count) % len(found.classes)).astype(np.uint8)[:, None]
        arrays[f"{split}_labels"] = labels
    return arrays


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Writes a file, declares it official, and gives the folder to build from."""

    def write(subset: str, size: int, arrays: Arrays) -> Path:
        name = SUBSETS[subset].file if size == 28 else f"{SUBSETS[subset].file}_{size}"
        path = tmp_path / "data" / "medmnist" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **arrays)
        monkeypatch.setitem(SUBSETS[subset].md5, size, hashlib.md5(path.read_bytes()).hexdigest())
        return tmp_path / "data"

    return write


def expected(subset: str, labels: np.ndarray) -> tuple[list[int], list[int], list[str]]:
    """Rows of background, of targets, and the targets' classes, row by row in plain words."""
    found, background, target, classes = SUBSETS[subset], [], [], []
    for row, label in enumerate(labels):
        if found.background is None:
            names = [name for name, has in zip(found.classes, label, strict=True) if has]
        else:
            names = [] if label[0] == found.background else [found.classes[label[0]]]
        if not names:
            background.append(row)
        elif len(names) == 1 and (found.background is not None or names[0] in MedMnistConfig().chosen_findings):
            target.append(row)
            classes += names
    return background, target, classes


def as_stored(images: np.ndarray) -> np.ndarray:
    return images[:, None] if images.ndim == 3 else np.moveaxis(images, -1, 1)


def classes_of(file: DatasetFile, split: str) -> list[str]:
    (attribute,) = file.info.attributes
    return [attribute.classes[value] for value in file.read(split).target.attributes[attribute.name]]


@pytest.mark.parametrize(
    ("subset", "size"),
    [("oct", 28), ("retina", 28), ("derma", 28), ("pneumonia", 28), ("chest", 28), ("oct", 64), ("derma", 128)],
)
def test_populations_pixels_and_classes_are_those_of_the_file(build_at, publish, monkeypatch, subset, size) -> None:
    arrays = arrays_of(subset, size)
    monkeypatch.setattr(npz, "PIECE", 7 * size * size)  # pieces of 7 grey or 2 coloured images
    file = build_at(MedMnist(MedMnistConfig(subset=subset, size=size)), publish(subset, size, arrays))

    assert not check_file(file.path).errors
    assert file.info.image_shape == (3 if subset in COLOURED else 1, size, size)
    for given, split in OURS.items():
        background, target, classes = expected(subset, arrays[f"{given}_labels"])
        data, images = file.read(split), as_stored(arrays[f"{given}_images"])
        np.testing.assert_array_equal(data.background.images, images[background])
        np.testing.assert_array_equal(data.target.images, images[target])
        assert [rows.names.tolist() for rows in file.read_rows(split)] == [
            [f"{given} {row}" for row in rows] for rows in (background, target)
        ]
        if subset != "pneumonia":
            assert classes_of(file, split) == classes


def test_classes_are_salient_and_counted(build_at, publish) -> None:
    file = build_at(MedMnist(), publish("oct", 28, arrays_of("oct", 28)))
    (attribute,) = file.info.attributes

    assert (attribute.name, attribute.space, attribute.kind) == ("disease", "salient", "class")
    assert attribute.classes == ("choroidal neovascularisation", "diabetic macular oedema", "drusen")
    said = " ".join(file.info.notes)
    assert "background 15 + 6 + 7, choroidal neovascularisation 15 + 6 + 8" in said
    assert "atients are not identified" in said


def test_pneumonia_has_no_attribute(build_at, publish) -> None:
    file = build_at(MedMnist(MedMnistConfig(subset="pneumonia")), publish("pneumonia", 28, arrays_of("pneumonia", 28)))
    assert file.info.attributes == ()
    assert "only target against background" in " ".join(file.info.notes)


def test_other_findings_of_chest(build_at, publish) -> None:
    config = MedMnistConfig(subset="chest", findings="nodule, effusion")
    file = build_at(MedMnist(config), publish("chest", 28, arrays_of("chest", 28)))
    assert set(classes_of(file, "train")) == {"nodule", "effusion"}
    assert file.info.attributes[0].classes == ("nodule", "effusion")


@pytest.mark.parametrize(("findings", "said"), [("nodul", "no finding"), ("", "no finding"), ("mass,mass", "twice")])
def test_unknown_findings_are_refused(findings, said) -> None:
    with pytest.raises(ConfigError, match=said):
        MedMnistConfig(subset="chest", findings=findings)


def test_copies_across_splits_leave_the_earlier_used(build_at, publish) -> None:
    arrays = arrays_of("oct", 28)
    arrays["train_images"][[0, 5]] = arrays["test_images"][[3, 4]]
    arrays["train_images"][7] = arrays["val_images"][2]
    arrays["val_images"][9] = arrays["test_images"][8]
    arrays["train_images"][20] = arrays["train_images"][16]  # inside a split copies stay
    file = build_at(MedMnist(), publish("oct", 28, arrays))

    names = {split: sorted(name for rows in file.read_rows(split) for name in rows.names) for split in OURS.values()}
    assert names["test"] == sorted(f"test {row}" for row in range(30))
    assert names["validation"] == sorted(f"val {row}" for row in range(24) if row != 9)
    assert names["train"] == sorted(f"train {row}" for row in range(60) if row not in (0, 5, 7))
    said = " ".join(file.info.notes)
    assert "left out of train: 3." in said
    assert "left out of val: 1." in said
    assert not check_file(file.path).errors


def test_memory_is_that_of_a_piece(build_at, publish, monkeypatch) -> None:
    arrays = arrays_of("derma", 28)
    arrays["train_images"] = np.zeros((4_000, 64, 64, 3), np.uint8)  # 49 MB
    arrays["train_images"][:, 0, 0, :2] = np.arange(4_000)[:, None] // [1, 256] % 256
    arrays["train_labels"] = np.arange(4_000, dtype=np.uint8)[:, None] % 7
    for split in ("val", "test"):
        arrays[f"{split}_images"] = (
            np.full((7, 64, 64, 3), 255, np.uint8) - np.arange(7, dtype=np.uint8)[:, None, None, None]
        )
        arrays[f"{split}_labels"] = np.arange(7, dtype=np.uint8)[:, None]
    arrays["val_images"][..., 0] = 0
    root = publish("derma", 64, arrays)
    monkeypatch.setattr(npz, "PIECE", 1 << 20)
    tracemalloc.start()
    try:
        file = build_at(MedMnist(MedMnistConfig(subset="derma", size=64)), root)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(file.info.counts["train"].values()) == 4_000
    assert peak < 12 << 20


class TestRefusals:
    def test_another_file_under_the_official_name(self, refused, publish) -> None:
        root = publish("oct", 28, arrays_of("oct", 28))
        path = root / "medmnist" / "octmnist.npz"
        np.savez(path, **arrays_of("oct", 28))

        message = refused(MedMnist(), root)

        assert f"{path} does not match the official MedMNIST file (expected MD5 " in message
        assert f"found {hashlib.md5(path.read_bytes()).hexdigest()}" in message
        assert "--population label --background 3 --target 0,1,2 --salient label" in message

    @pytest.mark.skipif(
        not (Path(os.environ.get("CABENCH_DATA", "")) / "medmnist" / "pneumoniamnist.npz").is_file(),
        reason="CABENCH_DATA has no medmnist/pneumoniamnist.npz",
    )
    def test_the_copy_that_lacks_826_images(self, refused) -> None:
        message = refused(MedMnist(MedMnistConfig(subset="pneumonia")), Path(os.environ["CABENCH_DATA"]))

        assert "expected MD5 28209eda62fecd6e6a2d98b1501bb15f, found f5b994ec7c2fe8bc81ae15cbab7c3df8" in message
        assert "--population label --background 0 --target 1 --output" in message

    def test_absence_names_file_and_place(self, tmp_path) -> None:
        with pytest.raises(UserError) as raised:
            MedMnist(MedMnistConfig(size=128)).locate(tmp_path)
        assert all(
            part in str(raised.value) for part in ("octmnist_128.npz", str(tmp_path / "medmnist"), "CABENCH_DATA")
        )


def test_checksums_are_known_for_every_set_and_size() -> None:
    sums = [subset.md5[size] for subset in SUBSETS.values() for size in (28, 64, 128, 224)]
    assert len(set(sums)) == 20
    assert all(len(md5) == 32 and set(md5) <= set("0123456789abcdef") for md5 in sums)
    assert [MedMnistConfig(subset=name).subset for name in SUBSETS] == list(SUBSETS)
