"""Whatever stands in a data set, in stored representations, in a saved method or in a source, it is read or refused."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from cabench.data.checks import check_file
from cabench.data.dataset import SPACES, Attribute
from cabench.data.file import DatasetFile
from cabench.data.layout import SPLITS
from cabench.data.overview import picture, value_table
from cabench.data.writing import DatasetWriter
from cabench.datasets import celeba
from cabench.datasets.sources import idx, label_tables
from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.hardening.trial import try_reading
from cabench.saving import load_method, save_method

TIMES = int(os.environ.get("CABENCH_FUZZ", "1"))
EXAMPLES = settings(settings.get_profile("cabench"), max_examples=30 * TIMES)
Attempt = Callable[[str, Path, Callable[[], Any]], Any]
Damage = Callable[[bytes], st.SearchStrategy[bytes]]

ATTRIBUTES = (
    Attribute("shape", "salient", "class", ("heart", "square")),
    Attribute("age", "common", "real"),
)
TABLE_PLACES = (
    *("train/features", "test/features", "train/attributes/age", "test/attributes/age", "test/is_target", "new"),
    *("train/images", "train/names", "test/groups"),
)
PLACES = (
    *("train", "test", "train/attributes", "test/attributes", "train/images", "test/images", "train/is_target"),
    *("train/attributes/shape", "test/attributes/shape", "train/attributes/age", "new", "train/new"),
    *("train/attributes/new", "train/names", "test/groups", "train/groups"),
)
STORED = (
    "train",
    "train/background",
    "train/background/common",
    "test/target/salient",
    "new",
    "train/target/new",
    "train/names",
)
TYPES = ("u1", "i8", "f8", "f4", "?", "i4", "u8", "c16", "S3", "V8", "f2", ">i8", "str", "vlen", "reference")
SHAPES = (
    (),
    (0,),
    (6,),
    (7,),
    (6, 1, 4, 4),
    (6, 3, 4, 4),
    (0, 1, 4, 4),
    (6, 2),
    (2**40,),
    (2**40, 1, 4, 4),
    (6, 2**33),
    (6, 2, 2),
)
DEEP = "[" * 3000 + "]" * 3000
values = (
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
    | st.integers(-(2**40), 2**40)
    | st.floats()
    | st.sampled_from(
        ("common", "salient", "class", "real", "{}", "[]", "null", '{"a": NaN}', "[1]", '[{"title": 1}]', DEEP)
    )
    | st.lists(st.integers(0, 9) | st.floats(), max_size=3)
    | st.just(["a", "\x1b[2J"])
    | st.just(b"\xff\xfe")
)


def draw_images(generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, 256, (3, 1, 4, 4), dtype=np.uint8)


def draw_features(generator: np.random.Generator) -> np.ndarray:
    return generator.normal(size=(3, 2)).astype(np.float32)


def write_dataset(path: Path, draw: Callable[[np.random.Generator], np.ndarray]) -> None:
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        writer = DatasetWriter(file)
        for split in SPLITS:
            with writer.split(split, 6, draw(generator).shape[1:], ATTRIBUTES) as out:
                for is_target in (False, True):
                    known = {"age": generator.normal(size=3)} | ({"shape": np.array([0, 1, 0])} if is_target else {})
                    out.append(draw(generator), is_target, known, ["a", "", "é"], ["g", "g", f"h{is_target}"])
        writer.finish("tiny", 1, {"seed": 0}, [{"title": "tiny"}])


Change = Callable[[h5py.File], None]


@st.composite
def change(draw: st.DrawFn, places: tuple[str, ...]) -> Change:
    """Something done to an HDF5 file: an item replaced, taken away or added, or an attribute of one set."""
    place = draw(st.sampled_from(places))
    action = draw(st.sampled_from(("array", "array", "attribute", "attribute", "remove", "group", "link", "virtual")))
    dtype, shape = draw(st.sampled_from(TYPES)), draw(st.sampled_from(SHAPES))
    target = draw(st.sampled_from(("/", "/train", "/train/images", "/nowhere", place)))
    kind = draw(st.sampled_from(("hard", "soft", "external")))
    name = draw(
        st.sampled_from(("schema", "name", "config", "sources", "notes", "classes", "kind", "space", "position"))
    )
    value = draw(values)
    at_root = draw(st.booleans())
    compression = draw(st.sampled_from((None, "gzip", "lzf")))

    def do(file: h5py.File) -> None:
        if action == "attribute":
            (file if at_root or place not in file else file[place]).attrs[name] = value
            return
        declared = dict(file[place].attrs) if place in file else {}
        if place in file:
            del file[place]
        if action == "array":
            types = {
                "str": h5py.string_dtype(),
                "vlen": h5py.vlen_dtype(np.int64),
                "reference": h5py.ref_dtype,
            }
            chunks = {"chunks": tuple(min(size, 4) or 1 for size in shape), "compression": compression} if shape else {}
            file.create_dataset(place, shape, types.get(dtype, dtype), **chunks).attrs.update(declared)
        elif action == "group":
            file.create_group(place).attrs.update(declared)
        elif action == "link":
            links = {"soft": h5py.SoftLink(target), "external": h5py.ExternalLink("other.h5", target)}
            file[place] = links[kind] if kind in links else file.get(target, file)
        elif action == "virtual":
            layout = h5py.VirtualLayout((6,), np.int64)
            layout[:] = h5py.VirtualSource("other.h5", "x", (6,))
            file.create_virtual_dataset(place, layout)

    return do


def changed(path: Path, changes: list[Change]) -> None:
    with h5py.File(path, "r+") as file:
        for one in changes:
            try:
                one(file)
            except (ValueError, TypeError, KeyError, OSError, RuntimeError):
                continue  # what HDF5 itself does not let anybody write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("around") / "data"
    folder.mkdir()
    write_dataset(folder / "sound.h5", draw_images)
    write_dataset(folder / "table.h5", draw_features)
    shutil.copy(folder / "sound.h5", folder / "changed.h5")
    return folder


def read_dataset(path: Path) -> None:
    sound = not check_file(path).errors
    try:
        file = DatasetFile.open(path)
    except UserError:
        assert not sound
        raise
    for split in SPLITS:
        data = file.read(split)
        assert data.background.images.dtype == (torch.float32 if file.info.is_table else torch.uint8)
        assert len(data.background) + len(data.target) == sum(file.info.counts[split].values())
        if sound:
            assert [len(rows.names) for rows in file.read_rows(split)] == list(file.info.counts[split].values())
    value_table(file)
    if not file.info.is_table:
        picture(file)
    if not sound:
        file.verify()


@EXAMPLES
@given(changes=st.lists(change(PLACES), min_size=1, max_size=2))
def test_a_changed_data_set(attempt: Attempt, folder: Path, changes: list[Change]) -> None:
    shutil.copy(folder / "sound.h5", folder / "changed.h5")
    changed(folder / "changed.h5", changes)
    attempt("data set: images", folder, lambda: read_dataset(folder / "changed.h5"))


@EXAMPLES
@given(changes=st.lists(change(TABLE_PLACES), min_size=1, max_size=2))
def test_a_changed_table(attempt: Attempt, folder: Path, changes: list[Change]) -> None:
    shutil.copy(folder / "table.h5", folder / "changed.h5")
    changed(folder / "changed.h5", changes)
    attempt("data set: table", folder, lambda: read_dataset(folder / "changed.h5"))


@st.composite
def flipped(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with some replaced by others, which leaves a file of HDF5 its structure."""
    changed = bytearray(content)
    for place in draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        changed[place] = draw(st.integers(0, 255))
    return bytes(changed)


