"""Text tables: CSV files with a header, read row by row.

They are UTF-8, with or without a byte-order mark, or UTF-16 with one; fields are separated and quoted as in RFC 4180.
Blanks around cells are taken off. Blank lines, and what spreadsheets leave below the last row, are passed over. Each
row has as many fields as the header.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pandas as pd

from cabench.errors import UserError, unknown
from cabench.files.bounds import LARGEST_TEXT
from cabench.files.names import is_line

DELIMITERS = {",": ",", ";": ";", "tab": "\t", "\t": "\t"}
"""What `--delimiter` may say, and the character that it means."""
_CALLED = {",": "commas", ";": "semicolons", "\t": "tabs"}
_OPTION = {",": "--delimiter ,", ";": "--delimiter ';'", "\t": "--delimiter tab"}
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_PACKED = (
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"BZh",
    b"\xd0\xcf\x11\xe0",
    b"\xfd7zXZ",
)  # zip (so .xlsx), gzip, .xls and others
_NAMELESS = re.compile(r"Unnamed: \d+(\.\d+)?|")


@dataclass(frozen=True)
class TextTable:
    """A text table whose header has been read.

    Attributes:
        path: the file.
        columns: names of its columns. One without a name is called as by pandas, `Unnamed: k`, with its place k from 0.
        nameless: those of `columns` that have no name, or were written by pandas from one that had none.
        delimiter: the character between fields.
        encoding: of its text.
    """

    path: Path
    columns: tuple[str, ...]
    nameless: tuple[str, ...]
    delimiter: str
    encoding: str

    def rows(self) -> Iterator[list[str]]:
        """The cells of each row below the header.

        Raises:
            UserError: for a row with more or fewer fields than the header, an empty one among others, and what is no
                text.
        """
        rows = _rows(self.path, self.encoding, self.delimiter)
        next(rows)
        empty = 0
        for line, row in rows:
            if not any(row):
                empty = empty or line
                continue
            if empty:
                raise UserError(f"{self.path}: line {empty} is empty, with others below it; remove it.")
            if len(row) != len(self.columns):
                raise UserError(_torn(self.path, line, row, self.columns))
            yield row

    def places(self, names: Sequence[str]) -> list[int]:
        """The places of columns in a row, from 0.

        Raises:
            UserError: for a column that is not there, with the closest match.
        """
        require(self.path, self.columns, names)
        places = {name: place for place, name in enumerate(self.columns)}
        return [places[name] for name in names]

    def texts(self, names: Sequence[str]) -> pd.DataFrame:
        """Some columns of all rows, as text; "" = empty. Equal texts are kept once.

        Raises:
            UserError: where a column is not there, there are no rows, and as of `rows`.
        """
        places = self.places(names)
        kept: dict[str, str] = {}
        texts = [[kept.setdefault(row[place], row[place]) for place in places] for row in self.rows()]
        if not texts:
            raise UserError(f"{self.path} has no rows below its header.")
        return pd.DataFrame(texts, columns=list(names), dtype=object)


def open_table(path: Path, delimiter: str = "") -> TextTable:
    """Read the header of a text table.

    Args:
        path: the file.
        delimiter: a key of `DELIMITERS`; "" for tabs in .tsv files, else commas.

    Raises:
        UserError: for a file that cannot be read or is no text, and a header that is empty, repeats a name, or is
            separated otherwise.
    """
    if delimiter and delimiter not in DELIMITERS:
        raise UserError(f"--delimiter {delimiter!r} is not allowed; write one of , ; tab.")
    character = DELIMITERS[delimiter or ("tab" if path.suffix.lower() == ".tsv" else ",")]
    encoding = _encoding(path)
    _, header = next(_rows(path, encoding, character), (0, []))
    if not any(header):
        raise UserError(f"{path} is empty; save it as text with a header, and commas between columns.")
    _check_separated(path, header, character)
    columns = tuple(name or f"Unnamed: {place}" for place, name in enumerate(header))
    for name, count in Counter(columns).items():
        if count > 1:
            raise UserError(f"{path} has two columns called {name!r}; remove or rename one.")
        if not is_line(name):
            raise UserError(f"{path} has a column called {name!a:.60}; names are printable texts in one line.")
    nameless = tuple(name for name, given in zip(columns, header, strict=True) if _NAMELESS.fullmatch(given))
    return TextTable(path, columns, nameless, character, encoding)


def read_table(path: Path, delimiter: str = "") -> pd.DataFrame:
    """A small text table, all cells as text; "" = empty. Columns without name and content are left out.

    Raises:
        UserError: as of `open_table` and `TextTable.rows`; and for a table without rows.
    """
    table = open_table(path, delimiter)
    cells = table.texts(table.columns)
    return cells.drop(columns=[name for name in table.nameless if (cells[name] == "").all()])


def require(path: Path | str, columns: Sequence[str], names: Sequence[str]) -> None:
    """Raise UserError where a table lacks a column, with the closest match."""
    known = set(columns)
    for name in names:
        if name not in known:
            raise unknown(f"column of {path}", name, columns)


def names_in(text: str) -> tuple[str, ...]:
    """The names that an option lists, separated by commas; one that holds a comma stands in double quotes.

    Raises:
        UserError: for quotes that are not closed.
    """
    try:
        listed = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        raise UserError(f"{text!r:.200} is not understood ({error}); write names separated by commas.") from error
    if text.count('"') % 2:
        raise UserError(f"{text!r:.200} is not understood; a name in double quotes ends with one too.")
    return tuple(name.strip() for name in listed if name.strip())


def _encoding(path: Path) -> str:
    """The encoding of a text file, as its first bytes say."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be read twice
            raise UserError(f"{path} is not a regular file; name a CSV file.")
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a CSV file.") from error
    if head.startswith(_PACKED):
        raise UserError(f"{path} is a spreadsheet or an archive, not text; save or unpack it as a CSV file.")
    return next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), "utf-8")


