"""Methods are given tables as they take them, learned from the training rows alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cabench
from cabench import Attribute, Examples
from cabench.data.file import DatasetFile
from cabench.data.preparation import Preparation, said_of
from cabench.errors import UserError
from cabench.experiment.encoding import encode_file
from cabench.experiment.fitted_rows import FittedRows
from cabench.methods.chance import Chance
from cabench.saving import load_method, save_method

KIND = Attribute("kind", "salient", "class", ("a", "b"))
CPU = torch.device("cpu")


def written(path, seed: int = 0, counts: bool = False) -> DatasetFile:
    """A table of 60 + 60 rows: counts, or numbers of which a tenth is missing."""
    generator = np.random.default_rng(seed)
    tables = generator.poisson(4, (2, 60, 5)).astype(float)
    if not counts:
        tables += generator.normal(size=tables.shape)
        tables[generator.random(tables.shape) < 0.1] = np.nan
    parts = Examples(tables[0]), Examples(tables[1], {"kind": np.arange(60) % 2})
    return cabench.write_arrays(path, *parts, [KIND], counts=counts)


def values(split) -> np.ndarray:
    return split.images.double().numpy()


def test_missing_values_become_means_of_the_training_rows(tmp_path) -> None:
    file = written(tmp_path / "mine.h5")
    train, test = file.read("train"), file.read("test")
    prepared = Preparation.learned(train, ("images", "tables"))
    means = np.nanmean(values(train), axis=0)
    for split in (train, test):
        expected = np.where(np.isnan(values(split)), means, values(split)).astype(np.float32)
        np.testing.assert_allclose(values(prepared.split(split)), expected, atol=1e-7)
        assert prepared.split(split).info.missing == 0
    assert said_of(train.info, ("tables",)) == (
        f"missing values ({train.info.missing:.1%}) filled by means of the training rows",
    )
    assert Preparation.learned(train, ("tables", "missing")) is None
    assert said_of(train.info, ("tables", "missing")) == ()


def test_counts_become_standardised_logarithms(tmp_path) -> None:
    file = written(tmp_path / "counts.h5", counts=True)
    train, test = file.read("train"), file.read("test")
    logs = np.log1p(values(train))
    prepared = Preparation.learned(train, ("tables",))
    expected = (np.log1p(values(test)) - logs.mean(axis=0)) / logs.std(axis=0)
    np.testing.assert_allclose(values(prepared.split(test)), expected, atol=1e-6)
    assert not prepared.split(test).info.are_counts
    assert Preparation.learned(train, ("counts",)) is None


@pytest.mark.parametrize("count", range(8))
def test_a_count_that_never_varies_becomes_0_whatever_other_rows_hold(tmp_path, count: int) -> None:
    tables = np.random.default_rng(0).poisson(4, (2, 101, 3)).astype(float)
    tables[:, :, 1] = count  # the mean of equal logarithms is another number, by rounding
    file = cabench.write_arrays(tmp_path / "counts.h5", *map(Examples, tables), counts=True)
    prepared = Preparation.learned(file.read("train"), ("tables",))
    rows = prepared.rows(torch.tensor([[4.0, 9.0, 4.0]]))
    assert rows[0, 1] == 0
    assert (rows[0, ::2].abs() < 3).all()


def test_images_and_whole_tables_are_given_as_they_are(planted_table) -> None:
    assert Preparation.learned(planted_table.read("train"), ("tables",)) is None


@pytest.mark.parametrize("counts", [False, True])
def test_a_run_prepares_a_table_says_so_and_encodes_new_rows_likewise(tmp_path, counts: bool) -> None:
    file = written(tmp_path / "mine.h5", counts=counts)
    results = cabench.run(
        "pca", str(file.path), seeds=1, results=tmp_path / "runs", controls=False, sets=["pca.components=3"]
    )
    (record,) = results.records
    assert record.status == "ok", record.error
    assert record.prepared == said_of(file.info, ("tables",))
    assert f"Given to all methods: {record.prepared[0]}." in str(results)
    folder = record.folder(tmp_path / "runs")
    method, fitted = load_method(folder), FittedRows.saved(folder)
    told = encode_file(method, file.info.image_shape, file, CPU, fitted)
    prepared = fitted.given(file.read("train"))
    expected = method.encode(prepared.background.images).salient.numpy()
    np.testing.assert_array_equal(told.spaces["salient"][: len(expected)], expected)
    other = written(tmp_path / "other.h5", counts=not counts)
    with pytest.raises(UserError, match="was fitted on"):
        encode_file(method, file.info.image_shape, other, CPU, fitted)


def test_how_rows_were_given_is_saved_with_a_method(tmp_path) -> None:
    save_method(Chance(), tmp_path / "plain.safetensors")
    assert FittedRows.saved(tmp_path / "plain.safetensors") == FittedRows()
    file = written(tmp_path / "mine.h5")
    fitted = FittedRows.of(Chance(), file, file.read("train"))
    save_method(Chance(), tmp_path / "kept.safetensors", beside=fitted.tensors())
    load_method(tmp_path / "kept.safetensors")
    read = FittedRows.saved(tmp_path / "kept.safetensors")
    assert read.tensors().keys() == fitted.tensors().keys()
    for name, tensor in fitted.tensors().items():
        torch.testing.assert_close(read.tensors()[name], tensor, rtol=0, atol=0, equal_nan=True)
    save_method(Chance(), tmp_path / "torn.safetensors", beside={"scale.mean": torch.zeros(2)})
    with pytest.raises(UserError, match="does not say all"):
        FittedRows.saved(tmp_path / "torn.safetensors")


def test_rows_of_another_table_are_brought_to_the_scale_of_the_first(tmp_path) -> None:
    generator = np.random.default_rng(0)
    tables = generator.normal(size=(2, 50, 4)) * [1, 10, 100, 0] + [0, 1e9, -5, 3]
    first = cabench.write_arrays(tmp_path / "first.h5", *map(Examples, tables))
    moved = [3 * table[::-1] + 7 for table in tables]
    second = cabench.write_arrays(tmp_path / "second.h5", *map(Examples, moved))
    fitted = FittedRows.of(Chance(), first, first.read("train"))
    mean, scale = (values.numpy() for values in fitted.scale)
    given = fitted.given_of(second, "test", Chance())
    rows = np.array([moved[1][int(name)] for name in np.arange(50)])
    expected = ((rows - mean) * scale).astype(np.float32)
    for row in given.target.images.numpy():
        assert np.abs(expected - row).max(axis=1).min() < 1e-4
    same = fitted.given_of(first, "test", Chance()).target.images
    np.testing.assert_allclose(same.numpy(), first.read("test").target.images.numpy(), atol=1e-5)


class Seeing(cabench.ContrastiveAnalysisMethod):
    """Keeps the rows it was fitted on, and gives whether values are missing as vectors."""

    name, version, Config = "seeing", 1, cabench.Settings
    takes = ("counts", "missing")

    def fit(self, data, context) -> None:
        self.seen = data.target.images.clone()

    def encode(self, images):
        missing = images.isnan().float()
        return cabench.Representation(missing + images.nan_to_num(), missing + images.nan_to_num())

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state) -> None:
        self.seen = state["seen"]


class SeeingTables(Seeing):
    name = "seeing_tables"
    takes = ("tables", "missing")


@pytest.mark.parametrize(("kind", "counts"), [(Seeing, True), (SeeingTables, False)])
def test_a_method_that_takes_what_a_table_holds_is_given_it(tmp_path, kind, counts: bool) -> None:
    file = written(tmp_path / "mine.h5", counts=counts)
    (record,) = cabench.run(kind, file.path, 1, results=tmp_path / "runs", controls=False).records
    assert record.prepared == ()
    kept = load_method(record.folder(tmp_path / "runs"), kind)
    np.testing.assert_array_equal(kept.seen.numpy(), file.read("train").target.images.numpy())


def test_a_method_of_counts_is_refused_on_other_data(tmp_path) -> None:
    file = written(tmp_path / "mine.h5")
    with pytest.raises(UserError, match=r"seeing takes counts, but .* holds a table of 5 features; choose"):
        cabench.run(Seeing, file.path, 1, results=tmp_path / "runs", controls=False)
    whole = np.random.default_rng(0).poisson(3.0, (2, 40, 5)).astype(float)
    file = cabench.write_arrays(tmp_path / "whole.h5", *(Examples(table) for table in whole))
    with pytest.raises(UserError, match="features; if these are counts, import them with --counts; choose"):
        cabench.run(Seeing, file.path, 1, results=tmp_path / "runs", controls=False)


class SeeingPositive(Seeing):
    name = "seeing_positive"
    takes = ("images", "non-negative")


def test_numbers_from_0_up_are_divided_by_their_deviation_but_not_centred(tmp_path) -> None:
    generator = np.random.default_rng(1)
    tables = generator.gamma(2.0, [1.0, 50.0, 1e-3], (2, 60, 3))
    file = cabench.write_arrays(tmp_path / "mine.h5", *(Examples(table) for table in tables))
    assert file.info.non_negative
    fitted = FittedRows.of(SeeingPositive(), file, file.read("train"))
    given = fitted.given(file.read("train")).target.images.numpy()
    scale = file.read_scale().scale.numpy()
    rows = (tables[1] * scale).astype(np.float32)
    assert given.min() >= 0
    for row in given:
        assert np.abs(rows - row).max(axis=1).min() < 1e-5
    assert said_of(file.info, SeeingPositive.takes) == ("features scaled as in the data set, not centred",)
    counts = written(tmp_path / "counts.h5", counts=True)
    assert said_of(counts.info, SeeingPositive.takes) == ()
    negative = cabench.write_arrays(tmp_path / "mine.h5", *(Examples(table - 1) for table in tables))
    said = "takes images and tables without negative values, but mine holds a table of . features that may be negative;"
    with pytest.raises(UserError, match=said):
        cabench.run(SeeingPositive, negative.path, 1, results=tmp_path / "runs", controls=False)


def test_tables_say_whose_common_space_is_improvised(tmp_path) -> None:
    file = written(tmp_path / "mine.h5")
    results = cabench.run("cpca,pca", file.path, 1, results=tmp_path / "runs", controls=False)
    assert "\ncpca: the common space is improvised, by the leading" in str(results)