def try_and_read_dataset(path: Path) -> None:
    try_reading(path)
    read_dataset(path)


@settings(EXAMPLES, max_examples=10 * TIMES)  # each starts a process
@given(data=st.data())
def test_a_data_set_of_other_bytes(attempt: Attempt, damage: Damage, folder: Path, data: st.DataObject) -> None:
    content = (folder / data.draw(st.sampled_from(("sound.h5", "table.h5")))).read_bytes()
    changed = flipped(content) | flipped(content) | damage(content) | st.binary(max_size=100)
    (folder / "changed.h5").write_bytes(data.draw(changed))
    attempt("data set: bytes", folder, lambda: try_and_read_dataset(folder / "changed.h5"))


@EXAMPLES
@given(changes=st.lists(change(STORED), min_size=1, max_size=2))
def test_changed_representations(attempt: Attempt, folder: Path, stored: Record, changes: list[Change]) -> None:
    store, file = ResultsStore(folder / "results"), DatasetFile.open(folder / "sound.h5")
    path = stored.folder(store.folder) / "representations.h5"
    with h5py.File(path, "w") as written:
        written.attrs["content_sha256"] = file.info.content_sha256
        for split in SPLITS:
            for population in ("background", "target"):
                for space in SPACES:
                    written[f"{split}/{population}/{space}"] = np.ones((3, 2), np.float32)
    changed(path, changes)
    attempt("representations", folder, lambda: store.read_representations(stored, file))