def _rows(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row's last line in the file, from 1, and its cells without blanks around them; blank lines are left out."""
    try:
        with path.open(encoding=encoding, newline="") as file:
            reader = csv.reader(_lines(path, file), delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, [cell.strip() for cell in row]
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a CSV file.") from error
    except UnicodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text ({error.reason if isinstance(error, UnicodeDecodeError) else error}); it may be "
            "cp1252 or latin-1, as older programs write it: save it as UTF-8."
        ) from error
    except csv.Error as error:
        raise UserError(
            f"{path} cannot be read as a CSV file from line {reader.line_num} on ({error}); mend its quotes there."
        ) from error


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """The lines of an open file, which are read as a whole.

    Raises:
        UserError: for one that is too long.
    """
    while line := file.readline(LARGEST_TEXT + 1):
        if len(line) > LARGEST_TEXT:
            raise UserError(
                f"{path} has a line of more than {LARGEST_TEXT:,} characters; save it as text with one row a line."
            )
        yield line


def _check_separated(path: Path, header: Sequence[str], delimiter: str) -> None:
    """Refuse a header of one column that holds another separator."""
    others = [character for character in _CALLED if character in header[0]] if len(header) == 1 else []
    if others:
        likely = max(others, key=header[0].count)
        raise UserError(
            f"{path} has one column called {header[0]!r:.80} if {_CALLED[delimiter]} separate columns; declare "
            f"{_OPTION[likely]}, and --decimal , if its numbers have decimal commas."
        )


def _torn(path: Path, line: int, row: Sequence[str], columns: Sequence[str]) -> str:
    """What is wrong with a row of another width than the header."""
    said = f"{path}: line {line} has {len(row)} fields, and the header has {len(columns)}; "
    if len(row) == len(columns) + 1:
        if row[-1] == "":
            return said + "where a separator ends each row, let one end the header too, or remove them."
        return (
            said + "where the names of rows have no column name, as R writes them, begin the header with a separator."
        )
    return said + "complete it, put cells that hold the separator in quotes, or remove it."
