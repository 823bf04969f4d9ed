"""Samples: which rows they take, that these are as the whole has them, and that nothing takes one for the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import Examples, write_arrays
from cabench.data.sample import sampled
from cabench.errors import UserError

MOST = {"train": 40, "test": 20}
KINDS = (
    Attribute("site", "common", "class", ("north", "south")),
    Attribute("age", "common", "real"),
    Attribute("lesion", "salient", "class", ("round", "long", "rare")),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> DatasetFile:
    """200 background and 400 target images, half of them tested; the first pixel of each is its number, modulo 256."""
    parts = []
    for count in (200, 400):
        number = np.arange(count)
        images = np.random.default_rng(count).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
        images[:, 0, 0, 0] = number % 256
        values = {"site": (number // 2) % 2, "age": number / 1.0}
        if count == 400:
            values["lesion"] = np.where(number < 300, 0, np.where(number < 380, 1, 2))
        names, groups = ([f"{kind}{i}" for i in number] for kind in ("image", "subject"))
        parts.append(Examples(images, values, groups, number % 2 == 1, names))
    return write_arrays(tmp_path_factory.mktemp("data") / "whole.h5", *parts, KINDS)


def test_a_sample_has_so_many_rows_of_each_population_and_says_so(whole: DatasetFile) -> None:
    part = sampled(whole, MOST)
    assert part.info.counts == {"train": {"background": 40, "target": 40}, "test": {"background": 20, "target": 20}}
    assert part.info.most_rows == MOST
    assert part.info.notes[-1] == (
        "Of each population, at most 40 rows of the train split and 20 rows of the test split are used, evenly spaced "
        "over its classes."
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_images_attributes_names_and_groups_stay_together(whole: DatasetFile, split) -> None:
    part, both = sampled(whole, MOST), zip(whole.read(split)[1:], whole.read_rows(split), strict=True)
    taken = zip(sampled(whole, MOST).read(split)[1:], part.read_rows(split), part.read_attributes(split), strict=True)
    for (images, rows), (found, told, attributes) in zip(both, taken, strict=True):
        where = [list(rows.names).index(name) for name in told.names]
        assert where == sorted(set(where)), "rows are in the order of the file, each once"
        np.testing.assert_array_equal(found.images.numpy(), images.images.numpy()[where])
        np.testing.assert_array_equal(told.groups, rows.groups[where])
        for name in ("site", "age", "lesion"):
            np.testing.assert_array_equal(found.attributes[name], images.attributes[name][where])
            np.testing.assert_array_equal(attributes[name], found.attributes[name])


def test_rows_are_spaced_over_all_and_every_class_keeps_its_share(whole: DatasetFile) -> None:
    background, target = sampled(whole, MOST).read("train")[1:]
    assert np.bincount(target.attributes["lesion"]).tolist() == [30, 8, 2]
    assert np.bincount(target.attributes["site"]).tolist() == [20, 20]
    assert np.bincount(background.attributes["site"]).tolist() == [20, 20]
    assert np.abs(np.histogram(background.attributes["age"], 4, (0, 200))[0] - 10).max() <= 1


def test_the_content_is_another_than_that_of_the_whole_and_of_other_samples(whole: DatasetFile) -> None:
    samples = [whole, sampled(whole, MOST), sampled(whole, {"train": 41, "test": 20}), sampled(whole, {"train": 40})]
    assert len({file.info.content_sha256 for file in samples}) == 4
    assert sampled(whole, MOST).info == sampled(whole, MOST).info


@pytest.mark.parametrize("most", [{}, {"train": 200, "test": 200}, {"train": 10_000, "validation": 10}])
def test_a_data_set_that_has_no_more_rows_is_taken_as_it_is(whole: DatasetFile, most: dict[str, int]) -> None:
    assert sampled(whole, most) is whole


def test_damage_to_the_whole_is_noticed_in_a_sample(whole: DatasetFile, tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "copy.h5"
    path.write_bytes(whole.path.read_bytes())
    part = sampled(DatasetFile.open(path), MOST)
    part.check_content()
    with h5py.File(path, "r+") as file:
        file["train/images"][1, 0, 3, 3] ^= 1
    with pytest.raises(UserError, match="is damaged"):
        part.check_content()
