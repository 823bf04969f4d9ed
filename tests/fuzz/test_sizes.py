"""Whatever size a header declares, the file is read or refused, and memory is not taken for it beforehand."""

from __future__ import annotations

import io
import lzma
import os
import re
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import product, starmap
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from cabench.data.decoding import MOST_PIXELS
from cabench.data.importing.images.pixels import UnusableImageError, read_header, read_pixels
from cabench.datasets.sources import cifar10, label_tables
from cabench.errors import UserError
from cabench.experiment.contributions_file import read_contributions
from cabench.experiment.encoding import stored_vectors
from cabench.experiment.vectors_from_elsewhere import read_vectors
from cabench.files.hdf5 import UNREADABLE, check_contents, pieces, reading_hdf5
from cabench.profiles import load_profile

resource = pytest.importorskip("resource")
EXAMPLES = settings(settings.get_profile("cabench"), max_examples=30 * int(os.environ.get("CABENCH_FUZZ", "1")))
MIB = 1 << 20
ROOM = 200 * MIB  # that reading a file below a megabyte may take, beside what the process has
SECONDS = 10  # of processor time
GUARD = 2000 * MIB  # what a reader without bounds gets, so that it does not take the whole machine
Attempt = Callable[..., Any]

sides = st.sampled_from((1, 4096, 5000, 5793, 8192, 9000)) | st.integers(0, 2**31 - 1)
sizes = st.integers(0, 40) | st.integers(0, 31).map(lambda power: 2**power) | st.integers(0, 2**31 - 1)


@pytest.fixture
def tried(attempt: Attempt) -> Callable[..., None]:
    """Reads a file in a process of its own, and looks at the memory and the processor time that it took."""

    def take(kind: str, path: Path, read: Callable[[], Any], room: int = ROOM) -> None:
        attempt(kind, path.parent, lambda: read_apart(read, room))

    return take


def read_apart(read: Callable[[], Any], room: int) -> None:
    """Read in a fork of this process.

    Raises:
        UserError: where that did.
        AssertionError: where it raised anything else, ran out of memory, or took more memory or time than it may.
    """
    receiving, sending = os.pipe()
    if not (child := os.fork()):
        try:
            os.write(sending, said_by_child(read).encode(errors="backslashreplace"))
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving) as told:
        before, _, said = told.read().partition(" ")
    _, status, used = os.wait4(child, 0)
    assert (status, bool(said)) == (0, True), f"ended by signal {status}"
    kind, _, text = said.partition(": ")
    taken = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) - int(before)
    assert taken <= room, f"took {taken:,} bytes, and came to: {said}"
    assert used.ru_utime + used.ru_stime <= SECONDS
    assert not re.search("(?i)memory|alloc", said), said
    if kind == "UserError":
        raise UserError(text)
    assert kind == "read", said


def said_by_child(read: Callable[[], Any]) -> str:
    """The bytes that this process has at first, and what came of reading: "read: ", or an exception's kind and text."""
    before = psutil.Process().memory_info()
    with suppress(OSError, ValueError):  # some systems refuse to set the limit
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = before.vms + GUARD
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    try:
        read()
    except BaseException as error:  # whatever it is, the other process tells
        kind = "UserError" if isinstance(error, UserError) else type(error).__name__
        return f"{before.rss} {kind}: {str(error)[:10_000]}"
    return f"{before.rss} read: "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("around") / "data"
    folder.mkdir()
    return folder


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def read_image(path: Path) -> None:
    try:
        read_header(path)
        read_pixels(path)
    except UnusableImageError as error:
        raise UserError(f"{error.reason}; {error.advice}") from error


@EXAMPLES
@given(
    width=sides,
    height=sides,
    bits=st.sampled_from((1, 8, 16)),
    colours=st.sampled_from((0, 2, 3, 4, 6)),
    content=st.sampled_from((99, 1 << 26)),
)
def test_an_image_of_any_size(
    tried: Attempt, folder: Path, width: int, height: int, bits: int, colours: int, content: int
) -> None:
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(content), 1)), (b"IEND", b"")
    path = folder / "x.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(starmap(png_chunk, chunks)))
    tried("size: image", path, lambda: read_image(path), 16 * MOST_PIXELS)  # transparent ones are refused when decoded


def read_arrays(path: Path) -> None:
    try:
        with reading_hdf5(path) as file:
            for array in check_contents(file).values():
                for _ in pieces(array):
                    pass
    except UNREADABLE as error:
        raise UserError(f"{path}: {error}") from error


