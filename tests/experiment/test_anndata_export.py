"""`cabench export`: vectors of a finished cell in the .h5ad file that its data came from."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.errors import UserError
from cabench.experiment.anndata_export import export_anndata
from cabench.experiment.encoding import EncodedImages, stored_vectors

CELLS = 90
TEXT = h5py.string_dtype()


def write_cells(path: Path) -> Path:
    """An .h5ad file of control, stimulated and unclear cells, of 12 genes."""
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["X"] = generator.normal(size=(CELLS, 12)).astype(np.float32)
        for name, rows in (("obs", CELLS), ("var", 12)):
            frame = file.create_group(name)
            frame.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
            frame.create_dataset("_index", data=[f"{name}-{row}" for row in range(rows)], dtype=TEXT)
            frame.attrs["column-order"] = np.empty(0)
        obs = file["obs"]
        obs.create_dataset("condition", data=["control", "stimulated", "unclear"] * 30, dtype=TEXT)
        obs.create_dataset("type", data=["b", "b", "b", "t", "t", "t"] * 15, dtype=TEXT)
        obs.attrs.create("column-order", ["condition", "type"], dtype=TEXT)
    return path


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return write_cells(tmp_path / "cells.h5ad")


def encoded(*names: str) -> EncodedImages:
    vectors = np.arange(2.0 * len(names), dtype=np.float32).reshape(-1, 2)
    return EncodedImages({"name": np.array(names, object)}, {"common": vectors, "salient": -vectors})


def test_a_cell_is_exported_by_the_command(cells: Path, cabench_here) -> None:
    def said(*words: str) -> str:
        done = cabench_here(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    choice = ("--population", "condition", "--background", "control", "--target", "stimulated", "--common", "type")
    said("data", "import", "--input", "cells.h5ad", *choice, "--output", "cells.h5")
    said("run", "--methods", "pca", "--datasets", "cells.h5", "--results", "results", "--seeds", "0", "--no-controls")
    (record,) = (cells.parent / "results").glob("*/pca/*/record.json")
    printed = said("export", "cells.h5ad", "--cell", str(record.parent))
    assert "30 of 90 rows of obs were not encoded; theirs are NaN." in printed
    vectors = stored_vectors(record.parent / "representations.h5")
    before = cells.read_bytes()
    with h5py.File(cells.parent / "cells.scored.h5ad") as file:
        assert dict(file["obsm"].attrs) == {"encoding-type": "dict", "encoding-version": "0.1.0"}
        for space, wanted in vectors.spaces.items():
            found = file[f"obsm/X_pca_{space}"]
            assert dict(found.attrs) == {"encoding-type": "array", "encoding-version": "0.2.0"}
            assert (found.shape, found.dtype) == ((CELLS, wanted.shape[1]), np.float32)
            rows = [int(name.partition("-")[2]) for name in vectors.rows["name"]]
            np.testing.assert_array_equal(found[:][rows], wanted)
            assert np.isnan(found[2::3]).all()
    said("run", "--methods", "cpca", "--datasets", "cells.h5", "--results", "results", "--seeds", "0", "--no-controls")
    (other,) = (cells.parent / "results").glob("*/cpca/*/record.json")
    collect = ("--output", "cells.scored.h5ad", "--force")
    said("export", "cells.scored.h5ad", "--cell", str(other.parent), *collect)
    with h5py.File(cells.parent / "cells.scored.h5ad") as file:
        assert set(file["obsm"]) == {f"X_{name}_{space}" for name in ("pca", "cpca") for space in vectors.spaces}
    assert "cells.scored.h5ad beside cells.h5ad" in " ".join(said("export", "--help").replace("│", " ").split())
    refused = cabench_here("export", "cells.h5ad", "--cell", str(record.parent))
    assert (refused.returncode, "exists already; give --force" in refused.stderr) == (2, True)
    for words in (("--output", "x.h5"), ("--cell", "absent")):
        refused = cabench_here("export", "cells.h5ad", "--cell", str(record.parent), *words)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert cells.read_bytes() == before


def test_vectors_that_are_there_are_replaced_when_asked_for(cells: Path) -> None:
    other = encoded("obs-4", "obs-1")
    export_anndata(cells, other, "pca", cells, replace=False)
    with pytest.raises(UserError, match=r"holds X_pca_common in obsm already; give --force"):
        export_anndata(cells, encoded("obs-5"), "pca", cells, replace=False)
    export_anndata(cells, encoded("obs-5"), "cpca", cells, replace=False)
    export_anndata(cells, encoded("obs-7", "obs-8"), "pca", cells, replace=True)
    with h5py.File(cells) as file:
        assert sorted(file["obsm"]) == ["X_cpca_common", "X_cpca_salient", "X_pca_common", "X_pca_salient"]
        assert np.flatnonzero(~np.isnan(file["obsm/X_pca_common"][:, 0])).tolist() == [7, 8]
        np.testing.assert_array_equal(file["obsm/X_pca_salient"][7:9], [[0, -1], [-2, -3]])


def test_repeated_names_are_matched_by_position(cells: Path) -> None:
    with h5py.File(cells, "r+") as file:
        file["obs/_index"][[3, 5]] = "same"
    said = export_anndata(cells, encoded("same (row 5)", "obs-0"), "pca", cells, replace=False)
    assert said[0] == "2 rows of obs share their names with others; they are matched by position."
    with h5py.File(cells) as file:
        assert file["obsm/X_pca_common"][5].tolist() == [0, 1]
        assert np.isnan(file["obsm/X_pca_common"][3]).all()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("obs-1", "1", "2"), "2 of the cell's 3 rows are not in obs of .*first '1'; name the .h5ad file"),
        (("obs-1", "obs-1"), "Some of the cell's rows have one name"),
    ],
)
def test_names_must_match(cells: Path, names: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        export_anndata(cells, encoded(*names), "pca", cells.with_name("new.h5ad"), replace=False)
    assert not cells.with_name("new.h5ad").exists()


def test_a_file_that_cannot_be_written_leaves_nothing(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(UserError, match="cannot be written to"):
        export_anndata(cells, encoded("obs-1"), "pca", cells.with_name("new.h5ad"), replace=False)
    assert [path.name for path in cells.parent.iterdir()] == ["cells.h5ad"]


def test_obsm_must_be_a_group(cells: Path) -> None:
    with h5py.File(cells, "r+") as file:
        file["obsm"] = np.zeros(CELLS)
    with pytest.raises(UserError, match="obsm is no group"):
        export_anndata(cells, encoded("obs-1"), "pca", cells, replace=False)
