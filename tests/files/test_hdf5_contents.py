"""HDF5 files from outside: links, foreign values and impossible sizes are refused before anything of them is read."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.files.hdf5 import check_contents


def texts(*lines: str) -> np.ndarray:
    return np.array(lines, object)


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((6,), np.int64)
    layout[:] = h5py.VirtualSource("other.h5", "x", (6,))
    file.create_virtual_dataset("x", layout)


def nested(file: h5py.File) -> None:
    file["a/b/c/d/e/x"] = np.ones(3)


def circle(file: h5py.File) -> None:
    file["a"] = file["/"]


def many_ways(file: h5py.File) -> None:
    groups = [file.create_group(name) for name in "abc"]
    for outer, inner in pairwise(groups):
        for number in range(1000):
            outer[f"{number:03}"] = inner


def committed(file: h5py.File) -> None:
    file["x"] = np.dtype("f8")


REFUSED: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "a link inside": (lambda file: file.update({"x": h5py.SoftLink("/y")}), "/x is a link to somewhere else"),
    "a link outside": (lambda file: file.update({"x": h5py.ExternalLink("o.h5", "/")}), "/x is a link to somewhere"),
    "a virtual array": (virtual, "/x is kept in other files"),
    "an external array": (
        lambda file: file.create_dataset("x", (6,), "u1", external=[("/etc/hostname", 0, 6)]),
        "/x is kept in other files",
    ),
    "text": (lambda file: file.update({"x": np.array(["a"], object)}), "/x is no array of numbers, but object"),
    "references": (lambda file: file.create_dataset("x", (3,), h5py.ref_dtype), "/x is no array of numbers"),
    "raw bytes": (lambda file: file.create_dataset("x", (3,), "V8"), "/x is no array of numbers"),
    "records": (lambda file: file.create_dataset("x", (3,), [("a", "f8")]), "/x is no array of numbers"),
    "text under another name": (lambda file: file.update({"a/named": texts("a")}), "/a/named is no array of numbers"),
    "a table of text": (lambda file: file.update({"names": texts("a")[None]}), "/names is no array of numbers"),
    "texts of one length": (lambda file: file.update({"names": np.array([b"a"])}), "/names is no array of numbers"),
    "a long text": (lambda file: file.update({"names": texts("a" * 4097)}), "holds a text of more than 4,096 bytes"),
    "compressed texts": (
        lambda file: file.create_dataset("groups", data=texts("a"), compression="gzip"),
        "/groups holds texts that are not kept in one piece, uncompressed",
    ),
    "texts that nobody wrote": (
        lambda file: file.create_dataset("groups", (2**40,), h5py.string_dtype()),
        "/groups holds texts that are not kept in one piece",
    ),
    "one number": (lambda file: file.create_dataset("x", (), "f8"), r"/x is no array of numbers, but float64 of shape"),
    "more than there is": (
        lambda file: file.create_dataset("x", (2**40, 3), "u1", chunks=(64, 3)),
        r"it declares 3,298,534,883,328 bytes of arrays, far more than it has",
    ),
    "more than there is, together": (
        lambda file: [file.create_dataset(f"x{n}", (2**20,), "f8", chunks=(64,)) for n in range(20)],
        "far more than it has",
    ),
    "deep groups": (nested, "/a/b/c/d is neither an array nor a group of arrays"),
    "groups in a circle": (circle, "is a group that is there twice"),
    "groups on a thousand million ways": (many_ways, "/a/000/001 is a group that is there twice"),
    "chunks that are larger than the array": (
        lambda file: file.create_dataset(
            "x", (4,), "u1", maxshape=(None,), chunks=(3_500_000_000,), compression="gzip"
        ),
        "/x has chunks that unpack to 3,500,000,000 bytes at once, of 67,108,864 that are allowed",
    ),
    "chunks that each piece would unpack anew": (
        lambda file: file.create_dataset("x", (2**20, 1000), "u1", chunks=(2**20, 16), compression="gzip"),
        "/x has chunks that unpack to 1,048,576,000 bytes at once",
    ),
    "a type": (committed, "/x is neither an array nor a group of arrays"),
}


@pytest.mark.parametrize(("write", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_the_files_own_numbers_is_refused(
    tmp_path: Path, write: Callable[[h5py.File], object], words: str
) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write(file)
    with h5py.File(tmp_path / "x.h5") as file, pytest.raises(ValueError, match=words):
        check_contents(file)


def test_compressed_arrays_in_groups_are_allowed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a/b/x", (2**20,), "u1", compression="gzip", compression_opts=9)[:] = 0
        file["a/c"] = np.ones(3, bool)
    with h5py.File(tmp_path / "x.h5") as file:
        check_contents(file)


def test_names_and_groups_may_be_text(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/names"], file["groups"] = texts("", "é" * 2048), texts("g")
    with h5py.File(tmp_path / "x.h5") as file:
        check_contents(file)
        assert file["a/names"].asstr()[:].tolist() == ["", "é" * 2048]


def test_one_text_that_is_pointed_to_from_everywhere_counts_everywhere(tmp_path: Path) -> None:
    """Else a small file would be read into as much memory as it likes."""
    path, rows = tmp_path / "x.h5", 500_000
    with h5py.File(path, "w") as file:
        names = file.create_dataset("names", data=texts("a" * 4000, *[""] * (rows - 1)))
        start = names.id.get_offset()
    content = bytearray(path.read_bytes())
    content[start : start + 16 * rows] = content[start : start + 16] * rows
    path.write_bytes(content)
    with h5py.File(path) as file, pytest.raises(ValueError, match="/names declares more text than the file has"):
        check_contents(file)