@pytest.fixture(scope="module")
def stored(folder: Path) -> Record:
    published = Path(__file__).parents[2] / "results" / "published"
    record = Record.load(next(published.glob("dsprites/pca/seed0-*")) / "record.json")
    (record.folder(folder / "results")).mkdir(parents=True)
    (record.folder(folder / "results") / "representations.h5").touch()
    return record


@pytest.fixture(scope="module")
def saved_method(folder: Path) -> bytes:
    from cabench.methods.pca import PCA

    method = PCA(PCA.Config(components=2))
    method.mean, method.directions = torch.zeros(16), torch.ones(16, 2)
    save_method(method, folder / "method.safetensors")
    content = (folder / "method.safetensors").read_bytes()
    (folder / "method.safetensors").unlink()
    return content


META = {"name": "pca", "version": 2, "config": {"components": 2}}
metas = st.sampled_from(
    (
        *({**META, "name": name} for name in (None, 1, [], "", "../pca", "sepclr", "\0")),
        *({**META, "version": version} for version in (None, "2", 1, 2.0, 2**70)),
        *({**META, "config": config} for config in (None, [], {"x": 1}, {"components": 0}, {"components": 2**70})),
        *(META, {}, [], None, 1, "pca", {**META, "more": 1}),
    )
)


@EXAMPLES
@given(data=st.data())
def test_a_changed_method(
    attempt: Attempt, damage: Damage, folder: Path, saved_method: bytes, data: st.DataObject
) -> None:
    (length,) = struct.unpack("<Q", saved_method[:8])
    header, tensors = json.loads(saved_method[8 : 8 + length]), saved_method[8 + length :]
    kinds = st.sampled_from(("sound", "meta", "text", "name", "bytes"))
    kind = data.draw(kinds)
    meta = data.draw(metas) if kind == "meta" else META
    text = data.draw(st.sampled_from((DEEP, "", "NaN", '{"a":1,"a":2}')) | st.text()) if kind == "text" else None
    header["__metadata__"] = {"cabench": json.dumps(meta) if text is None else text}
    if kind == "name":
        tensor = header.pop(data.draw(st.sampled_from(("mean", "directions"))))
        header[data.draw(st.sampled_from(("mean", "form", "network.x", "")))] = tensor
    written = json.dumps(header).encode()
    content = struct.pack("<Q", len(written)) + written + tensors
    path = folder / "method.safetensors"
    path.write_bytes(data.draw(damage(content)) if kind == "bytes" else content)
    attempt("saved method", folder, lambda: load_method(path))
    path.unlink()


IDX = b"\0\0\x08\x03" + struct.pack(">3I", 2, 2, 3) + bytes(range(12))


@EXAMPLES
@given(data=st.data(), dimensions=st.integers(0, 255), zipped=st.booleans())
def test_an_idx_file_of_other_bytes(
    attempt: Attempt, damage: Damage, folder: Path, data: st.DataObject, dimensions: int, zipped: bool
) -> None:
    content = data.draw(damage(IDX))
    path = folder / "images.idx"
    for number, bytes_ in enumerate((content, b"\0\0\x08" + bytes([dimensions]) + b"\0\0\0\1" * dimensions + b"\7")):
        path.write_bytes(gzip.compress(bytes_) if zipped and number else bytes_)
        attempt("IDX", folder, lambda: idx.read_idx(path))
    path.unlink()


CELEBA = b"1\nEyeglasses Wearing_Hat Male Young Smiling\n000001.jpg 1 -1 1 -1 1\n"


@EXAMPLES
@given(data=st.data(), suffix=st.sampled_from((".txt", ".csv")))
def test_an_attribute_table_of_other_bytes(
    attempt: Attempt, damage: Damage, folder: Path, data: st.DataObject, suffix: str
) -> None:
    path = folder / f"list_attr_celeba{suffix}"
    path.write_bytes(data.draw(damage(CELEBA) | st.binary()))
    attempt("attribute table", folder, lambda: celeba.read_attributes(path))
    path.unlink()


@pytest.fixture(scope="module")
def sheet(folder: Path) -> bytes:
    book = Workbook()
    for row in (("ID", "N"), (1, 0), (2, "x")):
        book.active.append(row)
    book.save(folder / "data.xlsx")
    content = (folder / "data.xlsx").read_bytes()
    (folder / "data.xlsx").unlink()
    return content


@EXAMPLES
@given(data=st.data())
def test_a_sheet_of_other_bytes(
    attempt: Attempt, damage: Damage, folder: Path, sheet: bytes, data: st.DataObject
) -> None:
    path = folder / "data.xlsx"
    path.write_bytes(data.draw(damage(sheet) | st.binary()))
    attempt("sheet", folder, lambda: label_tables.read_excel(path, ("ID", "N")))
    path.unlink()
