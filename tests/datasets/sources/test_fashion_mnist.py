"""Fashion-MNIST: its folders, which are not MNIST's, and its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cabench.datasets.sources import fashion_mnist, mnist
from cabench.errors import UserError

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
DEBIAN = Path("/usr/share/datasets")  # where the package dataset-fashion-mnist puts `fashion-mnist/`


def write_files(folder: Path) -> tuple[Path, ...]:
    folder.mkdir(parents=True)
    files = tuple(folder / name for name in NAMES)
    for path in files:
        path.touch()
    return files


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "fashion-mnist"])
def test_finds_the_files_in_each_place(tmp_path: Path, place: str) -> None:
    files = write_files(tmp_path / place)

    source = fashion_mnist.locate(tmp_path)

    assert source.title == "Fashion-MNIST"
    assert source.files == files


def test_stands_beside_mnist_and_neither_is_taken_for_the_other(tmp_path: Path) -> None:
    digits, garments = write_files(tmp_path / "MNIST" / "raw"), write_files(tmp_path / "FashionMNIST" / "raw")

    assert mnist.locate(tmp_path).files == digits
    assert fashion_mnist.locate(tmp_path).files == garments


@pytest.mark.parametrize("place", [".", "raw", "MNIST/raw"])
def test_files_of_the_same_names_where_mnist_stands_are_not_taken(tmp_path: Path, place: str) -> None:
    write_files(tmp_path / "data" / place)

    with pytest.raises(UserError, match=r"Fashion-MNIST was not found .*FashionMNIST/raw"):
        fashion_mnist.locate(tmp_path / "data")


def test_classes_are_those_that_were_published() -> None:
    from torchvision.datasets import FashionMNIST

    assert list(fashion_mnist.CLASSES) == [name.lower() for name in FashionMNIST.classes]


@pytest.mark.skipif(not (DEBIAN / "fashion-mnist").is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_real_images() -> None:
    train, test = fashion_mnist.read(fashion_mnist.locate(DEBIAN))

    assert train.images.shape == (60_000, 28, 28)
    assert test.images.shape == (10_000, 28, 28)
    for split, per_class in ((train, 6_000), (test, 1_000)):
        np.testing.assert_array_equal(np.bincount(split.labels), [per_class] * 10)
    assert [fashion_mnist.CLASSES[label] for label in train.labels[:3]] == ["ankle boot", "t-shirt/top", "t-shirt/top"]
