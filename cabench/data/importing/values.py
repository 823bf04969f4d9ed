"""What a cell of a text table stands for: the rules for numbers, labels and identifiers, in one place.

Cells come without blanks around them. An empty cell is unknown everywhere. Other texts are unknown

- as `--missing` says, and then no others are, or
- among numbers, if they are one of `MARKS`, in upper or lower case. In a column of labels or identifiers such a text
  stops the import, which asks what it means: "None" may well be a treatment.

Numbers are decimal, with one decimal mark and no mark of thousands; true and false are 1 and 0. What is infinite, or
too large for float32, is refused. They are parsed by Python's `float`, which rounds exactly, so that equal files give
equal arrays under every version of pandas. Labels and identifiers are texts, as they stand: "001" is not "1". Texts
that only look different, such as "3" and "3.0", stop the import: nobody but the user knows whether they are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from decimal import Decimal
from shlex import quote
from typing import NamedTuple

import numpy as np

from cabench.data.importing.examples import LARGEST
from cabench.files.names import skeleton

PANDAS_MARKS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""What pandas takes for missing unless told otherwise (2.3 and 3.1 alike)."""
SHEET_ERRORS = ("#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!")
MARKS = frozenset(text.casefold() for text in (*PANDAS_MARKS, *SHEET_ERRORS, ".", "?", "-", "n.a.", "n.a"))
"""Texts that stand for a missing number, in lower case."""
WORDS = frozenset({"missing", "unknown"})
"""Texts that are asked about in columns of labels and identifiers as well."""
SENTINELS = (-9, -99, -999, -9999, 99, 999, 9999)
"""Numbers that often stand for a missing one."""
NEGATIVE_SENTINELS = frozenset(number for number in SENTINELS if number < 0)
"""Those of them that are asked about in columns of labels and identifiers, where 99 may well be a name."""
BOOLEANS = {"true": 1.0, "false": 0.0}
SHORT_FORMS = {"y": "yes", "n": "no", "m": "male", "f": "female"}
"""Labels that, beside the longer one, are taken for it; so are 1 and 0 beside true and false."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_SHORT_NUMBER = re.compile(r"[+-]?(?:\d{1,300}\.?\d{0,300}|\.\d{1,300})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[.,' \u00a0\u202f]\d{3})+(?:[.,]\d+)?", re.ASCII)
_PLAIN = frozenset("0123456789+-.eE")  # of these, `float` takes nothing but decimal numbers


class NotANumberError(Exception):
    """A cell that is no number.

    Attributes:
        index: of the cell, from 0.
        reason: what is wrong with it, and what to do.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index, self.reason = index, reason


class Reading(NamedTuple):
    """How the cells of a table are read.

    Attributes:
        missing: texts that stand for unknown beside the empty one; None for the usual ones.
        decimal: the decimal mark, "." or ",".
    """

    missing: tuple[str, ...] | None = None
    decimal: str = "."

    def is_unknown(self, label: str) -> bool:
        """Whether a label or identifier is not known."""
        return not label or self._is_mark(label)

    def is_doubtful(self, label: str) -> bool:
        """Whether a label or identifier may stand for unknown, and nobody said so."""
        if self.missing is not None or not label:
            return False
        return label.casefold() in MARKS | WORDS or _as_number(label, self.decimal) in NEGATIVE_SENTINELS

    def numbers(self, cells: Sequence[str]) -> np.ndarray:
        """Float64 (n,): the numbers that texts (n,) stand for, NaN = missing.

        Raises:
            NotANumberError: for the first text that stands for none.
        """
        if self.decimal == "." and not self.missing and _PLAIN.issuperset("".join(cells)):
            try:
                values = np.array([float(cell) if cell else np.nan for cell in cells])
                if not (np.abs(values) > LARGEST).any():
                    return values
            except ValueError:  # such as "-"
                pass
        return np.array([self._number(index, cell) for index, cell in enumerate(cells)], np.float64)

    def _is_mark(self, cell: str) -> bool:
        """Whether a cell is one of the texts that were declared as unknown, or the same number."""
        if not self.missing:
            return False
        if cell in self.missing:
            return True
        number = _as_number(cell, self.decimal)
        return number is not None and number in {_as_number(mark, self.decimal) for mark in self.missing}

    def _number(self, index: int, cell: str) -> float:
        if not cell or (cell.casefold() in MARKS if self.missing is None else self._is_mark(cell)):
            return np.nan
        text = cell if self.decimal == "." else cell.replace(".", "x").replace(",", ".")
        if _NUMBER.fullmatch(text):
            value = float(text)
            if abs(value) <= LARGEST:
                return value
            raise NotANumberError(index, "which is too large; change its unit")
        if cell.casefold() in BOOLEANS:
            return BOOLEANS[cell.casefold()]
        raise NotANumberError(index, self._reason(cell))

    def _reason(self, cell: str) -> str:
        if cell.casefold().lstrip("+-") in ("inf", "infinity"):
            return "which is infinite; write a number, or leave the cell empty where it is missing"
        other = {".": ",", ",": "."}[self.decimal]
        if re.fullmatch(rf"[+-]?\d*[{other}]\d+", cell, re.ASCII):
            mark = {".": "point", ",": "comma"}[other]
            thousands = " or a mark of thousands, which must not be there" if _GROUPED.fullmatch(cell) else ""
            return f"which has a decimal {mark}{thousands}; declare it with --decimal {other}"
        if _GROUPED.fullmatch(cell):
            return "which has marks of thousands; write numbers without them"
        if cell.casefold() in MARKS | WORDS:
            marks = dict.fromkeys([*(self.missing or ()), cell])
            return f"which may stand for a missing value; if it does, import again with {missing_option(marks)}"
        return ""


