"""Whatever stands in `contributions.h5`, every report can be written: with what it says, or as if it were missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabench import discovery
from cabench.data.dataset import Attribute, DatasetInfo
from cabench.evaluation.contributions import Contributions
from cabench.evaluation.encoded import EncodedPopulation, EncodedSplit
from cabench.experiment.contributions_file import NAME, write_contributions
from cabench.experiment.identity import identify, method_entry
from cabench.experiment.measuring import measure
from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore

TIMES = int(os.environ.get("CABENCH_FUZZ", "1"))
EXAMPLES = settings(settings.get_profile("cabench"), max_examples=50 * TIMES)
Attempt = Callable[[str, Path, Callable[[], Any]], Any]
WriteAll = Callable[[Sequence[Record], Path], None]

INFO = DatasetInfo(
    name="planted",
    builder_version=discovery.dataset_class("planted").version,
    config={},
    content_sha256="0" * 64,
    sources=("nothing",),
    image_shape=(4,),
    attributes=(Attribute("shape", "salient", "class", ("heart", "square")), Attribute("age", "common", "real")),
    counts={},
)
ROWS = 16  # of each population


def draw_split(generator: np.random.Generator, noise: float) -> EncodedSplit:
    parts = []
    for is_target in (False, True):
        shape, age = np.arange(ROWS) % 2, np.linspace(-1, 1, ROWS)
        spaces = {
            "common": np.stack([age, np.zeros(ROWS)], 1) + noise * generator.normal(size=(ROWS, 2)),
            "salient": np.stack([is_target * shape, is_target + 0 * age], 1) + noise * generator.normal(size=(ROWS, 2)),
        }
        values = {"shape": shape if is_target else np.full(ROWS, -1), "age": age}
        groups = np.array([f"{is_target}{row // 2}" for row in range(ROWS)], object)
        parts.append(EncodedPopulation({space: v.astype(np.float32) for space, v in spaces.items()}, values, groups))
    return EncodedSplit(*parts)


def draw_record(method: str, seed: int) -> Record:
    generator = np.random.default_rng([seed, len(method)])
    measured, _ = measure(draw_split(generator, 0.5), draw_split(generator, 0.5), INFO.attributes)
    cell = identify(method_entry(discovery.method_class(method)(), method), INFO, INFO.name, "quick", seed, "fp32")
    cost = {"train_s": 0.0, "parameters": 0, "images_seen": 0}
    return Record.of(cell, "ok", cost=cost, provenance={}, error=None, **measured)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of two methods under two seeds, which can be compared."""
    store = ResultsStore(tmp_path_factory.mktemp("around") / "results")
    for record in [draw_record(method, seed) for method in ("cpca", "mmcvae") for seed in (0, 1)]:
        record.folder(store.folder).mkdir(parents=True)
        store.replace_record(record)
    return store.folder


@pytest.fixture(scope="module")
def sound(results: Path) -> bytes:
    """The contributions to the first record's scores, as they were written."""
    return first(results).read_bytes()


def first(results: Path) -> Path:
    return min(results.rglob(NAME))


def report_all(attempt: Attempt, write_all: WriteAll, kind: str, results: Path) -> None:
    """Every report with the file as it is now; contributions are never a reason to refuse a record."""

    def read() -> bool:
        records = ResultsStore(results).records()
        write_all(records, results)
        return len(records) == 4

    assert attempt(kind, results.parent, read)


ARRAYS = ("values", "rows", "strata", "block_rows", "block_strata")
TYPES = ("f4", "f8", "f2", "i4", "i8", "u8", "?", ">i4", "c8", "S3")
FILLS = (0, 1, -1, 7, 2**31 - 1, -(2**31), np.nan, np.inf, -np.inf, 3e38)


