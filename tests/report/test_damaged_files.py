"""What stands beside a record and is damaged, or made to harm, counts as not kept; the page is written all the same."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cabench.errors import UserError
from cabench.experiment.record import Record
from cabench.report.cell_files import CellFiles, read_cell
from cabench.report.html import html_page
from cabench.report.output import END, START, write_report

MakeRecord = Callable[..., Record]

SPACES = '{"common": {"points": [[0, 1]], "explained": [1, 0]}, "salient": {"points": [[0, %s]], "explained": [1, 0]}}'


def huge_picture(side: int = 30_000) -> bytes:
    """A PNG of 30,000 x 30,000 pixels in a hundred bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def gif() -> bytes:
    written = io.BytesIO()
    Image.new("P", (4, 4)).save(written, format="gif")
    return written.getvalue()


def maps(value: str) -> str:
    return f'{{"attributes": [], "is_target": [0], "values": {{}}, "spaces": {SPACES % value}}}'


@pytest.fixture
def record(make_record: MakeRecord, tmp_path: Path) -> Record:
    record = make_record()
    record.folder(tmp_path).mkdir(parents=True)
    return record


def test_sound_maps_are_kept(record: Record, tmp_path: Path) -> None:
    (record.folder(tmp_path) / "maps.json").write_text(maps("2"), encoding="utf-8")
    assert read_cell(record, tmp_path).maps is not None


@pytest.mark.parametrize("name", ["log.jsonl", "maps.json", "pictures.png"])
def test_what_is_too_large_to_be_read_is_left_out(record: Record, tmp_path: Path, name: str) -> None:
    with (record.folder(tmp_path) / name).open("wb") as file:
        file.truncate(40 << 30)  # which takes no room
    assert read_cell(record, tmp_path) == CellFiles(None, None, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("maps.json", maps("NaN")),
        ("maps.json", maps('"2"')),
        ("maps.json", maps("[" * 9000 + "]" * 9000)),
        ("maps.json", maps("2").replace('"attributes": []', '"attributes": [{"name": "a"}]')),
        ("maps.json", "[]"),
        ("log.jsonl", "[" * 9000 + "]" * 9000),
        ("log.jsonl", '{"epoch": NaN, "terms": {"total": 1}}'),
        ("log.jsonl", '{"epoch": 1, "terms": {"total": 1e300}}'),
        ("log.jsonl", '{"epoch": 1' + "0" * 400 + ', "terms": {"total": 1}}'),
        ("pictures.png", huge_picture()),
        ("pictures.png", huge_picture(8193)),
        ("pictures.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("pictures.png", gif()),
    ],
)
def test_what_is_damaged_is_left_out(record: Record, tmp_path: Path, name: str, content: str | bytes) -> None:
    (record.folder(tmp_path) / name).write_bytes(content.encode() if isinstance(content, str) else content)
    assert read_cell(record, tmp_path) == CellFiles(None, None, [])
    assert html_page([record], tmp_path)


@pytest.mark.parametrize("name", ["maps.json", "log.jsonl", "pictures.png"])
def test_a_pipe_is_not_waited_for(record: Record, tmp_path: Path, name: str) -> None:
    os.mkfifo(record.folder(tmp_path) / name)
    assert read_cell(record, tmp_path) == CellFiles(None, None, [])


def test_training_that_took_no_time_has_no_place_on_a_logarithmic_axis(make_record: MakeRecord, tmp_path: Path) -> None:
    assert "Cost chart" in html_page([make_record(cost__train_s=0.1)], tmp_path)
    assert "Cost chart" not in html_page([make_record(cost__train_s=0.0)], tmp_path)


def test_a_chance_of_one_leaves_nothing_to_read(make_record: MakeRecord, make_score, tmp_path: Path) -> None:
    record = make_record(scores=(make_score("common", 1.0, chance=1.0), make_score("salient", 1.0, chance=1.0)))
    assert html_page([record], tmp_path)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_outside_the_markers_stay_what_they_are(tmp_path: Path, line_end: str) -> None:
    page = tmp_path / "page.md"
    before, after = f"\ufeff# A{line_end}{line_end}".encode(), f"{line_end}b".encode()
    page.write_bytes(before + START.encode() + b"old" + END.encode() + after)
    write_report(page, "new\n")
    assert page.read_bytes() == before + f"{START}\n\nnew\n\n{END}".encode() + after


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_written_over(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "report")
    with pytest.raises(UserError, match=r"cannot be written .*no regular file"):
        write_report(tmp_path / "report", "new\n")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert not (tmp_path / "report").is_file()
