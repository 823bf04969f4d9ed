"""CIFAR-MNIST: the construction of card B1a, checked on stand-ins of full size and on the real images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.config import ConfigError
from cabench.dataset_file import DatasetFile
from cabench.datasets.cifar_mnist import CifarMnist, CifarMnistConfig
from cabench.datasets.sources import cifar10, mnist
from cabench.errors import UserError
from cabench.sources import LabelledImages, Source

DATA = os.environ.get("CABENCH_DATA")
HALF = {"train": 25_000, "full": 5_000, "paper": 500}  # images of one population, as card B1a counts them


def stand_in(seed: int, rows: int, shape: tuple[int, ...], step: int) -> LabelledImages:
    """Random images and labels, each image unlike all others. They overlap in memory, so that they take none of it."""
    generator = np.random.default_rng(seed)
    size = int(np.prod(shape))
    pool = generator.integers(0, 256, step * rows + size, np.uint8)
    inner = np.zeros(shape, np.uint8).strides
    images = np.lib.stride_tricks.as_strided(pool, (rows, *shape), (step, *inner), writeable=False)
    return LabelledImages(images, generator.integers(0, 10, rows))


PHOTOGRAPHS = {"train": stand_in(0, 50_000, (3, 32, 32), 7), "test": stand_in(1, 10_000, (3, 32, 32), 7)}
DIGITS = {"train": stand_in(2, 60_000, (28, 28), 5), "test": stand_in(3, 10_000, (28, 28), 5)}


@pytest.fixture(scope="module", params=["full", "paper"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatasetFile]:
    """The data set built from the stand-ins; its file of 180 MB is deleted afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(cifar10, "locate", lambda root: Source("CIFAR-10"))
        patch.setattr(cifar10, "read", lambda source: (PHOTOGRAPHS["train"], PHOTOGRAPHS["test"]))
        patch.setattr(mnist, "locate", lambda root: Source("MNIST"))
        patch.setattr(mnist, "read", lambda source: (DIGITS["train"], DIGITS["test"]))
        file = CifarMnist(CifarMnistConfig(test_split=request.param)).obtain(None)
    yield file
    file.path.unlink()


def half_of(file: DatasetFile, split: str) -> int:
    return HALF["train" if split == "train" else str(file.info.config["test_split"])]


def stored(file: DatasetFile, split: str, start: int, stop: int) -> np.ndarray:
    with h5py.File(file.path) as content:
        return np.asarray(content[split]["images"][start:stop])


def attribute(file: DatasetFile, split: str, name: str) -> np.ndarray:
    with h5py.File(file.path) as content:
        return np.asarray(content[split]["attributes"][name][:])


def test_sizes_are_those_of_the_card_and_of_all_test_images(built: DatasetFile) -> None:
    test = HALF[str(built.info.config["test_split"])]

    assert built.info.counts == {
        "train": {"background": 25_000, "target": 25_000},
        "test": {"background": test, "target": test},
    }
    assert built.info.image_shape == (3, 32, 32)


@pytest.mark.parametrize("split", ["train", "test"])
def test_background_comes_first(built: DatasetFile, split: str) -> None:
    half = half_of(built, split)
    with h5py.File(built.path) as content:
        is_target = content[split]["is_target"][:]

    np.testing.assert_array_equal(is_target, np.arange(2 * half) >= half)


@pytest.mark.parametrize("split", ["train", "test"])
def test_background_is_the_first_photographs_at_half_intensity_rounded_down(built: DatasetFile, split: str) -> None:
    half = half_of(built, split)
    for start in range(0, half, 2500):
        rows = slice(start, min(start + 2500, half))
        expected = np.floor(0.5 * PHOTOGRAPHS[split].images[rows].astype(np.float32))

        np.testing.assert_array_equal(stored(built, split, rows.start, rows.stop), expected)


@pytest.mark.parametrize("split", ["train", "test"])
def test_target_is_half_the_next_photographs_and_half_the_digit_of_the_same_index(
    built: DatasetFile, split: str
) -> None:
    half = half_of(built, split)
    for start in range(half, 2 * half, 2500):
        rows = slice(start, min(start + 2500, 2 * half))
        digits = np.zeros((rows.stop - rows.start, 1, 32, 32), np.float32)
        digits[:, 0, 2:30, 2:30] = DIGITS[split].images[rows]
        expected = np.floor(0.5 * PHOTOGRAPHS[split].images[rows].astype(np.float32) + 0.5 * digits)

        np.testing.assert_array_equal(stored(built, split, rows.start, rows.stop), expected)