@EXAMPLES
@given(rows=sizes, chunk=st.tuples(sizes, sizes), compression=st.sampled_from((None, "gzip", "lzf")))
def test_an_array_of_any_size_in_any_chunks(
    tried: Attempt, folder: Path, rows: int, chunk: tuple[int, int], compression: str | None
) -> None:
    path = folder / "x.h5"
    with h5py.File(path, "w") as file:
        try:
            array = file.create_dataset(
                "x", (rows, 4), "u1", maxshape=(None, None), chunks=chunk, compression=compression
            )
            if np.prod(chunk, dtype=np.float64) < 1 << 26:
                array[:1] = 1
        except (ValueError, OSError, RuntimeError, TypeError):
            pass  # what HDF5 itself does not let anybody write
    tried("size: HDF5", path, lambda: read_arrays(path))


@EXAMPLES
@given(shape=st.lists(sizes, max_size=3), content=st.integers(0, 4096))
def test_vectors_of_any_size(tried: Attempt, folder: Path, shape: list[int], content: int) -> None:
    path = folder / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("train_common.npy", "w") as out:
        header = {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(out, header)
        out.write(bytes(content))
    tried("size: vectors", path, lambda: read_vectors(path))


@EXAMPLES
@given(rows=sizes, columns=sizes, padding=st.integers(0, 1 << 20))
def test_stored_vectors_of_any_size(tried: Attempt, folder: Path, rows: int, columns: int, padding: int) -> None:
    path = folder / "representations.h5"
    with h5py.File(path, "w") as file:
        for split, population in product(("train", "test"), ("background", "target")):
            file.create_dataset(f"{split}/{population}/common", (rows, columns), np.float32)
        file.create_dataset("padding", data=np.zeros(padding, np.uint8))
    tried("size: vectors of a cell", path, lambda: stored_vectors(path), ROOM + 50 * MIB)


@EXAMPLES
@given(scores=sizes, blocks=sizes, padding=st.integers(0, 1 << 20))
def test_contributions_of_any_size(tried: Attempt, folder: Path, scores: int, blocks: int, padding: int) -> None:
    path = folder / "contributions.h5"
    with h5py.File(path, "w") as file:
        file.attrs["key"] = np.bytes_("0" * 64)
        file.create_dataset("values", (scores, blocks), np.float32)
        for name in ("rows", "strata"):
            file.create_dataset(name, (scores, blocks), np.int32)
            file.create_dataset(f"block_{name}", (blocks,), np.int32)
        file.create_dataset("padding", data=np.zeros(padding, np.uint8))
    tried("size: contributions", path, lambda: read_contributions(path, "0" * 64, scores))


KINDS = (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE)


@EXAMPLES
@given(members=st.lists(st.tuples(st.sampled_from(KINDS), sizes | st.just(-512)), min_size=1, max_size=3))
def test_members_of_any_size(tried: Attempt, folder: Path, members: list[tuple[bytes, int]]) -> None:
    content = io.BytesIO()
    for kind, size in members:
        member = tarfile.TarInfo("train/cat/0.jpg")
        member.type, member.size = kind, size
        content.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    path = folder / "cifar10-images.tar.xz"
    path.write_bytes(lzma.compress(content.getvalue(), preset=0))
    tried("size: archive", path, lambda: cifar10.read(cifar10.locate(folder)))
    path.unlink()


@pytest.fixture(scope="module")
def sheet() -> bytes:
    content = io.BytesIO()
    book = Workbook()
    book.active.append(("ID", "N"))
    book.save(content)
    return content.getvalue()


@EXAMPLES
@given(row=sizes, column=st.text("AZ", min_size=1, max_size=4))
def test_a_sheet_with_a_cell_anywhere(tried: Attempt, folder: Path, sheet: bytes, row: int, column: str) -> None:
    path = folder / "x.xlsx"
    cell = f'<row r="{row}"><c r="{column}{row}"><v>1</v></c></row></sheetData>'.encode()
    with zipfile.ZipFile(io.BytesIO(sheet)) as given_, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in given_.namelist():
            out.writestr(name, given_.read(name).replace(b"</sheetData>", cell))
    tried("size: sheet", path, lambda: label_tables.read_excel(path, ("ID", "N")))


@EXAMPLES
@given(
    parts=st.integers(1, 100_000),
    part=st.sampled_from(("a", '"\\""', "''")),
    form=st.sampled_from(("{} = 1", "[{}]", "[[{}]]", "x = {{ {} = 1 }}")),
)
def test_a_key_of_any_length(tried: Attempt, folder: Path, parts: int, part: str, form: str) -> None:
    path = folder / "x.toml"
    path.write_text(form.format(".".join([part] * parts)), encoding="utf-8")
    tried("size: key", path, lambda: load_profile(str(path)))
