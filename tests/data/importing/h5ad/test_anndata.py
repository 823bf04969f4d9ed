"""Files that anndata writes: imports equal what anndata reads, and vectors come back where scanpy looks for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from cabench.data.importing.h5ad import elements
from cabench.data.importing.h5ad.elements import column, column_names, reading_anndata, row_names
from cabench.data.importing.h5ad.matrix import open_matrix
from cabench.experiment.anndata_export import export_anndata
from cabench.experiment.encoding import EncodedImages

anndata = pytest.importorskip("anndata", reason="anndata is not installed, against which files are compared")
CELLS, GENES = 30, 6


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file with columns, matrices and layers of every kind, by the anndata and pandas that are installed."""
    monkeypatch.setattr(elements, "try_reading", lambda path, places: None)
    generator = np.random.default_rng(0)
    counts = generator.poisson(0.8, (CELLS, GENES))
    letters = pd.Series(list("abc") * 10)
    obs = pd.DataFrame(
        {
            "text": [f"t{row}" for row in range(CELLS)],
            "repeating": letters,
            "category": pd.Categorical(letters.mask(letters == "b"), categories=["c", "a"]),
            "number_category": pd.Categorical([1, 2, 3] * 10),
            "ordered": pd.Categorical(["low", "high"] * 15, categories=["low", "high"], ordered=True),
            "whole": np.arange(CELLS, dtype=np.int32),
            "single": generator.normal(size=CELLS).astype(np.float32),
            "double": np.where(np.arange(CELLS) % 4, generator.normal(size=CELLS), np.nan),
            "truth": np.arange(CELLS) % 2 == 0,
            "nullable_whole": pd.array([1, None, 3] * 10, dtype="Int64"),
            "nullable_truth": pd.array([True, None, False] * 10, dtype="boolean"),
            "nullable_text": pd.array(["x", None, "y"] * 10, dtype="string"),
            "nested/name": letters,
        }
    ).set_axis([f"cell-{row}" for row in range(CELLS)])
    var = pd.DataFrame({"variable": np.arange(GENES) % 2 == 0}, index=[f"gene-{column}" for column in range(GENES)])
    made = anndata.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs,
        var,
        layers={"dense": np.log1p(counts), "csc": sparse.csc_matrix(counts), "counts": counts},
    )
    made.raw = anndata.AnnData(np.hstack([counts, counts]).astype(np.float32), obs[[]])
    made.uns["nothing"] = {"a": None, "b": {"c": np.arange(3)}}
    with anndata.settings.override(allow_write_nullable_strings=True):
        made.write_h5ad(tmp_path / "own.h5ad", compression="gzip")
    return tmp_path / "own.h5ad"


def as_cell(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def test_columns_and_names_are_those_that_anndata_reads(written: Path) -> None:
    read = anndata.read_h5ad(written)
    with reading_anndata(written, ()) as file:
        assert row_names(written, file["obs"])[0].tolist() == read.obs_names.tolist()
        assert row_names(written, file["var"])[0].tolist() == read.var_names.tolist()
        assert column_names(file["obs"]) == list(read.obs)
        for name in read.obs:
            assert column(written, file["obs"], name).tolist() == [as_cell(value) for value in read.obs[name].array], (
                name
            )
        assert column(written, file["var"], "variable").tolist() == read.var["variable"].astype(str).tolist()


@pytest.mark.parametrize("place", ["X", "layers/dense", "layers/csc", "layers/counts", "raw/X"])
def test_matrices_are_those_that_anndata_reads(written: Path, place: str) -> None:
    read = anndata.read_h5ad(written)
    wanted = {"X": read.X, "raw/X": read.raw.X}.get(place)
    wanted = read.layers[place.partition("/")[2]] if wanted is None else wanted
    wanted = wanted.toarray() if sparse.issparse(wanted) else wanted
    with reading_anndata(written, (place,)) as file:
        matrix = open_matrix(written, file[place], *wanted.shape)
        rows, columns = np.arange(CELLS)[::-2], np.array([4, 1])
        np.testing.assert_array_equal(matrix.dense(rows, columns), wanted[rows][:, columns])


@pytest.mark.filterwarnings("error::anndata.OldFormatWarning")
def test_vectors_come_back_where_scanpy_finds_them(written: Path) -> None:
    rows = np.random.default_rng(1).permutation(CELLS)[:20]
    spaces = {
        space: np.random.default_rng(2).normal(size=(20, 3)).astype(np.float32) for space in ("common", "salient")
    }
    names = np.array([f"cell-{row}" for row in rows], object)
    export_anndata(written, EncodedImages({"name": names}, spaces), "pca", written.with_name("new.h5ad"), replace=False)
    before, after = (anndata.read_h5ad(path) for path in (written, written.with_name("new.h5ad")))
    for space, vectors in spaces.items():
        found = after.obsm[f"X_pca_{space}"]
        np.testing.assert_array_equal(found[rows], vectors)
        assert np.isnan(np.delete(found, rows, axis=0)).all()
        del after.obsm[f"X_pca_{space}"]
    assert json.dumps(str(before)) == json.dumps(str(after))
    pd.testing.assert_frame_equal(before.obs, after.obs)
    assert (before.X != after.X).nnz == 0
