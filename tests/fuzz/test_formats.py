"""Whatever bytes an .npz or .h5ad file holds, an import makes a sound data set of it, or none."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabench.data.checks import check_file
from cabench.data.file import DatasetFile
from cabench.data.importing.h5ad import elements
from cabench.data.importing.h5ad.cells import Selection, import_h5ad
from cabench.data.importing.images.npz import import_npz
from cabench.data.importing.images.reading import ImageForm
from cabench.data.importing.labels import parse_columns
from cabench.data.importing.populations import Choice
from cabench.data.importing.splitting import Drawn

TIMES = int(os.environ.get("CABENCH_FUZZ", "1"))
EXAMPLES = settings(settings.get_profile("cabench"), max_examples=60 * TIMES)
SLOW = settings(settings.get_profile("cabench"), max_examples=10 * TIMES)
Attempt = Callable[[str, Path, Callable[[], Any]], Any]
Damage = Callable[[bytes], st.SearchStrategy[bytes]]
ROWS = 12
TEXT = h5py.string_dtype()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("around") / "own"
    folder.mkdir()
    return folder


def npz(save: Callable[..., None]) -> bytes:
    generator, written = np.random.default_rng(0), io.BytesIO()
    arrays: dict[str, np.ndarray] = {}
    for part in ("train", "test"):
        arrays[f"{part}_images"] = generator.integers(0, 256, (ROWS, 8, 8), np.uint8)
        arrays[f"{part}_labels"] = np.arange(ROWS, dtype=np.uint8)[:, None] % 2
        arrays[f"{part}_sex"] = np.array(["f", "m", "m"] * 4)
    save(written, **arrays)
    return written.getvalue()


@st.composite
def with_a_damaged_array(draw: st.DrawFn, damage: Damage, content: bytes) -> bytes:
    """A sound archive, one of whose arrays is damaged."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(written, "w") as made:
        chosen = draw(st.sampled_from(archive.namelist()))
        for name in archive.namelist():
            array = archive.read(name)
            made.writestr(name, draw(damage(array[:128])) + array[128:] if name == chosen else array)
    return written.getvalue()


def h5ad(stored: str) -> bytes:
    written = io.BytesIO()
    with h5py.File(written, "w") as file:
        values = np.random.default_rng(0).poisson(1, (ROWS, 3)).astype(np.float32)
        if stored == "dense":
            file.create_dataset("X", data=values, compression="gzip")
        else:
            group = file.create_group("X")
            group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": values.shape})
            rows, columns = np.nonzero(values)
            group["data"], group["indices"] = values[rows, columns], columns
            group["indptr"] = np.searchsorted(rows, np.arange(ROWS + 1))
        for name, count in (("obs", ROWS), ("var", 3)):
            frame = file.create_group(name)
            frame.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "index"})
            frame.create_dataset("index", data=[f"{name}{row}" for row in range(count)], dtype=TEXT)
            frame.attrs["column-order"] = np.empty(0)
        obs = file["obs"]
        label = obs.create_group("label")
        label.attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0"})
        label["codes"] = np.arange(ROWS, dtype=np.int8) % 2
        label.create_dataset("categories", data=["0", "1"], dtype=TEXT)
        obs.create_dataset("sex", data=["f", "m", "m"] * 4, dtype=TEXT)
        obs.attrs.create("column-order", ["label", "sex"], dtype=TEXT)
    return written.getvalue()


NPZ = [npz(np.savez), npz(np.savez_compressed)]
H5AD = [h5ad("dense"), h5ad("csr")]
CHOICE = Choice("label", ("0",), ("1",))
COLUMNS = parse_columns(common="sex")


def imported(make: Callable[[Path], DatasetFile], output: Path) -> None:
    errors = check_file(make(output).path).errors
    output.unlink()
    assert errors == []


@EXAMPLES
@given(data=st.data())
def test_bytes_of_npz(attempt: Attempt, damage: Damage, folder: Path, data: st.DataObject) -> None:
    path = folder / "own.npz"
    path.write_bytes(data.draw(st.sampled_from(NPZ).flatmap(damage) | with_a_damaged_array(damage, NPZ[0])))

    def read(output: Path) -> DatasetFile:
        return import_npz(path, CHOICE, output, ImageForm(), COLUMNS, Drawn())

    attempt("npz", folder, lambda: imported(read, folder / "made.h5"))


def read_cells(path: Path) -> Callable[[Path], DatasetFile]:
    return lambda output: import_h5ad(path, CHOICE, output, COLUMNS, Drawn(), Selection())


@SLOW
@given(data=st.data())
def test_bytes_of_h5ad(attempt: Attempt, damage: Damage, folder: Path, data: st.DataObject) -> None:
    path = folder / "own.h5ad"
    path.write_bytes(data.draw(st.sampled_from(H5AD).flatmap(damage)))
    attempt("bytes of h5ad", folder, lambda: imported(read_cells(path), folder / "made.h5"))


PLACES = (
    *("X", "X/data", "X/indices", "X/indptr", "obs", "var", "obs/index", "obs/label", "obs/label/codes"),
    *("obs/label/categories", "obs/sex", "var/index"),
)
ATTRIBUTES = ("encoding-type", "encoding-version", "_index", "column-order", "shape", "categories")
VALUES = (
    *("categorical", "array", "csr_matrix", "csc_matrix", "nullable-integer", "0.1.0", "0.2.0", "label", "index", ""),
    *(3, -1, 2**62, 0.5, [1, 2], [2**40, 2**40], ["label", "sex"], ["x"], np.empty(0), b"\xff\xfe"),
)
ARRAYS = (
    *(np.zeros(0), np.zeros(ROWS), np.arange(ROWS), np.full(ROWS, np.nan), np.zeros((ROWS, 3)), np.float64(3)),
    *(np.full(ROWS, -5, np.int8), np.full(40, 2**63, np.uint64), np.zeros(ROWS, complex), np.zeros(ROWS, "S3")),
    *(np.zeros(ROWS, [("a", "i4")]), np.array(["\x1b[2J"] * ROWS, TEXT), np.full((ROWS, 3), 1e300), np.zeros((0, 3))),
)


@EXAMPLES
@given(data=st.data())
def test_elements_of_h5ad(attempt: Attempt, folder: Path, data: st.DataObject) -> None:
    """What is sound HDF5, and no AnnData, needs no other process."""
    path = folder / "own.h5ad"
    path.write_bytes(data.draw(st.sampled_from(H5AD)))
    with h5py.File(path, "r+") as file:
        for _ in range(data.draw(st.integers(1, 3))):
            place, kind = (
                data.draw(st.sampled_from(PLACES)),
                data.draw(st.sampled_from(("attribute", "array", "group"))),
            )
            if place not in file:
                continue
            if kind == "attribute":
                file[place].attrs[data.draw(st.sampled_from(ATTRIBUTES))] = data.draw(st.sampled_from(VALUES))
                continue
            declared = {name: value for name, value in file[place].attrs.items() if str(value).isprintable()}
            del file[place]
            if kind == "array":
                file[place] = data.draw(st.sampled_from(ARRAYS))
            elif data.draw(st.booleans()):
                file.create_group(place)
            if place in file and data.draw(st.booleans()):
                file[place].attrs.update(declared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elements, "try_reading", lambda path, places: None)
        attempt("elements of h5ad", folder, lambda: imported(read_cells(path), folder / "made.h5"))
