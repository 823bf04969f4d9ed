"""Cells of .h5ad files in every layout that is read, written here through h5py as anndata writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import sparse

from cabench.data.file import DatasetFile
from cabench.data.importing.h5ad import elements
from cabench.data.importing.h5ad import matrix as stored_matrix
from cabench.data.importing.h5ad.cells import Selection, import_h5ad
from cabench.data.importing.h5ad.elements import column, reading_anndata, row_names
from cabench.data.importing.labels import parse_columns
from cabench.data.importing.populations import Choice
from cabench.data.importing.splitting import Drawn

CELLS, GENES = 60, 7
NAMES = [f"cell-{row}" for row in range(CELLS)]
CONDITIONS = ["control", "stimulated", "unclear"]
CHOICE = Choice("condition", ("control",), ("stimulated",))
TEXT = h5py.string_dtype()


def counts() -> np.ndarray:
    """Whole numbers with many zeros; no column is constant."""
    return np.random.default_rng(0).poisson(0.7, (CELLS, GENES)) + np.eye(CELLS, GENES, dtype=np.int64)


def encode(item: Any, kind: str, version: str) -> Any:
    item.attrs.update({"encoding-type": kind, "encoding-version": version})
    return item


def put_texts(group: h5py.Group, name: str, texts: Sequence[str]) -> None:
    encode(group.create_dataset(name, data=list(texts), dtype=TEXT), "string-array", "0.2.0")


def put_array(group: h5py.Group, name: str, values: np.ndarray, **storage: Any) -> None:
    encode(group.create_dataset(name, data=values, **storage), "array", "0.2.0")


def put_nullable(group: h5py.Group, name: str, kind: str, values: Any, mask: Any) -> None:
    made = encode(group.create_group(name), kind, "0.1.0")
    made.create_dataset("values", data=values, dtype=TEXT if kind == "nullable-string-array" else None)
    made["mask"] = np.array(mask, bool)


def put_categories(group: h5py.Group, name: str, codes: np.ndarray, categories: Sequence[Any]) -> None:
    made = encode(group.create_group(name), "categorical", "0.2.0")
    made.attrs["ordered"] = False
    put_array(made, "codes", codes.astype(np.int8))
    if isinstance(categories[0], str):
        put_texts(made, "categories", categories)
    else:
        put_array(made, "categories", np.array(categories))


def put_matrix(group: h5py.Group, name: str, values: Any, stored: str) -> None:
    if stored == "dense":
        put_array(group, name, values)
        return
    if stored == "packed":
        put_array(group, name, values, chunks=(8, 3), compression="gzip", shuffle=True)
        return
    matrix = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[stored](values)
    made = encode(group.create_group(name), f"{stored}_matrix", "0.1.0")
    made.attrs["shape"] = matrix.shape
    for part in ("data", "indices", "indptr"):
        made.create_dataset(part, data=getattr(matrix, part), chunks=True, compression="lzf")


def put_frame(file: h5py.File, name: str, names: Sequence[str], index: str = "_index") -> h5py.Group:
    frame = encode(file.create_group(name), "dataframe", "0.2.0")
    frame.attrs["_index"] = index
    put_texts(frame, index, names)
    frame.attrs["column-order"] = np.empty(0)  # as anndata writes no columns
    return frame


def declare(frame: h5py.Group, *names: str) -> None:
    frame.attrs.create("column-order", list(names), dtype=TEXT)


def conditions() -> np.ndarray:
    return np.arange(CELLS) % 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of counts in X, with a condition, a donor and a boolean column of genes."""
    with h5py.File(tmp_path / "own.h5ad", "w") as file:
        encode(file, "anndata", "0.1.0")
        put_matrix(file, "X", counts().astype(np.float32), "csr")
        obs = put_frame(file, "obs", NAMES)
        put_categories(obs, "condition", conditions(), CONDITIONS)
        put_array(obs, "donor", np.arange(CELLS) // 4)
        declare(obs, "condition", "donor")
        var = put_frame(file, "var", [f"gene-{column}" for column in range(GENES)], "gene_ids")
        put_array(var, "variable", np.arange(GENES) % 2 == 0)
        declare(var, "variable")
        encode(file.create_group("uns"), "dict", "0.1.0")
        file["uns/colours"] = np.zeros(3, [("a", "i4"), ("b", "S3")])  # which nobody reads
    return tmp_path / "own.h5ad"


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What another process would have read, which takes half a second: the places that were asked for."""
    places: list[tuple[str, ...]] = []
    monkeypatch.setattr(elements, "try_reading", lambda path, wanted: places.append(wanted))
    return places


Change = Callable[[h5py.File], object]


def changed(path: Path, change: Change) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def imported(path: Path, selection: Selection | None = None, choice: Choice = CHOICE, **given: str) -> DatasetFile:
    chosen = selection or Selection(counts=True)
    return import_h5ad(path, choice, path.parent / "own.h5", parse_columns(**given), Drawn(), chosen)


def by_name(file: DatasetFile) -> dict[str, np.ndarray]:
    """Every row by its name."""
    found = {}
    for split in file.info.counts:
        for data, rows in zip(file.read(split)[1:], file.read_rows(split), strict=True):
            found |= dict(zip(rows.names, data.images.numpy(), strict=True))
    return found


def replace_x(values: Any, stored: str) -> Change:
    def change(file: h5py.File) -> None:
        del file["X"]
        put_matrix(file, "X", values, stored)

    return change


@pytest.mark.parametrize("stored", ["dense", "packed", "csr", "csc"])
@pytest.mark.parametrize("piece", [1, 500, 1 << 26])
@pytest.mark.parametrize("dtype", ["int32", "float32", "float64", "uint8", "bool"])
def test_a_matrix_is_made_dense_in_pieces(tmp_path: Path, monkeypatch, stored: str, piece: int, dtype: str) -> None:
    monkeypatch.setattr(stored_matrix, "PIECE", piece)
    values = counts().astype(dtype)
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        put_matrix(file, "X", values, stored)
        matrix = stored_matrix.open_matrix(tmp_path / "x.h5ad", file["X"], CELLS, GENES)
        rows, columns = np.random.default_rng(1).permutation(CELLS)[:20], np.array([5, 0, 2])
        made = matrix.dense(rows, columns)
    assert made.dtype == (np.float64 if dtype in ("int32", "float64") else np.float32)
    np.testing.assert_array_equal(made, values[rows][:, columns])


@pytest.mark.parametrize("stored", ["dense", "packed", "csr", "csc"])
def test_rows_are_those_of_the_matrix(path: Path, stored: str) -> None:
    file = imported(changed(path, replace_x(counts(), stored)))
    file.verify()
    assert file.info.are_counts
    rows = by_name(file)
    assert set(rows) == {name for row, name in enumerate(NAMES) if row % 3 < 2}
    for name, row in rows.items():
        np.testing.assert_array_equal(row, counts()[int(name.partition("-")[2])])


def test_unsorted_indices_and_repeats_are_summed_as_anndata_does(path: Path) -> None:
    def change(file: h5py.File) -> None:
        matrix = sparse.csr_matrix(counts())
        data, indices = np.append(matrix.data[::-1], 5), np.append(matrix.indices[::-1], matrix.indices[0])
        bounds = np.append(matrix.indptr[-1] - matrix.indptr[::-1], [])
        bounds[-1] += 1  # the last row holds one place twice
        for name, values in {"data": data, "indices": indices, "indptr": bounds.astype(np.int64)}.items():
            del file[f"X/{name}"]
            file[f"X/{name}"] = values
        file["X"].attrs["shape"] = np.array([CELLS, GENES])

    rows = by_name(imported(changed(path, change), choice=Choice("condition", ("control",), CONDITIONS[1:])))
    wanted = counts()[::-1].copy()
    wanted[-1, sparse.csr_matrix(counts()).indices[0]] += 5
    for number in range(CELLS):
        np.testing.assert_array_equal(rows[f"cell-{number}"], wanted[number])


def test_features_are_standardised_unless_they_are_counts(path: Path) -> None:
    file = imported(path, Selection())
    assert not file.info.are_counts
    train = [data.images.numpy() for data in file.read("train")[1:]]
    np.testing.assert_allclose(np.concatenate(train).mean(axis=0), 0, atol=1e-6)
    _, first, second, hint = file.info.notes
    assert hint.endswith("as 'donor' says: if that is what was sampled, import again with --group donor.")
    chosen = counts()[conditions() < 2]
    assert first == (
        f"X of own.h5ad was used: 40 cells x 7 genes, from 0 to {chosen.max()}, {(chosen == 0).mean():.0%} zeros, all "
        "whole numbers."
    )
    assert second == "X looks like counts; with --counts they are kept as such."


COLUMNS: dict[str, tuple[Callable[[h5py.Group], None], list[str]]] = {
    "whole numbers": (lambda obs: put_array(obs, "c", np.arange(CELLS) - 1), [str(n - 1) for n in range(CELLS)]),
    "singles": (
        lambda obs: put_array(obs, "c", np.where(np.arange(CELLS) % 2, 0.1, np.nan).astype(np.float32)),
        ["", "0.1"] * 30,
    ),
    "doubles": (lambda obs: put_array(obs, "c", np.full(CELLS, 1 / 3)), ["0.3333333333333333"] * CELLS),
    "truth": (lambda obs: put_array(obs, "c", np.arange(CELLS) % 2 == 0), ["True", "False"] * 30),
    "texts": (lambda obs: put_texts(obs, "c", ["é", " b", ""] * 20), ["é", "b", ""] * 20),
    "texts of one length": (lambda obs: put_array(obs, "c", np.array([b"ab", b"c"] * 30)), ["ab", "c"] * 30),
    "categories": (lambda obs: put_categories(obs, "c", np.arange(CELLS) % 3 - 1, ["x", "y"]), ["", "x", "y"] * 20),
    "categories of numbers": (
        lambda obs: put_categories(obs, "c", np.arange(CELLS) % 3 - 1, [10, 20]),
        ["", "10", "20"] * 20,
    ),
    "nullable numbers": (
        lambda obs: put_nullable(obs, "c", "nullable-integer", [1, 0] * 30, [False, True] * 30),
        ["1", ""] * 30,
    ),
    "nullable truth": (
        lambda obs: put_nullable(obs, "c", "nullable-boolean", [True, False] * 30, [False, True] * 30),
        ["True", ""] * 30,
    ),
    "nullable texts": (
        lambda obs: put_nullable(obs, "c", "nullable-string-array", ["a", ""] * 30, [False, True] * 30),
        ["a", ""] * 30,
    ),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_are_read_as_text(path: Path, kind: str) -> None:
    put, wanted = COLUMNS[kind]

    def change(file: h5py.File) -> None:
        put(file["obs"])
        declare(file["obs"], "condition", "donor", "c")

    with reading_anndata(changed(path, change), ()) as file:
        assert column(path, file["obs"], "c").tolist() == wanted


def test_nullable_texts_as_names_and_as_categories(path: Path) -> None:
    """As anndata 0.12 writes them when pandas infers strings."""

    def change(file: h5py.File) -> None:
        obs = file["obs"]
        del obs["_index"], obs["condition/categories"]
        put_nullable(obs, "_index", "nullable-string-array", NAMES, [False] * CELLS)
        put_nullable(obs["condition"], "categories", "nullable-string-array", CONDITIONS, [False] * 3)

    file = imported(changed(path, change))
    assert set(by_name(file)) == {name for row, name in enumerate(NAMES) if row % 3 < 2}


def test_a_column_with_a_slash_in_its_name(path: Path) -> None:
    def change(file: h5py.File) -> None:
        put_categories(file["obs"], "a/b", np.arange(CELLS) % 2, ["u", "v"])
        declare(file["obs"], "condition", "a/b")

    file = imported(changed(path, change), choice=Choice("a/b", ("u",), ("v",)))
    assert sum(part["target"] for part in file.info.counts.values()) == 30


def test_the_layout_of_anndata_0_7(tmp_path: Path) -> None:
    """Categories are what an attribute of the codes refers to; nothing but frames and sparse matrices says its kind."""
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        put_matrix(file, "X", counts().astype(np.float32), "csr")
        for name, index in (("obs", "index"), ("var", "index")):
            frame = encode(file.create_group(name), "dataframe", "0.1.0")
            frame.attrs["_index"] = index
            frame.create_dataset(index, data=NAMES if name == "obs" else list("abcdefg"), dtype=TEXT)
        obs = file["obs"]
        obs.create_dataset("__categories/condition", data=CONDITIONS, dtype=TEXT).attrs["ordered"] = False
        obs["condition"] = np.where(np.arange(CELLS) < 3, -1, conditions()).astype(np.int8)
        obs["condition"].attrs["categories"] = obs["__categories/condition"].ref
        obs.create_dataset("stage", data=["i", "ii"] * 30, dtype=TEXT)
        declare(obs, "condition", "stage")
        file["var"].attrs["column-order"] = np.empty(0)
    file = imported(tmp_path / "old.h5ad", common="stage")
    rows = by_name(file)
    assert set(rows) == {name for row, name in enumerate(NAMES) if row % 3 < 2 and row >= 3}
    np.testing.assert_array_equal(rows["cell-31"], counts()[31])
    assert "3 rows are left out, as 'condition' is empty." in file.info.notes
    assert file.info.attributes[0].classes == ("i", "ii")


def test_labels_and_groups_go_with_their_cells(path: Path) -> None:
    file = imported(path, group="donor")
    for split in file.info.counts:
        for rows in file.read_rows(split):
            assert [int(name.partition("-")[2]) // 4 for name in rows.names] == rows.groups.astype(int).tolist()


def put_layers(file: h5py.File) -> None:
    layers = encode(file.create_group("layers"), "dict", "0.1.0")
    put_matrix(layers, "doubled", 2 * counts(), "csc")
    put_matrix(layers, "logs", np.log1p(counts()).astype(np.float32), "dense")
    raw = encode(file.create_group("raw"), "raw", "0.1.0")
    put_matrix(raw, "X", np.hstack([counts(), counts()]) + 3, "csr")
    var = put_frame(raw, "var", [f"raw-{number}" for number in range(2 * GENES)])
    put_array(var, "first", np.arange(2 * GENES) < 3)
    declare(var, "first")


@pytest.mark.parametrize(
    ("selection", "wanted", "said"),
    [
        (Selection("doubled", counts=True), 2 * counts(), "layers/doubled"),
        (Selection("raw", counts=True), np.hstack([counts(), counts()]) + 3, "raw/X"),
        (Selection("raw", "first", counts=True), counts()[:, :3] + 3, "raw/X"),
        (Selection("", "variable", counts=True), counts()[:, ::2], "X"),
    ],
)
def test_layers_and_genes(path: Path, selection: Selection, wanted: np.ndarray, said: str) -> None:
    file = imported(changed(path, put_layers), selection)
    for name, row in by_name(file).items():
        np.testing.assert_array_equal(row, wanted[int(name.partition("-")[2])])
    assert file.info.notes[1].startswith(f"{said} of own.h5ad was used: 40 cells x {wanted.shape[1]} genes")


def test_another_process_reads_what_will_be_used(path: Path, tried: list[tuple[str, ...]]) -> None:
    changed(path, put_layers)
    imported(path)
    imported(path, Selection("raw", "first"))
    assert tried == [("obs", "var", "X", "var"), ("obs", "var", "raw/X", "raw/var")]


def test_names_that_repeat_are_told_apart_by_their_rows(path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["obs/_index"][[0, 3, 4]] = ["same"] * 3

    file = imported(changed(path, change))
    assert {"same (row 0)", "same (row 3)", "same (row 4)", "cell-1"} <= set(by_name(file))
    assert "3 cells share their names with others; these are told apart by their rows." in file.info.notes
    with reading_anndata(path, ()) as opened:
        assert row_names(path, opened["obs"])[1] == 3


def remove(*places: str) -> Change:
    def change(file: h5py.File) -> None:
        for place in places:
            del file[place]

    return change


def set_attribute(place: str, name: str, value: Any) -> Change:
    return lambda file: file[place].attrs.__setitem__(name, value)


def set_values(place: str, rows: Any, value: Any) -> Change:
    return lambda file: file[place].__setitem__(rows, value)


def replace_with(place: str, put: Callable[[h5py.File], object]) -> Change:
    def change(file: h5py.File) -> None:
        del file[place]
        put(file)

    return change


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((CELLS, GENES), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "x", (CELLS, GENES))
    file.create_virtual_dataset("X", layout)


@pytest.mark.parametrize(
    ("change", "given", "words"),
    [
        (remove("obs"), {}, "has no obs: it is HDF5 but not an AnnData file"),
        (remove("obs", "var"), {}, "has no obs and no var"),
        (
            set_attribute("obs", "encoding-version", "9.9"),
            {},
            "/obs is stored as dataframe 9.9; read are anndata 0.1.0, ",
        ),
        (set_attribute("X", "encoding-type", "bsr_matrix"), {}, "/X is stored as bsr_matrix 0.1.0"),
        (remove("X"), {}, "has no X. Name a layer with --layer: there is none"),
        (lambda f: (put_layers(f), remove("X")(f)), {}, "has no X. Name a layer with --layer: doubled, logs, raw"),
        (put_layers, {"selection": Selection("double")}, "did you mean 'doubled'"),
        (remove(), {"selection": Selection("raw")}, "has no raw matrix"),
        (set_attribute("X", "shape", (CELLS, 8)), {}, "X is 60 x 8 but there are 60 rows and 7 columns"),
        (remove(), {"choice": Choice("conditon", ("control",), ("b",))}, "did you mean 'condition'"),
        (remove(), {"choice": Choice("condition", ("controls",), ("b",))}, "did you mean 'control'"),
        (remove(), {"common": "age"}, "Known: condition, donor"),
        (set_values("obs/condition/codes", slice(None), -1), {}, "Known: none"),
        (set_values("obs/condition/codes", 0, 7), {}, "codes that name no category"),
        (replace_x(counts() - 0.5, "dense"), {}, "X has negative or fractional values, which are no counts"),
        (replace_x(-counts(), "dense"), {}, "X has negative or fractional values"),
        (remove(), {"selection": Selection(max_gb=1e-6)}, "40 x 7 is 1.12e-06 GB as float32; choose genes"),
        (set_values("X/data", 0, np.nan), {}, "X has 1 values that are not finite, first at cell cell-0, gene gene-"),
        (set_values("X/data", slice(0, 2), np.inf), {}, "X has 2 values that are not finite"),
        (remove(), {"selection": Selection(genes="vary")}, "Unknown column of var in"),
        (set_values("var/variable", slice(None), False), {"selection": Selection(genes="variable")}, "for no gene"),
        (
            replace_with("var/variable", lambda f: put_texts(f["var"], "variable", list("abcdefg"))),
            {"selection": Selection(genes="variable")},
            "--genes takes a column of true and false",
        ),
        (replace_with("obs/condition", lambda f: f["obs"].create_group("condition")), {}, "is stored as a group"),
        (
            replace_with("obs/condition", lambda f: put_array(f["obs"], "condition", np.zeros((CELLS, 2)))),
            {},
            "/obs/condition is no column of numbers",
        ),
        (
            replace_with("obs/donor", lambda f: put_array(f["obs"], "donor", np.zeros(9))),
            {"group": "donor"},
            "does not match length of index (60)",
        ),
        (replace_with("X", virtual), {}, "/X is kept in other files"),
        (replace_with("X", lambda f: f.__setitem__("X", h5py.ExternalLink("other.h5", "X"))), {}, "a link"),
        (replace_with("X", lambda f: put_array(f, "X", np.zeros((CELLS, GENES), complex))), {}, "no matrix of numbers"),
        (
            replace_with("X", lambda f: f.create_dataset("X", (2**40, GENES), "f4", chunks=(8, 7))),
            {},
            "it declares 30,786,325,57",
        ),
        (set_values("X/indices", 0, GENES), {}, "/X has indices beyond its shape"),
        (set_values("X/indices", 0, -1), {}, "/X has indices beyond its shape"),
        (set_values("X/indptr", 1, 2**30), {}, "/X/indptr does not rise"),
        (set_values("X/indptr", -1, 3), {}, "/X/indptr does not rise"),
        (replace_with("X/indices", lambda f: f.__setitem__("X/indices", np.zeros(3))), {}, "do not fit together"),
    ],
)
def test_what_does_not_fit_is_refused(path: Path, refusal, change: Change, given: dict[str, Any], words: str) -> None:
    changed(path, change)
    assert words in refusal(lambda: imported(path, **given))
    assert not (path.parent / "own.h5").exists()


def test_what_is_no_anndata_file_is_refused(tmp_path: Path, refusal) -> None:
    (tmp_path / "x.h5ad").write_bytes(b"PK")
    said = refusal(lambda: imported(tmp_path / "x.h5ad"))
    assert "is not an HDF5 file. A .zarr folder must be converted with anndata first." in said
    assert "There is no file" in refusal(lambda: imported(tmp_path / "absent.h5ad"))


def test_the_oldest_layout_is_refused(tmp_path: Path, refusal) -> None:
    """Of anndata 0.6, in which scanpy still ships 10x_pbmc68k_reduced.h5ad."""
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["X"] = np.ones((2, 2), np.float32)
        for name in ("obs", "var"):
            file[name] = np.array([(b"a", 0), (b"b", 1)], [("index", "S16"), ("louvain", "i1")])
    said = refusal(lambda: imported(tmp_path / "x.h5ad"))
    assert "was written by anndata before 0.7. Open it once with anndata and save it again." in said


def test_an_identifier_is_no_class(path: Path, refusal) -> None:
    def change(file: h5py.File) -> None:
        put_texts(file["obs"], "barcode", NAMES)
        declare(file["obs"], "condition", "barcode")

    assert "'barcode' are 40 different ones, too many for classes" in refusal(
        lambda: imported(changed(path, change), common="barcode")
    )


def test_an_identifier_that_cannot_be_read_stops_nothing(path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["obs"].create_group("sample")
        put_categories(file["obs"], "patient", np.full(CELLS, 7), ["a", "b"])  # codes of no category
        declare(file["obs"], "condition", "donor", "sample", "patient", "subject")  # the last is not there

    assert [note for note in imported(changed(path, change)).info.notes if "--group" in note] == [
        "Rows seem to belong together, as 'donor' says: if that is what was sampled, import again with --group donor."
    ]


def test_genes_that_tell_by_themselves_or_are_equal_are_said(path: Path) -> None:
    def change(file: h5py.File) -> None:
        values = counts().astype(np.float32)
        values[:, 2] = values[:, 1]
        values[:, 4] = 5 * conditions()
        del file["X"]
        put_matrix(file, "X", values, "csr")

    said = imported(changed(path, change), group="donor").info.notes
    assert "Features that are equal in every row count twice: gene-1 and gene-2." in said
    assert (
        "Features that by themselves tell background from target in every row: gene-4; leave them out with --genes if "
        "they are not measurements."
    ) in said


def test_the_command_says_what_was_used(path: Path, cabench_here) -> None:
    own = ("--input", str(path), "--population", "condition", "--background", "control", "--target", "stimulated")
    output = ("--output", str(path.parent / "own.h5"))
    done = cabench_here("data", "import", *own, *output, "--group", "donor", "--counts")
    assert done.returncode == 0, done.stderr
    assert "Note: X of own.h5ad was used: 40 cells x 7 genes" in done.stderr
    assert "Note: 20 rows are left out, as 'condition' is 'unclear'." in done.stderr
    assert DatasetFile.open(path.parent / "own.h5").info.are_counts
    done = cabench_here("data", "import", *own, *output, "--force", "--layer", "counts")
    assert (done.returncode, "Unknown layer" in done.stderr) == (2, True)


def test_memory_is_that_of_the_dense_array(path: Path) -> None:
    """A wide sparse matrix of which few genes are kept: nothing of its dense size is made."""
    import tracemalloc

    genes = 200_000

    def change(file: h5py.File) -> None:
        del file["X"], file["var"]
        values = sparse.random(CELLS, genes, 0.001, "csc", random_state=0, data_rvs=lambda n: np.ones(n)).tocsr()
        put_matrix(file, "X", values, "csr")
        var = put_frame(file, "var", [str(number) for number in range(genes)])
        put_array(var, "variable", np.arange(genes) < 5)
        declare(var, "variable")

    changed(path, change)
    with reading_anndata(path, ("X",)) as file:
        matrix = stored_matrix.open_matrix(path, file["X"], CELLS, genes)
        tracemalloc.start()
        made = matrix.dense(np.arange(CELLS), np.arange(5))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert made.shape == (CELLS, 5)
    assert peak < 1.5 * stored_matrix.PIECE
