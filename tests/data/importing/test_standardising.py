"""Features are standardised in double precision, by training rows and known values alone."""

from __future__ import annotations

import numpy as np
import pytest

from cabench import Examples, write_arrays
from cabench.data.importing.standardising import Standardisation
from cabench.data.preparation import Preparation

TRAINING = {"background": np.arange(1500), "target": np.arange(0, 1200, 2)}


def tables(offset: float = 0.0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    return {name: offset + generator.normal(size=(rows, 4)) for name, rows in (("background", 2000), ("target", 1300))}


def test_mean_and_deviation_are_those_of_the_known_training_values() -> None:
    given = tables()
    given["target"][5:900:7, 1] = np.nan
    learned = Standardisation.of(given, TRAINING)
    rows = np.concatenate([given[population][chosen] for population, chosen in TRAINING.items()])
    np.testing.assert_allclose(learned.mean, np.nanmean(rows, axis=0), rtol=1e-12)
    np.testing.assert_allclose(learned.scale, 1 / np.nanstd(rows, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(learned.known, (~np.isnan(rows)).sum(axis=0))
    scaled = learned.rows(given["target"])
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(given["target"]))


@pytest.mark.parametrize("offset", [1.7e9, -1e6, 1e12])
def test_values_of_large_offset_keep_their_information(offset: float) -> None:
    plain = Standardisation.of(tables(), TRAINING).rows(tables()["target"])
    moved = Standardisation.of(tables(offset), TRAINING).rows(tables(offset)["target"])
    np.testing.assert_allclose(moved, plain, atol=abs(offset) * 1e-15 + 1e-5)


def test_constant_columns_become_0_also_where_their_numbers_are_rounded() -> None:
    given = tables()
    for table in given.values():
        table[:, 0] = 1.7e9
        table[:, 1] = 0.3
        table[1::2, 1] = 0.1 + 0.2
        table[:, 2] = np.nan
    given["target"][1, 2] = 5.0  # for testing, where nothing was known in training
    scaled = Standardisation.of(given, TRAINING).rows(given["target"])
    np.testing.assert_array_equal(scaled[:, :3], 0)
    assert scaled[:, 3].std() > 0.9


def test_missing_values_stay_missing_in_the_file(tmp_path) -> None:
    given = tables()
    given["background"][3, 2] = given["target"][7, 0] = np.nan
    file = write_arrays(tmp_path / "mine.h5", *(Examples(table) for table in given.values()))
    file.verify()
    values = np.concatenate([part.images for split in ("train", "test") for part in file.read(split)[1:]])
    assert np.isnan(values).sum() == 2
    assert file.info.missing == 2 / values.size


def test_counts_are_kept_as_they_are(tmp_path, refusal) -> None:
    generator = np.random.default_rng(0)
    parts = [Examples(generator.poisson(3, (40, 6)).astype(np.float32)) for _ in range(2)]
    file = write_arrays(tmp_path / "counts.h5", *parts, counts=True)
    file.verify()
    assert file.info.are_counts
    read = np.concatenate([part.images for split in ("train", "test") for part in file.read(split)[1:]])
    given = np.concatenate([part.images for part in parts])
    np.testing.assert_array_equal(np.sort(read.sum(axis=1)), np.sort(given.sum(axis=1)))
    for value, shown in ((0.5, "0.5"), (-1, "-1"), (np.inf, "inf"), (2.0**25, "3.35544e")):
        wrong = parts[0].images.copy()
        wrong[4, 1] = value
        said = refusal(lambda wrong=wrong: write_arrays(tmp_path / "x.h5", Examples(wrong), parts[1], counts=True))
        assert said.startswith(f"Feature 1 of background row 4 is {shown}")
        assert "counts are whole numbers from 0" in said
    assert not (tmp_path / "x.h5").exists()


@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e6), (np.float64, 1.7e9), (np.float64, 1e-200)])
def test_columns_of_few_values_near_a_large_one_are_not_taken_for_constant(dtype, offset: float) -> None:
    step = {np.float32: 0.25, np.float64: 1e-3 if offset > 1 else 1e-200}[dtype]
    given = {name: (offset + step * (np.arange(40) % 2))[:, None].astype(dtype) for name in ("background", "target")}
    training = {name: np.arange(40) for name in given}
    learned = Standardisation.of(given, training)
    assert not learned.is_constant.any()
    np.testing.assert_allclose(learned.rows(given["target"])[:2, 0], [-1, 1], rtol=1e-4)


def test_counts_may_be_missing_and_become_rounded_means_for_methods_that_take_none(tmp_path) -> None:
    generator = np.random.default_rng(0)
    tables = generator.poisson(3, (2, 40, 4)).astype(float)
    tables[0, 3, 1] = tables[1, 5, 2] = np.nan
    file = write_arrays(tmp_path / "counts.h5", *map(Examples, tables), counts=True)
    file.verify()
    assert file.info.missing == 2 / tables.size
    train = file.read("train")
    prepared = Preparation.learned(train, ("counts",))
    given = prepared.split(train)
    values = np.concatenate([part.images.numpy() for part in given[1:]])
    assert (values == np.floor(values)).all()
    assert not np.isnan(values).any()
