"""Which columns of a table are features."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from cabench.errors import UserError, unknown

IDENTIFIERS = "id|ids|uid|subject|patient|participant|donor|mouse|animal|sample|specimen|record|barcode|index|row"
_IDENTIFIER = re.compile(rf"(?:.*[\W_])?(?:{IDENTIFIERS})(?:[\W_]?(?:id|no|nr|num|number))?", re.IGNORECASE)
_CAMEL = re.compile(r".*[a-z](?:ID|Id)")
_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec"
_DATE = re.compile(
    rf"\d{{1,2}}[-./ ](?:{_MONTH})|(?:{_MONTH})[-./ ]\d{{1,4}}|\d{{1,4}}[-./]\d{{1,2}}[-./]\d{{1,4}}", re.I
)


def named(option: str, given: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The columns that an option names, in their order in the table.

    Args:
        option: such as "--ignore", for messages.
        given: names, and patterns as `fnmatch` has them; what is the name of a column is no pattern.
        columns: of the table.

    Raises:
        UserError: for a name or pattern that is no column's, with the closest match.
    """
    known, chosen = set(columns), set()
    for text in given:
        found = [text] if text in known else [name for name in columns if fnmatchcase(name, text)]
        if not found:
            raise unknown(f"column of {option}", text, columns)
        chosen.update(found)
    return [name for name in columns if name in chosen]


def selected(
    columns: Sequence[str], declared: Collection[str], features: Sequence[str], ignored: Collection[str]
) -> list[str]:
    """The columns that are features, in their order.

    Args:
        columns: of the table.
        declared: those with another meaning. Patterns pass them over.
        features: names and patterns; none = all columns.
        ignored: columns that are left out.

    Raises:
        UserError: as of `named`; for a column that is declared and a feature too.
    """
    for name in features:
        if name in declared and name in columns:
            raise UserError(f"The column {name!r} is declared, and named with --features too; choose one.")
    wanted = named("--features", features, columns) if features else columns
    others = {*ignored, *declared}
    return [name for name in wanted if name not in others]


def looks_like_identifier(column: str) -> bool:
    """Whether a column's name is one that identifiers have, such as MouseID, subject or sample_no."""
    return bool(_IDENTIFIER.fullmatch(column) or _CAMEL.fullmatch(column))


def looks_like_date(column: str) -> bool:
    """Whether a column's name is a date, as which spreadsheets store the names of some genes: SEPT2 becomes 2-Sep."""
    return bool(_DATE.fullmatch(column))
