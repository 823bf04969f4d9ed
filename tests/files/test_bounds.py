"""Files that are too large are refused in a sentence, before memory is taken for them; the page says all bounds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import cabench
from cabench.data.decoding import MOST_PIXELS
from cabench.data.download import MOST_CUTS
from cabench.data.importing.csv_files import open_table
from cabench.data.importing.images.pixels import LARGEST_FILE, MOST_DEEP_PIXELS
from cabench.data.patience import SLOWEST, SPAN_S, TIMEOUT_S
from cabench.datasets.sources import cifar10, label_tables
from cabench.datasets.sources.idx import read_idx
from cabench.errors import UserError
from cabench.experiment.asked import Asked
from cabench.experiment.locks import locks_of
from cabench.experiment.record import Record
from cabench.experiment.report_sign import is_signed
from cabench.files.bounds import LARGEST_SETTINGS, LARGEST_TEXT, MIB, TooLargeError, most_unpacked, read_whole
from cabench.files.hdf5 import LARGEST_RATIO, LONGEST_TEXT
from cabench.files.names import LONGEST_NAME
from cabench.gate.baseline import Baseline
from cabench.profiles import load_profile
from cabench.publication.layout import MOST_FILES
from cabench.publication.manifest import Manifest
from cabench.report import cell_files
from cabench.report.output import check_own
from cabench.report.published import read_published
from cabench.tuning.tuning_record import read_tuning_record

HUGE = 40 << 30
PAGE = Path(cabench.__file__).parents[1] / "docs" / "what-is-read.md"


def sparse(path: Path, size: int = HUGE) -> Path:
    """A file that says it is so long, and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert read_whole(tmp_path / "x", 3) == b"abc"
    with pytest.raises(TooLargeError, match="it has 3 bytes, and of its kind at most 2 are read"):
        read_whole(tmp_path / "x", 2)


def test_what_is_packed_may_unpack_to_64_mib_or_16_times_as_much() -> None:
    assert [most_unpacked(size) for size in (0, 4 * MIB, 5 * MIB)] == [64 * MIB, 64 * MIB, 80 * MIB]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("record.json", Record.load),
        ("baseline.json", Baseline.read),
        ("manifest.json", Manifest.read),
        ("planted/pca.json", lambda path: read_tuning_record(path.parents[1], path)),
        ("profile.toml", lambda path: load_profile(str(path))),
        ("profiles.json", lambda path: Asked.read(path.parent)),
        ("locks.toml", lambda path: locks_of(path.parent)),
        ("page.md", check_own),
        ("figures.csv", read_published),
        ("images.idx", read_idx),
        ("labels.csv", lambda path: label_tables.read_csv(path, ("ID",))),
    ],
)
def test_a_huge_file_is_refused_in_a_sentence(tmp_path: Path, name: str, read: Callable[[Path], Any]) -> None:
    with pytest.raises(UserError, match=f"{name}.*it has 42,949,672,960 bytes, and of its kind at most"):
        read(sparse(tmp_path / name))


def test_a_table_without_an_end_of_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has a line of more than 67,108,864 characters"):
        open_table(sparse(tmp_path / "table.csv"))


def test_the_huge_sign_of_a_report_is_not_believed(tmp_path: Path) -> None:
    sparse(tmp_path / ".report.md.sign")
    assert not is_signed(tmp_path / "report.md", "sign")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes by name here")
@pytest.mark.parametrize("size", [5, 10, 11])
def test_a_pipe_is_read_to_its_bound(tmp_path: Path, size: int) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(bytes(size),))
    writer.start()
    with nullcontext() if size <= 10 else pytest.raises(TooLargeError, match="it has 11 bytes"):
        assert read_whole(pipe, 10) == bytes(size)
    writer.join()


ROWS = {
    "| a record, its log and maps": f"{LARGEST_TEXT // MIB} MiB",
    "| a profile, and other TOML": f"{LARGEST_SETTINGS // MIB} MiB",
    "| the picture of a cell": f"{cell_files.MOST_PIXELS:,} pixels",
    "| an image of a folder": f"{MOST_PIXELS:,} pixels",
    "| an image of more than 8 bits": f"{MOST_DEEP_PIXELS:,} pixels",
    "| the file of an image": f"{LARGEST_FILE // MIB} MiB",
    "| arrays of an HDF5 file": f"{LARGEST_RATIO:,} times",
    "| a name or group in a data set": f"{LONGEST_TEXT:,} bytes",
    "| the spreadsheet of ODIR-5K": f"{label_tables._MOST_ROWS:,} rows and {label_tables._MOST_COLUMNS} columns",
    "| the archive of CIFAR-10's images": f"{cifar10._LARGEST_DICTIONARY // MIB} MiB to unpack it with",
    "| an archive of published results": f"{MOST_FILES:,} files",
    "| how long a server may send nothing": f"{TIMEOUT_S:.0f} seconds",
    "| how slowly a server may send": f"{SLOWEST:,} bytes a second, on average over {SPAN_S:.0f} seconds",
    "| how often a download": f"{MOST_CUTS} times",
    "| a name of a method": f"{LONGEST_NAME} letters",
}


@pytest.mark.parametrize(("row", "bound"), ROWS.items(), ids=ROWS)
def test_the_page_says_the_bounds(row: str, bound: str) -> None:
    (line,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(row)]
    assert bound in line
