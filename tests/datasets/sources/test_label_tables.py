"""Tables of labels: what is no sound spreadsheet is refused, and how much it may unpack to."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from cabench.datasets.sources import label_tables
from cabench.errors import UserError


def test_a_sheet_gives_the_columns_asked_for(tmp_path: Path) -> None:
    pd.DataFrame({"ID": [1, 2], "N": [0, 1], "more": ["a", "b"]}).to_excel(tmp_path / "data.xlsx", index=False)
    assert label_tables.read_excel(tmp_path / "data.xlsx", ("ID", "N")).to_dict("list") == {"ID": [1, 2], "N": [0, 1]}


def test_a_sheet_that_unpacks_to_more_than_it_may_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "data.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/workbook.xml", "w") as member:
        for _ in range(257):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UserError, match=r"its part 'xl/workbook\.xml' unpacks to 269,484,032 bytes, of 262,144"):
        label_tables.read_excel(path, ("ID",))


def edited(path: Path, part: str, old: str, new: str) -> Path:
    """A sheet of two columns, and in one of its parts a text in place of another."""
    whole = path.with_name("whole.xlsx")
    pd.DataFrame({"ID": [1], "N": [0]}).to_excel(whole, index=False)
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in archive.namelist():
            content = archive.read(name).decode()
            assert name != part or old in content
            out.writestr(name, content.replace(old, new) if name == part else content)
    return path


SHEET = "xl/worksheets/sheet1.xml"
ENTITIES = "".join(f'<!ENTITY {inner} "{f"&{outer};" * 30}">' for outer, inner in zip("abcde", "bcdef", strict=True))


@pytest.mark.parametrize(
    ("part", "old", "new", "words"),
    [
        (SHEET, "</sheetData>", '<row r="2000000000"><c r="A2000000000"/></row></sheetData>', "more than 10,000 rows"),
        (SHEET, "</sheetData>", '<row r="9"><c r="ZZZ9"><v>1</v></c></row></sheetData>', "or 64 columns"),
        (
            SHEET,
            "<worksheet",
            f'<!DOCTYPE w [<!ENTITY a "{"x" * 999}">{ENTITIES}]><worksheet><v>&f;</v',
            "amplification",
        ),
        (
            SHEET,
            "<worksheet",
            '<!DOCTYPE w [<!ENTITY a SYSTEM "file:///etc/passwd">]><worksheet><v>&a;</v',
            "undefined",
        ),
        ("xl/styles.xml", "</cellXfs>", "<xf/>" * 60_000 + "</cellXfs>", "unpacks to 3"),
    ],
    ids=["a far row", "a far column", "entities of entities", "an entity from outside", "styles"],
)
def test_what_a_sheet_declares_is_not_made(tmp_path: Path, part: str, old: str, new: str, words: str) -> None:
    path = edited(tmp_path / "data.xlsx", part, old, new)
    assert path.stat().st_size < 1 << 17
    with pytest.raises(UserError, match=f"is damaged or not the table wanted .*{words}"):
        label_tables.read_excel(path, ("ID",))


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"PK\5\6" + bytes(18)])
def test_what_is_no_sheet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.xlsx").write_bytes(content)
    with pytest.raises(UserError, match="is damaged or not the table wanted"):
        label_tables.read_excel(tmp_path / "data.xlsx", ("ID",))
