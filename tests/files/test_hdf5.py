"""HDF5 files appear whole or not at all, also where there is no room for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cabench.errors import StopRequested
from cabench.files import hdf5
from cabench.files.hdf5 import replacing_hdf5
from cabench.hardening.stopping import stopping_at


def test_the_file_holds_what_was_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    path, values = tmp_path / "file.h5", np.arange(10000.0).reshape(100, 100)
    path.write_text("old")
    with replacing_hdf5(path) as file:
        images = file.create_dataset("a/images", (100, 100), float)
        for row in range(0, 100, 10):
            images[row : row + 10] = values[row : row + 10]
        file.attrs["name"] = "ü"
        assert path.read_text() == "old"
        assert (images[:] == values).all(), "it can be read while it is written"
    with h5py.File(path) as file:
        assert (file["a/images"][:] == values).all()
        assert file.attrs["name"] == "ü"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    def fill() -> None:
        with replacing_hdf5(tmp_path / "file.h5") as file:
            file["x"] = np.zeros(1000)
            raise ValueError("broken")

    (tmp_path / "file.h5").write_text("old")
    with pytest.raises(ValueError, match="broken"):
        fill()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("write", range(1, 12))
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT], ids=["a request to stop", "Ctrl-C in a notebook"])
def test_a_signal_in_whichever_write_leaves_a_whole_file_or_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, write: int
) -> None:
    """The HDF5 library calls a function to write, and breaks when that raises what a signal handler does."""
    path, values, written = tmp_path / "file.h5", np.arange(3000.0), []

    def asked(data: object) -> memoryview:
        written.append(data)
        if len(written) == write:
            os.kill(os.getpid(), number)
        return memoryview(data)  # type: ignore[arg-type]

    def fill() -> None:
        with replacing_hdf5(path) as file:
            for name in "abc":
                file.create_dataset(name, data=values, chunks=(1000,), compression="gzip").attrs["text"] = "x" * 100
                file.flush()

    monkeypatch.setattr(hdf5, "memoryview", asked, raising=False)
    path.write_text("old")
    with pytest.raises((StopRequested, KeyboardInterrupt)), stopping_at(signal.SIGUSR1):
        fill()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(written) >= write
    if path.read_bytes() != b"old":
        with h5py.File(path) as file:
            assert all((file[name][:] == values).all() for name in "abc")
    assert list(tmp_path.iterdir()) == [path]


NO_ROOM = """
import os, resource, sys
from pathlib import Path
import numpy as np
from cabench.files.atomic import StorageError
from cabench.files.hdf5 import replacing_hdf5

path, rows, pieces = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
written = 0
try:
    with replacing_hdf5(path) as file:
        for piece in range(pieces):
            file.create_dataset(f"group/{piece}", data=np.ones(rows)).attrs["text"] = "x" * 100
            written += 1
except StorageError as error:
    print(error.strerror)
assert written < pieces or rows < 1000, "a builder goes on long after the disk is full"
assert os.listdir(path.parent) == ["file.h5"]
"""


@pytest.mark.parametrize(("rows", "pieces"), [(1_000_000, 3), (2000, 400), (100, 400), (1, 1000)])
def test_no_room_is_one_error_that_spares_the_process_and_the_old_file(tmp_path: Path, rows: int, pieces: int) -> None:
    (tmp_path / "file.h5").write_text("old")
    command = [sys.executable, "-c", NO_ROOM, str(tmp_path / "file.h5"), str(rows), str(pieces)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "File too large\n", "")
    assert (tmp_path / "file.h5").read_text() == "old"