def test_background_stays_below_half_and_blends_use_the_whole_range(built: DatasetFile) -> None:
    assert stored(built, "train", 0, 1000).max() == 127
    # White on white stays white: nothing overflows.
    assert stored(built, "train", 25_000, 27_000).max() >= 254


def test_padding_shows_the_photograph_alone(built: DatasetFile) -> None:
    images = stored(built, "train", 49_000, 50_000)
    photographs = PHOTOGRAPHS["train"].images[49_000:50_000]
    for edge in (np.s_[..., :2, :], np.s_[..., -2:, :], np.s_[..., :, :2], np.s_[..., :, -2:]):
        np.testing.assert_array_equal(images[edge], photographs[edge] // 2)


@pytest.mark.parametrize("split", ["train", "test"])
def test_object_is_the_photographs_class_on_all_rows(built: DatasetFile, split: str) -> None:
    count = 2 * half_of(built, split)

    np.testing.assert_array_equal(attribute(built, split, "object"), PHOTOGRAPHS[split].labels[:count])


@pytest.mark.parametrize("split", ["train", "test"])
def test_digit_is_the_label_of_the_same_index_and_minus_one_on_background(built: DatasetFile, split: str) -> None:
    half = half_of(built, split)
    digit = attribute(built, split, "digit")

    assert (digit[:half] == -1).all()
    np.testing.assert_array_equal(digit[half:], DIGITS[split].labels[half : 2 * half])


def test_object_is_common_and_digit_salient(built: DatasetFile) -> None:
    assert [(a.name, a.space, a.kind, a.classes) for a in built.info.attributes] == [
        ("object", "common", "class", cifar10.CLASSES),
        ("digit", "salient", "class", tuple("0123456789")),
    ]
    assert built.info.sources == ("CIFAR-10", "MNIST")


def test_full_test_split_is_the_default_and_others_are_refused() -> None:
    assert CifarMnistConfig().test_split == "full"
    with pytest.raises(ConfigError, match="test_split"):
        CifarMnistConfig(test_split="half")


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="CABENCH_DATA is not set: CIFAR-10 and MNIST are not here")
def test_real_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    root = Path(str(DATA))
    file = CifarMnist().obtain(root)
    file.verify()

    assert file.info.sources == (cifar10.locate(root).title, "MNIST")
    if (root / "cifar10" / "cifar10-images.tar.xz").is_file() and not list(root.rglob("cifar-10-batches-py")):
        assert file.info.sources == ("CIFAR-10 (JPEG)", "MNIST")
    digits = dict(zip(("train", "test"), mnist.read(mnist.locate(root)), strict=True))
    for split, half, per_object in (("train", 25_000, 5000), ("test", 5_000, 1000)):
        assert file.info.counts[split] == {"background": half, "target": half}
        objects, digit = attribute(file, split, "object"), attribute(file, split, "digit")
        np.testing.assert_array_equal(np.bincount(objects), [per_object] * 10)
        # Both halves show each class about equally often, so that the object says little about the population.
        assert np.abs(np.bincount(objects[:half]) - per_object / 2).max() < 0.05 * per_object
        np.testing.assert_array_equal(digit[half:], digits[split].labels[half : 2 * half])
        assert set(digit[half:]) == set(range(10))
        assert stored(file, split, 0, half).max() == 127
    # What an image shows is the mean of a photograph and its digit, so a target less half its digit is at most half.
    blend = stored(file, "test", 5_000, 10_000)
    padded = np.pad(digits["test"].images[5_000:10_000], ((0, 0), (2, 2), (2, 2)))[:, None]
    rest = blend.astype(np.int16) - padded // 2
    assert rest.min() >= 0
    assert rest.max() <= 128

    sha = file.info.content_sha256
    file.path.unlink()
    assert CifarMnist().obtain(root).info.content_sha256 == sha
    file.path.unlink()


def test_incomplete_sources_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    short = LabelledImages(PHOTOGRAPHS["train"].images[:49_900], PHOTOGRAPHS["train"].labels[:49_900])
    monkeypatch.setattr(cifar10, "locate", lambda root: Source("CIFAR-10"))
    monkeypatch.setattr(cifar10, "read", lambda source: (short, PHOTOGRAPHS["test"]))
    monkeypatch.setattr(mnist, "locate", lambda root: Source("MNIST"))
    monkeypatch.setattr(mnist, "read", lambda source: (DIGITS["train"], DIGITS["test"]))
    with pytest.raises(UserError, match=r"CIFAR-10 .* holds 49,900 training"):
        CifarMnist(CifarMnistConfig()).obtain(None)
    assert not list(tmp_path.glob("**/*.h5"))
