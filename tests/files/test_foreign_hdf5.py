"""Places of HDF5 files that other programs wrote: all that can be read there is found, and nothing outside the file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.files.foreign_hdf5 import items_below
from cabench.hardening import trial


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/numbers"] = np.arange(3)
        file["a/b/texts"] = np.array(["x", "yy"], h5py.string_dtype())
        file["a/b/fixed"] = np.array([b"x", b"yy"])
        file["a/one"] = 3
        file["a/compound"] = np.zeros(2, [("x", "i4")])
        file["a/b/again"] = file["a"]  # a circle
        file["elsewhere"] = h5py.SoftLink("/nowhere")
    return tmp_path / "x.h5"


def test_groups_and_arrays_are_found_once(path: Path) -> None:
    with h5py.File(path, "r") as file:
        found = [item.name.rpartition("/")[2] for item in items_below(file, ("a", "a/b", "absent"))]
        assert sorted(found) in (["a", "b", "fixed", "numbers", "texts"], ["again", "b", "fixed", "numbers", "texts"])
        assert [item.name for item in items_below(file, ("a/numbers",))] == ["/a/numbers"]


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (lambda file: file.__setitem__("a/z", h5py.SoftLink("/a/numbers")), "/a is or holds a link"),
        (lambda file: file.__setitem__("a/z", h5py.ExternalLink("y.h5", "/")), "/a is or holds a link"),
        (lambda file: file.create_group("/".join(["a", *"bcdefghijk"])), "is nested too deep"),
        (lambda file: file.create_dataset("a/z", (2**40,), "f4", chunks=(8,)), "far more than it has"),
        (
            lambda file: file.create_dataset("a/z", (8,), "f4", external=[("y.bin", 0, 32)]),
            "/a/z is kept in other files",
        ),
    ],
)
def test_what_leads_outside_or_is_absurd_is_refused(path: Path, put, words: str) -> None:
    with h5py.File(path, "r+") as file:
        put(file)
    with h5py.File(path, "r") as file, pytest.raises(ValueError, match=words):
        items_below(file, ("a",))


def test_the_trial_reads_the_places_alone(path: Path) -> None:
    status = trial._exit_code(path, (0,), ("a",)), trial._exit_code(path, (0,), ("elsewhere/x",))
    assert status == (0, 0)
    assert trial._exit_code(path, (0,)) == 1  # as a data set file it is none
