"""The part of a training split that settings are judged by: whole groups, both populations, and never a test row."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import Examples, write_arrays
from cabench.data.layout import SPLITS
from cabench.data.sample import SampleProvider, sampled
from cabench.data.tuning_split import TuningFile, TuningProvider, tuning_file
from cabench.datasets.planted import Planted
from cabench.errors import UserError

KINDS = (
    Attribute("site", "common", "class", ("north", "south")),
    Attribute("age", "common", "real"),
    Attribute("lesion", "salient", "class", ("round", "long", "rare")),
)
COUNTS = {"background": 200, "target": 400}


def examples(population: str, shape: tuple[int, ...]) -> Examples:
    """Rows with names of their own; three of each subject, who may be in both populations; every fifth is tested."""
    count = COUNTS[population]
    number = np.arange(count)
    generator = np.random.default_rng(count)
    if len(shape) == 1:
        rows = generator.normal(3, 2, (count, *shape)).astype(np.float32)
    else:
        rows = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
    subject = number // 3
    values = {"site": subject % 2, "age": 1.0 * number}
    if population == "target":
        values["lesion"] = np.where(subject % 10 < 6, 0, np.where(subject % 10 < 9, 1, 2))
    groups, names = [f"subject {i}" for i in subject], [f"{population} {i}" for i in number]
    return Examples(rows, values, groups, subject % 5 == 0, names)


def make(path: Path, shape: tuple[int, ...], title: str = "own data") -> DatasetFile:
    return write_arrays(path, *(examples(population, shape) for population in COUNTS), KINDS, title=title)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> DatasetFile:
    return make(tmp_path_factory.mktemp("data") / "images.h5", (1, 8, 8))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> DatasetFile:
    return make(tmp_path_factory.mktemp("data") / "table.h5", (5,))


@pytest.fixture(params=["images", "table", "sample"])
def whole(request: pytest.FixtureRequest, images: DatasetFile, table: DatasetFile) -> DatasetFile:
    return {"images": images, "table": table, "sample": sampled(images, {"train": 100, "test": 20})}[request.param]


def names_of(file: DatasetFile, split: str) -> list[list[str]]:
    """The names of background and of target rows."""
    return [rows.names.tolist() for rows in file.read_rows(split)]  # type: ignore[arg-type]


def test_both_parts_together_are_the_training_split_and_no_row_is_in_both(whole: DatasetFile) -> None:
    part = tuning_file(whole)
    for all_rows, train, held in zip(names_of(whole, "train"), *(names_of(part, s) for s in SPLITS), strict=True):
        assert not set(train) & set(held)
        assert sorted([*train, *held]) == sorted(all_rows)
        assert train == [name for name in all_rows if name in set(train)], "rows keep their order"


def test_no_row_of_the_test_split_can_be_reached(whole: DatasetFile) -> None:
    tested = {name for names in names_of(whole, "test") for name in names}
    assert tested
    assert not tested & {name for split in SPLITS for names in names_of(tuning_file(whole), split) for name in names}


@pytest.mark.parametrize("split", ["validation", "val", "all"])
def test_there_is_no_other_split(whole: DatasetFile, split) -> None:
    part = tuning_file(whole)
    for read in (part.read, part.read_attributes, part.read_rows):
        with pytest.raises(UserError, match=f"There is no {split} split of .* while settings are chosen"):
            read(split)


def test_groups_stay_whole_over_both_populations(whole: DatasetFile) -> None:
    train, held = (
        {group for rows in tuning_file(whole).read_rows(split) for group in rows.groups.tolist()} for split in SPLITS
    )
    assert train
    assert held
    assert not train & held


def test_about_a_fifth_of_every_population_and_salient_class_is_held_out(images: DatasetFile) -> None:
    part = tuning_file(images)
    for population, count in images.info.counts["train"].items():
        assert part.info.counts["test"][population] == pytest.approx(count / 5, abs=8), "whole groups of three"
        assert part.info.counts["train"][population] + part.info.counts["test"][population] == count
    lesions = images.read_attributes("train")[1]["lesion"], part.read_attributes("test")[1]["lesion"]
    every, held = (np.bincount(codes) for codes in lesions)
    np.testing.assert_allclose(held, every / 5, atol=8)


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_told_of_a_row_is_what_the_whole_tells(whole: DatasetFile, split) -> None:
    part = tuning_file(whole)
    read = zip(part.read(split)[1:], part.read_attributes(split), part.read_rows(split), strict=True)
    everything = zip(whole.read("train")[1:], whole.read_rows("train"), strict=True)
    for (found, attributes, rows), (population, told) in zip(read, everything, strict=True):
        where = [told.names.tolist().index(name) for name in rows.names]
        np.testing.assert_array_equal(found.images.numpy(), population.images.numpy()[where])
        np.testing.assert_array_equal(rows.groups, told.groups[where])
        for name in ("site", "age", "lesion"):
            np.testing.assert_array_equal(found.attributes[name], population.attributes[name][where])
            np.testing.assert_array_equal(attributes[name], found.attributes[name])


def test_all_rows_are_those_of_both_parts(whole: DatasetFile) -> None:
    part = tuning_file(whole)
    for split, rows in part.read_all_rows().items():
        assert [each.names.tolist() for each in rows] == names_of(part, split)


@pytest.mark.parametrize("split", SPLITS)
def test_the_description_counts_the_rows_that_are_read(whole: DatasetFile, split) -> None:
    part = tuning_file(whole)
    background, target = part.read(split)[1:]
    assert part.info.counts[split] == {"background": len(background), "target": len(target)}
    assert part.read(split).info is part.info


def test_columns_of_a_table_keep_the_scale_of_the_whole_training_split(table: DatasetFile) -> None:
    found, expected = tuning_file(table).read_scale(), table.read_scale()
    assert found is not None
    assert expected is not None
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    rows = np.concatenate([part.images.numpy() for s in SPLITS for part in tuning_file(table).read(s)[1:]])
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(0), 1, atol=1e-5)


def test_the_content_has_another_hash_and_tells_of_the_whole(images: DatasetFile, table: DatasetFile) -> None:
    sample = sampled(images, {"train": 100})
    files = [images, table, sample, *map(tuning_file, (images, table, sample))]
    assert len({file.info.content_sha256 for file in files}) == 6
    assert [tuning_file(file).info.validation_of for file in files[:3]] == [f.info.content_sha256 for f in files[:3]]
    assert images.info.validation_of == ""


def test_it_is_the_same_every_time_and_wherever_the_file_stands(images: DatasetFile, tmp_path: Path) -> None:
    again = make(tmp_path / "again.h5", (1, 8, 8))
    assert tuning_file(again).info.content_sha256 == tuning_file(images).info.content_sha256
    assert names_of(tuning_file(again), "test") == names_of(tuning_file(images), "test")


def test_it_does_not_depend_on_the_test_split(tmp_path: Path) -> None:
    """The same training rows beside other test rows, of other lesions."""
    files = []
    for seed in (0, 1):
        parts = [examples(population, (1, 8, 8)) for population in COUNTS]
        for part in parts:
            tested = np.flatnonzero(part.is_test)
            part.images[tested] = np.random.default_rng([seed, len(part)]).integers(0, 256, (len(tested), 1, 8, 8))
        parts[1].values["lesion"][parts[1].is_test] = seed
        files.append(tuning_file(write_arrays(tmp_path / f"{seed}.h5", *parts, KINDS)))
    one, other = files
    assert one.info.content_sha256 != other.info.content_sha256
    for split in SPLITS:
        for here, there in zip(one.read(split)[1:], other.read(split)[1:], strict=True):
            assert (here.images == there.images).all()
            np.testing.assert_equal(here.attributes, there.attributes)


def test_groups_are_taken_in_the_order_of_their_hashes(tmp_path: Path) -> None:
    """Another program can find the part again: rows without groups are groups of their own, named by their place."""
    parts = []
    for population, count in COUNTS.items():
        rows = np.random.default_rng(count).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
        parts.append(Examples(rows, {}, None, np.arange(count) % 4 == 0, [f"{population} {i}" for i in range(count)]))
    whole = write_arrays(tmp_path / "plain.h5", *parts)
    for population, held, every in zip(
        COUNTS, names_of(tuning_file(whole), "test"), names_of(whole, "train"), strict=True
    ):
        hashes = [hashlib.sha256(f"0/{population} {row}".encode()).hexdigest() for row in range(len(every))]
        assert sorted(np.argsort(hashes)[: round(len(every) / 5)]) == [every.index(name) for name in held]


def test_every_class_of_the_training_split_can_be_learned_and_measured(tmp_path: Path) -> None:
    """A lesion that two subjects have is on both sides; the other lesions keep their share."""
    parts = [examples(population, (1, 8, 8)) for population in COUNTS]
    for seed in range(5):
        train = sorted({group for group, tested in zip(parts[1].groups, parts[1].is_test, strict=True) if not tested})
        rare = np.random.default_rng(seed).choice(train, 2, replace=False)
        parts[1].values["lesion"][:] = np.where(np.isin(parts[1].groups, rare), 2, np.arange(400) // 3 % 2)
        whole = write_arrays(tmp_path / f"{seed}.h5", *parts, KINDS)
        for split in SPLITS:
            assert np.bincount(tuning_file(whole).read_attributes(split)[1]["lesion"], minlength=3).min() >= 3


def test_a_population_of_one_group_is_refused(tmp_path: Path) -> None:
    parts = [examples(population, (1, 8, 8)) for population in COUNTS]
    parts[0] = replace(parts[0], groups=["one" if not tested else "other" for tested in parts[0].is_test])
    whole = write_arrays(tmp_path / "few.h5", *parts, KINDS)
    with pytest.raises(UserError, match="has too few background groups for training to hold a fifth of them out"):
        tuning_file(whole)


def test_a_damaged_whole_is_refused(images: DatasetFile, tmp_path: Path) -> None:
    part = tuning_file(make(tmp_path / "damaged.h5", (1, 8, 8), title="another"))
    content = bytearray(part.path.read_bytes())
    content[len(content) // 2] ^= 255
    part.path.write_bytes(bytes(content))
    with pytest.raises(UserError, match="is damaged"):
        part.check_content()


class TestProvider:
    def test_what_another_provides_is_divided(self) -> None:
        provider = TuningProvider(Planted(Planted.Config(repeats=1)))
        obtained = provider.obtain(None)
        found = provider.find(None)
        assert isinstance(obtained, TuningFile)
        assert isinstance(found, TuningFile)
        assert found.info == obtained.info

    def test_a_sample_is_divided_after_it_was_drawn(self) -> None:
        sample = SampleProvider(Planted(Planted.Config(repeats=1)), {"train": 50, "test": 10})
        counts = TuningProvider(sample).obtain(None).info.counts
        assert {name: counts["train"][name] + counts["test"][name] for name in counts["train"]} == {
            "background": 50,
            "target": 50,
        }

    def test_what_is_not_there_yet_is_not_found(self) -> None:
        assert TuningProvider(Planted(Planted.Config(repeats=2, seed=77))).find(None) is None
