"""A file over which a process dies, or would read without end, ends no run: another process reads it first."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.errors import UserError
from cabench.hardening import trial
from cabench.hardening.trial import try_reading


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a/x", data=np.arange(12).reshape(4, 3), compression="gzip", chunks=(1, 3))
    return tmp_path / "x.h5"


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Gives what the other process shall do with a file instead."""
    # A module of the same name that is found first there, as the path of this process is the other's as well.
    package = tmp_path / "first/cabench/hardening"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "first")
    return lambda code: (package / "trial.py").write_text(f"import os, resource, sys\n{code}\n")


def test_a_sound_file_passes_and_is_read_to_its_end(sound: Path) -> None:
    try_reading(sound)
    assert trial._exit_code(sound, (0,)) == 0


def test_a_process_that_dies_is_told_of(sound: Path, child) -> None:
    child("os.kill(os.getpid(), 11)")
    with pytest.raises(UserError, match=r"x\.h5 is damaged: a process that read it as a trial was ended by SIGSEGV\."):
        try_reading(sound)


def test_texts_that_all_point_to_one_are_told_of(tmp_path: Path) -> None:
    path, rows = tmp_path / "x.h5ad", 20_000
    with h5py.File(path, "w") as file:
        start = file.create_dataset("obs/x", data=["a" * 200_000, *[""] * (rows - 1)]).id.get_offset()
    content = bytearray(path.read_bytes())
    content[start : start + 16 * rows] = content[start : start + 16] * rows
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"unpacks to more than 201,326,592 bytes at once\. Write it again"):
        try_reading(path, ("obs",))


@pytest.mark.parametrize(
    ("message", "is_of_memory"),
    [
        ("Can't read data (memory allocation failed for raw data chunk)", True),
        ("Can't read data (unable to allocate chunk)", True),
        ("[Errno 13] Unable to open file (unable to open file: name = '/data/alloc/x.h5', errno = 13)", False),
        ("Unable to open file (unable to open file: name = '/data/(alloc)/x.h5', errno = 13)", False),
        ("/alloc is no array of numbers, but |O of shape ()", False),
    ],
)
def test_a_lack_of_memory_is_told_from_names(message: str, is_of_memory: bool) -> None:
    assert trial._is_of_memory(OSError(message)) == is_of_memory


def test_many_files_are_read_by_one_process(sound: Path, tmp_path: Path, child) -> None:
    (tmp_path / "y.h5").write_bytes(b"no HDF5 at all")
    assert trial.lived_through([tmp_path / "y.h5", sound])
    assert trial.lived_through([])
    child("if 'x.h5' in sys.stdin.read(): os.kill(os.getpid(), 11)")
    assert not trial.lived_through([tmp_path / "y.h5", sound])
    assert trial.lived_through([tmp_path / "y.h5"])


def test_reading_without_end_is_ended(sound: Path, child) -> None:
    child("resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass")
    with pytest.raises(UserError, match=r"was ended by SIG(XCPU|KILL)\."):
        try_reading(sound)


def test_the_processor_time_is_limited(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limit: limits.append((kind, limit[0])))
    monkeypatch.setattr(trial, "BYTES_PER_S", 8.0)
    monkeypatch.setattr(trial.time, "process_time", lambda: 0.0)
    trial._read(sound)
    assert [limit for kind, limit in limits if kind == resource.RLIMIT_CPU] == [10, 10 + 12 * 8 // 8]


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_what_the_library_refuses_is_left_to_the_reader(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.h5").write_bytes(content)
    try_reading(tmp_path / "x.h5")


def test_a_missing_file_is_left_to_the_reader(tmp_path: Path) -> None:
    try_reading(tmp_path / "absent.h5")


def test_a_file_is_tried_again_when_it_has_changed(sound: Path, child) -> None:
    child("sys.exit(0)")
    try_reading(sound)
    child("os.kill(os.getpid(), 11)")
    try_reading(sound)
    os.utime(sound, ns=(0, 0))
    with pytest.raises(UserError, match=signal.SIGSEGV.name):
        try_reading(sound)
