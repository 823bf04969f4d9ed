"""CIFAR-MNIST: the constructions of cards B1a and B1b, checked on stand-ins and on the real images."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from cabench.config import ConfigError
from cabench.data.file import DatasetFile
from cabench.data.sources import LabelledImages, Source
from cabench.datasets.cifar_mnist import CifarMnist, CifarMnistConfig
from cabench.datasets.sources import blend, cifar10
from cabench.datasets.sources.idx import MNIST, IdxFiles
from cabench.errors import UserError
from cabench.experiment.request import ResolvedProfile
from cabench.profiles import load_profile

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
        patch.setattr(IdxFiles, "locate", lambda self, root: Source("MNIST"))
        patch.setattr(IdxFiles, "read", lambda self, source: (DIGITS["train"], DIGITS["test"]))
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
    monkeypatch.setattr(cifar10, "read", functools.cache(cifar10.read))  # decodes 60,000 photographs
    root = Path(str(DATA))
    file = CifarMnist().obtain(root)
    file.verify()

    assert file.info.sources == (cifar10.locate(root).title, "MNIST")
    if (root / "cifar10" / "cifar10-images.tar.xz").is_file() and not list(root.rglob("cifar-10-batches-py")):
        assert file.info.sources == ("CIFAR-10 (JPEG)", "MNIST")
    digits = dict(zip(("train", "test"), MNIST.read(MNIST.locate(root)), strict=True))
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
    monkeypatch.setattr(IdxFiles, "locate", lambda self, root: Source("MNIST"))
    monkeypatch.setattr(IdxFiles, "read", lambda self, source: (DIGITS["train"], DIGITS["test"]))
    with pytest.raises(UserError, match=r"CIFAR-10 .* holds 49,900 training"):
        CifarMnist(CifarMnistConfig()).obtain(None)
    assert not list(tmp_path.glob("**/*.h5"))


# Double InfoGAN's construction (card B1b), on fewer images

FEW = {"train": 120, "test": 40}


def framed_digits(seed: int, rows: int) -> LabelledImages:
    """Digits with a black border, like MNIST's, so that the edge of a blend shows the photograph alone."""
    images = np.random.default_rng(seed).integers(0, 256, (rows, 28, 28), np.uint8)
    images[:, :3] = images[:, -3:] = images[:, :, :3] = images[:, :, -3:] = 0
    return LabelledImages(images, np.arange(rows) % 10)


FEW_PHOTOGRAPHS = {split: stand_in(seed, FEW[split], (3, 32, 32), 3072) for seed, split in enumerate(FEW)}
FEW_DIGITS = {split: framed_digits(seed, FEW[split] + 20) for seed, split in enumerate(FEW)}

BuildFew = Callable[..., DatasetFile]


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildFew:
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(blend, "TRAIN_SIZE", FEW["train"])
    monkeypatch.setattr(blend, "TEST_SIZES", {"full": FEW["test"]})
    monkeypatch.setattr(blend, "CHUNK", 7)
    monkeypatch.setattr(cifar10, "locate", lambda root: Source("CIFAR-10"))
    monkeypatch.setattr(cifar10, "read", lambda source: tuple(FEW_PHOTOGRAPHS.values()))
    monkeypatch.setattr(IdxFiles, "locate", lambda self, root: Source("MNIST"))
    monkeypatch.setattr(IdxFiles, "read", lambda self, source: tuple(FEW_DIGITS.values()))
    return lambda **fields: CifarMnist(CifarMnistConfig(**fields)).obtain(None)


def scaled(images: np.ndarray, size: int) -> np.ndarray:
    """Each plane by Pillow."""
    planes = images.reshape(-1, *images.shape[-2:])
    resized = [np.asarray(Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)) for plane in planes]
    return np.stack(resized).reshape(*images.shape[:-2], size, size)


def taken_apart(file: DatasetFile, split: str, size: int) -> tuple[list[int], list[int], list[int]]:
    """The photograph of each background image, that of each target image, and its digit: found by the pixels."""
    photographs, digits = scaled(FEW_PHOTOGRAPHS[split].images, size), scaled(FEW_DIGITS[split].images, size)
    half = FEW[split] // 2
    images = stored(file, split, 0, 2 * half)
    by_edge = {(photograph[:, 0] // 2).tobytes(): row for row, photograph in enumerate(photographs)}
    shown = [by_edge[image[:, 0].tobytes()] for image in images]
    drawn = []
    for image, row in zip(images[half:], shown[half:], strict=True):
        blends = np.floor(0.5 * photographs[row] + 0.5 * digits[:, None])
        (digit,) = np.flatnonzero((blends == image).all(axis=(1, 2, 3)))
        drawn.append(int(digit))
    for image, row in zip(images[:half], shown[:half], strict=True):
        np.testing.assert_array_equal(image, photographs[row] // 2)
    return shown[:half], shown[half:], drawn


@pytest.mark.parametrize("size", [32, 64])
def test_double_infogans_blend_shuffles_training_photographs_and_draws_resized_digits(few: BuildFew, size: int) -> None:
    file = few(pairing="random", fitting="resized", size=size)
    file.verify()

    assert file.info.image_shape == (3, size, size)
    for split, count in FEW.items():
        background, target, drawn = taken_apart(file, split, size)
        # Each photograph once, whatever its population.
        assert sorted(background + target) == list(range(count))
        assert (background + target == list(range(count))) == (split == "test"), "only the test split keeps its order"
        # With replacement: of 60 or 20 draws some come twice, and they do not follow the order of the source.
        assert len(set(drawn)) < len(drawn)
        assert drawn != sorted(drawn)
        np.testing.assert_array_equal(
            attribute(file, split, "object"), FEW_PHOTOGRAPHS[split].labels[background + target]
        )
        np.testing.assert_array_equal(attribute(file, split, "digit")[count // 2 :], FEW_DIGITS[split].labels[drawn])


def test_random_pairs_follow_the_seed(few: BuildFew) -> None:
    first, other = (few(pairing="random", fitting="resized", seed=seed) for seed in (0, 1))

    sha = first.info.content_sha256
    assert sha != other.info.content_sha256
    first.path.unlink()
    assert few(pairing="random", fitting="resized").info.content_sha256 == sha


def test_padded_digits_at_64_are_the_blend_at_32_scaled_up(few: BuildFew) -> None:
    small, large = few(), few(size=64)

    images = scaled(stored(small, "train", 60, 120), 64).astype(int)
    assert np.abs(stored(large, "train", 60, 120) - images).max() <= 2  # rounded at other places


def test_the_paper_profile_names_both_sizes_of_double_infogans_construction() -> None:
    paper = load_profile("paper")

    for label, size in (("cifar_mnist_double_infogan", 64), ("cifar_mnist_double_infogan_32", 32)):
        config = ResolvedProfile(paper).dataset(label).config
        assert config == CifarMnistConfig(test_split="full", pairing="random", fitting="resized", size=size)
    # Card B1b: 25,000 of each in train, 5,000 of each in test.
    assert (blend.TRAIN_SIZE, blend.TEST_SIZES["full"]) == (50_000, 10_000)


@pytest.mark.parametrize("fields", [{"pairing": "fixed"}, {"fitting": "cut"}, {"size": 48}, {"seed": -1}], ids=str)
def test_values_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        CifarMnistConfig(**fields)