@st.composite
def change(draw: st.DrawFn) -> Callable[[h5py.File], None]:
    """Something done to a file of contributions: other numbers, an array of another kind, one that leads elsewhere."""
    name = draw(st.sampled_from((*ARRAYS, *ARRAYS, "names", "new")))
    action = draw(st.sampled_from(("numbers", "numbers", "numbers", "array", "remove", "group", "link", "key", "text")))
    place, fill = draw(st.integers(0, 10**6)), draw(st.sampled_from(FILLS))
    whole, dtype = draw(st.booleans()), draw(st.sampled_from(TYPES))
    shape = draw(st.sampled_from(((), (0,), (16,), (3, 16), (16, 16), (2**40,), (30, 2**36))))
    texts = draw(st.lists(st.sampled_from(("", "a", "é", "\x1b[2J", "<script>alert(1)</script>")), max_size=20))
    link = draw(st.sampled_from((h5py.SoftLink("/values"), h5py.ExternalLink("other.h5", "/values"))))

    def do(file: h5py.File) -> None:
        if action == "key":
            file.attrs["key"] = draw_key(place, texts)
            return
        if action == "numbers":
            change_numbers(file[name], slice(None) if whole else place, fill)
            return
        if name in file:
            del file[name]
        if action == "array":
            chunks = (1,) * len(shape) if np.prod(shape, dtype=float) > 1e6 else None
            file.create_dataset(name, shape, dtype, chunks=chunks)
        elif action == "group":
            file.create_group(name)
        elif action == "link":
            file[name] = link
        elif action == "text":
            file.create_dataset(name, data=texts, dtype=h5py.string_dtype(), shape=(len(texts),))

    return do


def change_numbers(array: h5py.Dataset, place: int | slice, number: float) -> None:
    """Set one value, or all, of an array; one of an earlier change may be too large to be read."""
    if 0 < array.size < 10**4:
        values = array[:]
        whole = int(np.clip(np.nan_to_num(number), -(2**31), 2**31 - 1))
        values.flat[place if isinstance(place, slice) else place % values.size] = (
            number if values.dtype.kind == "f" else whole
        )
        array[:] = values


def draw_key(number: int, texts: list[str]) -> object:
    return (number, "0" * 64, np.arange(3), b"\xff", texts or "")[number % 5]


@EXAMPLES
@given(changes=st.lists(change(), min_size=1, max_size=3))
def test_a_changed_file(
    attempt: Attempt,
    write_all: WriteAll,
    results: Path,
    sound: bytes,
    changes: list[Callable[[h5py.File], None]],
) -> None:
    path = first(results)
    path.write_bytes(sound)
    with h5py.File(path, "r+") as file:
        for do in changes:
            try:
                do(file)
            except (TypeError, ValueError, KeyError, AttributeError, OverflowError):  # not what HDF5 can hold
                continue
    report_all(attempt, write_all, "contributions: values", results)


def test_a_file_of_other_blocks(attempt: Attempt, write_all: WriteAll, results: Path, sound: bytes) -> None:
    path = first(results)
    path.write_bytes(sound)
    (record, *_) = ResultsStore(results).records()
    whole = record.contributions
    assert whole is not None
    half = [Contributions(*(None if item is None else item[:8] for item in part)) for part in whole.scores]
    cut = whole._replace(scores=half, rows=whole.rows[:8], strata=whole.strata[:8], names=whole.names[:8])
    write_contributions(path, record.key, cut)
    assert ResultsStore(results).records()[0].contributions is not None
    report_all(attempt, write_all, "contributions: blocks", results)


@pytest.mark.parametrize("kind", ["another cell's", "a link to another cell's", "a link to itself", "a folder"])
def test_something_else_in_its_place(
    attempt: Attempt, write_all: WriteAll, results: Path, sound: bytes, kind: str
) -> None:
    path, other = sorted(results.rglob(NAME))[:2]
    path.unlink()
    if kind == "another cell's":
        path.write_bytes(other.read_bytes())
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path if kind == "a link to itself" else other)
    report_all(attempt, write_all, "contributions: files", results)
    record = ResultsStore(results).records()[0]
    assert record.contributions is None
    if path.is_dir():
        path.rmdir()
    ResultsStore(results).replace_record(record)
    path.unlink(missing_ok=True)
    path.write_bytes(sound)
    assert ResultsStore(results).records()[0].contributions is not None
