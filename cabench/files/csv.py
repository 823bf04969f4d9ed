"""CSV that spreadsheets take for what it is: every text in quotes, and none that could be computed.

Quotes keep a text in one cell where the separator is a comma. A spreadsheet that splits lines at semicolons or tabs
would make cells of a text's parts, so that an apostrophe stands before whatever could begin a formula there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import pandas as pd

from cabench.files.names import printable

BLOCK = 4096  # rows: cells are texts, and take ten times what their numbers do
# The signs in full width and in small forms count as the plain ones do.
_FORMULA = re.compile(r"(^|[;\t\r\n])([^\S;\t\r\n]*[=+\-@＝＋－＠﹦﹢﹣﹫])")


def csv_lines(table: pd.DataFrame) -> Iterator[str]:
    """A table as CSV: a header of the columns' names, which are this program's own, and one row a line.

    Texts are in quotes and made inert, see `inert`; numbers stand as they are, and what is missing is empty.
    """
    yield ",".join(table.columns) + "\n"
    for start in range(0, len(table), BLOCK):
        block = table.iloc[start : start + BLOCK]
        for cells in zip(*(_cells(block[name]) for name in block), strict=True):
            yield ",".join(cells) + "\n"


def inert(text: str) -> str:
    """The text in one line or several, made safe for a spreadsheet: an apostrophe before what it would compute."""
    return _FORMULA.sub(r"\1'\2", printable(text))


def _cells(column: pd.Series) -> list[str]:
    if pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column):
        return [_quoted(item) if isinstance(item, str) else "" if pd.isna(item) else str(item) for item in column]
    return column.astype(str).where(column.notna(), "").tolist()


@lru_cache(maxsize=4096)  # of a column few texts are different
def _quoted(text: str) -> str:
    return '"' + inert(text).replace('"', '""') + '"'