def missing_option(marks: Iterable[str]) -> str:
    """The option that declares texts as unknown, as a shell takes it."""
    return f"--missing {quote(','.join(marks))}"


def same_identifier(texts: Iterable[str], decimal: str = ".") -> tuple[str, str] | None:
    """Two different texts that may well be one: the same number, such as "3" and "03", or alike but for upper and lower
    case, blanks or how Unicode writes them. None where there are none.
    """
    texts = list(texts)
    return _first_alike(texts, lambda text: _as_number(text, decimal)) or _first_alike(texts, skeleton)


def same_label(texts: Iterable[str], decimal: str = ".") -> tuple[str, str] | None:
    """Likewise; labels may also be a short form and what it is short for, such as "y" and "yes", "1" and "true"."""
    texts = list(texts)
    known = {skeleton(text) for text in texts}
    longer = {short: word for short, word in SHORT_FORMS.items() if word in known}
    longer |= {number: word for word, number in (("true", "1"), ("false", "0")) if word in known}
    return same_identifier(texts, decimal) or _first_alike(
        texts, lambda text: longer.get(skeleton(text), skeleton(text))
    )


def _as_number(text: str, decimal: str = ".") -> Decimal | None:
    """The number that a short text is, if it is one."""
    text = text if decimal == "." else text.replace(".", "x").replace(",", ".")
    return Decimal(text) if _SHORT_NUMBER.fullmatch(text) else None


def _first_alike(texts: Iterable[str], key_of: Callable[[str], Hashable]) -> tuple[str, str] | None:
    seen: dict[Hashable, str] = {}
    for text in texts:
        key = key_of(text)
        if key is not None and seen.setdefault(key, text) != text:
            return seen[key], text
    return None


def said_of_sentinels(column: str, values: np.ndarray) -> list[str]:
    """A sentence for each number of a column, float64 (n,), that seems to stand for a missing one."""
    return [
        f"{column!r} is {number} in {count} rows, far outside the rest: if that stands for unknown, import again with "
        f"{missing_option([str(number)])}."
        for number, count in sentinels(values)
    ]


def sentinels(values: np.ndarray) -> list[tuple[int, int]]:
    """Which numbers seem to stand for missing ones, and how often each is there.

    They are one of `SENTINELS`, there at least twice, and further outside the rest than the rest is wide.

    Args:
        values: float64 (n,), NaN = missing.
    """
    suspects = np.isin(values, SENTINELS)
    if suspects.sum() < 2:
        return []
    rest = values[~suspects & ~np.isnan(values)]
    if not len(rest) or rest.min() == rest.max():
        return []
    low, high = 2 * rest.min() - rest.max(), 2 * rest.max() - rest.min()
    counts = {number: int((values == number).sum()) for number in SENTINELS}
    return [(number, count) for number, count in counts.items() if count > 1 and not low <= number <= high]
