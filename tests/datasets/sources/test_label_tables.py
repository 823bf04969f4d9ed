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
    with pytest.raises(UserError, match="it unpacks to 269,484,032 bytes"):
        label_tables.read_excel(path, ("ID",))


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"PK\5\6" + bytes(18)])
def test_what_is_no_sheet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.xlsx").write_bytes(content)
    with pytest.raises(UserError, match="is damaged or not the table wanted"):
        label_tables.read_excel(tmp_path / "data.xlsx", ("ID",))
