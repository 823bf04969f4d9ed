"""The planted data set: complete, balanced, and readable from single pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from cabench.config import ConfigError
from cabench.data.dataset import ContrastiveDataset
from cabench.data.file import DatasetFile
from cabench.datasets.planted import Planted, PlantedConfig

COMMON, SALIENT = ("common_class", "common_level"), ("salient_class", "salient_level")
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
EVERYTHING = set(product(range(3), LEVELS, range(3), LEVELS))


def build(folder: Path, **fields: int) -> DatasetFile:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CABENCH_CACHE", str(folder))
        return Planted(PlantedConfig(**fields)).obtain(None)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatasetFile]:
    return build(tmp_path_factory.mktemp("cache"))


@pytest.fixture(params=["train", "test"])
def split(request: pytest.FixtureRequest, file: DatasetFile) -> ContrastiveDataset:
    return file.read(request.param)


def rows(attributes: dict[str, np.ndarray], names: tuple[str, ...]) -> list[tuple[float, ...]]:
    return list(zip(*(attributes[name].tolist() for name in names), strict=True))


def centres(images: np.ndarray) -> np.ndarray:
    """(n, 2, 4): the middle pixel of each cell, in the upper and in the lower half."""
    return images[:, 0, 8::16, 4::8]


def test_targets_hold_every_combination_equally_often(split: ContrastiveDataset) -> None:
    counts = Counter(rows(split.target.attributes, COMMON + SALIENT))

    assert counts == dict.fromkeys(EVERYTHING, 2)


def test_background_holds_every_common_combination_equally_often(split: ContrastiveDataset) -> None:
    counts = Counter(rows(split.background.attributes, COMMON))

    assert counts == dict.fromkeys(product(range(3), LEVELS), 30)


def test_salient_attributes_are_undefined_on_background(split: ContrastiveDataset) -> None:
    assert (split.background.attributes["salient_class"] == -1).all()
    assert np.isnan(split.background.attributes["salient_level"]).all()


def test_attributes_are_declared_with_their_spaces_and_kinds(file: DatasetFile) -> None:
    assert [(a.name, a.space, a.kind, len(a.classes)) for a in file.info.attributes] == [
        ("common_class", "common", "class", 3),
        ("common_level", "common", "real", 0),
        ("salient_class", "salient", "class", 3),
        ("salient_level", "salient", "real", 0),
    ]
    file.verify()


@pytest.mark.parametrize("population", ["background", "target"])
def test_common_values_are_read_from_the_upper_half(split: ContrastiveDataset, population: str) -> None:
    part = getattr(split, population)
    upper = centres(part.images.numpy())[:, 0]

    np.testing.assert_array_equal(upper[:, :3], 200 * np.eye(3)[part.attributes["common_class"]])
    np.testing.assert_array_equal(upper[:, 3], 200 * part.attributes["common_level"])


def test_salient_values_are_read_from_the_lower_half(split: ContrastiveDataset) -> None:
    lower = centres(split.target.images.numpy())[:, 1]

    np.testing.assert_array_equal(lower[:, :3], 200 * np.eye(3)[split.target.attributes["salient_class"]])
    np.testing.assert_array_equal(lower[:, 3], 200 * split.target.attributes["salient_level"])


def test_cells_are_flat_but_for_one_noisy_pixel_each(split: ContrastiveDataset) -> None:
    for population in (split.background, split.target):
        images = population.images.numpy()
        flat = centres(images).repeat(16, axis=1).repeat(8, axis=2)
        differ = images[:, 0] != flat

        places = np.argwhere(differ.any(axis=0))
        assert {tuple(place) for place in places} <= set(product((0, 16), (0, 8, 16, 24)))
        assert images[:, 0, ::16, ::8].max() <= 50


def test_lower_half_of_background_is_black_but_for_the_noise(split: ContrastiveDataset) -> None:
    lower = split.background.images.numpy()[:, 0, 16:]

    assert not np.delete(lower, 0, axis=1).any()
    assert not np.delete(lower[:, 0], [0, 8, 16, 24], axis=1).any()


def test_images_are_grey_and_32_pixels_wide(file: DatasetFile) -> None:
    assert file.info.image_shape == (1, 32, 32)
    assert file.info.counts == {name: {"background": 450, "target": 450} for name in ("train", "test")}


def test_no_two_images_are_equal_within_or_across_splits(file: DatasetFile) -> None:
    parts = [part for name in ("train", "test") for part in file.read(name)[1:]]
    images = [image.tobytes() for part in parts for image in part.images.numpy()]

    assert len(images) == 4 * 450
    assert len(set(images)) == len(images)


def test_repeats_multiply_the_images(tmp_path: Path) -> None:
    file = build(tmp_path, repeats=3)

    assert file.info.counts["train"] == {"background": 675, "target": 675}
    assert set(Counter(rows(file.read("test").target.attributes, COMMON + SALIENT)).values()) == {3}


def test_without_noise_equal_values_give_equal_images(tmp_path: Path) -> None:
    target = build(tmp_path, noise=0).read("train").target

    assert len({image.tobytes() for image in target.images.numpy()}) == len(EVERYTHING)


def test_seed_changes_the_noise_alone(file: DatasetFile, tmp_path: Path) -> None:
    again, other = build(tmp_path / "again"), build(tmp_path / "other", seed=1)

    assert again.info.content_sha256 == file.info.content_sha256
    assert other.info.content_sha256 != file.info.content_sha256
    one, two = (item.read("train").target for item in (file, other))
    np.testing.assert_array_equal(centres(one.images.numpy()), centres(two.images.numpy()))
    assert (one.images != two.images).flatten(1).any(1).float().mean() > 0.99


@pytest.mark.parametrize("fields", [{"repeats": 0}, {"noise": 256}, {"noise": -1}, {"seed": -1}], ids=str)
def test_values_out_of_range_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        PlantedConfig(**fields)
