"""JSON: equal values are written as equal text; what is read is checked against the types that the reader needs."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from cabench.files.bounds import LARGEST_TEXT, read_whole
from cabench.files.regular import is_regular

LARGEST_INTEGER = 2**63 - 1
DEEPEST = 50  # levels of nesting in a file from outside
LARGEST_NUMBER = 1e100  # squares and sums of what is below it are finite

_Kind = TypeVar("_Kind")


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no white space: equal values give equal text. NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def read_json(path: Path, kind: type[_Kind]) -> _Kind:
    """The content of a JSON file; see `parse_json`.

    Raises:
        OSError: when the file cannot be read.
        ValueError: when it is no regular file but a link or a pipe, is too large, and as `parse_json` does.
    """
    return parse_json(_content(path).decode(), kind)


def read_json_lines(path: Path, kind: type[_Kind]) -> Iterator[_Kind]:
    """The values of a file that holds one JSON text per line, in order.

    Raises:
        OSError, ValueError: as `read_json` does, when the iteration comes to the bad line.
    """
    for line in _content(path).splitlines():
        yield parse_json(line.decode(), kind)


def parse_json(text: str, kind: type[_Kind]) -> _Kind:
    """The value that a JSON text holds.

    Args:
        text: one JSON value.
        kind: a dataclass, `TypedDict`, or other type that pydantic knows. Where it asks for floats or tuples, whole
            numbers and arrays are converted; nothing else is.

    Raises:
        ValueError: for text that is not JSON or of another kind, saying where; and, at any depth, for a repeated key,
            NaN and infinities, numbers beyond 1e100, and what `check_tree` refuses.
    """
    try:
        if not _is_sound(text):
            _look_closely(text)
        value: _Kind = _adapter(kind).validate_json(text, strict=True)  # type: ignore[arg-type]  # types are hashable
        return value
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place or 'content'}: {first['msg']}") from error


def _is_sound(text: str) -> bool:
    """Whether a quick look makes sure that a close one would find nothing; of a record it takes less than half as long.

    A repeated key is found by counting: of the colons in the text, those within its strings and one for each key are
    all that there are, unless a key, with what stood behind it, was dropped.
    """
    try:
        level = [from_json(text, allow_inf_nan=False)]  # refuses what is no valid Unicode
    except (ValueError, TypeError):
        return False
    if "\\u003" in text:  # a string may hold a colon that the text does not
        return False
    colons = text.count(":")
    for _ in range(DEEPEST + 1):
        inner: list[Any] = []
        texts: list[str] = []
        numbers: list[float] = []
        for item in level:
            kind = type(item)
            if kind is float or kind is int:
                numbers.append(item)
            elif kind is str:
                texts.append(item)
            elif kind in _NESTED:
                inner += item.values() if kind is dict else item
                if kind is dict:
                    texts += item
                    colons -= len(item)
        colons -= "".join(texts).count(":")
        if numbers and not -LARGEST_INTEGER <= min(numbers) <= max(numbers) <= LARGEST_INTEGER:
            return False
        if not inner:
            return colons == 0
        level = inner
    return False


def _look_closely(text: str) -> None:
    """Raise ValueError for text that is not JSON, or holds what `parse_json` refuses at any depth."""
    # Other readers may read a repeated key differently.
    check_tree(json.loads(text, object_pairs_hook=_without_repeats, parse_float=_number, parse_constant=_number))


def check_tree(value: object) -> None:
    """Raise ValueError for nested values that later code cannot handle safely.

    These are whole numbers beyond 64 bits, text that is no valid Unicode, and nesting deeper than 50.
    """
    level = [value]
    for _ in range(DEEPEST + 1):
        "".join([item for item in level if type(item) is str]).encode()  # raises UnicodeEncodeError, a ValueError
        if any(abs(item) > LARGEST_INTEGER for item in level if type(item) is int):
            raise ValueError("it holds a whole number of more than 64 bits")
        level = [item for outer in level if type(outer) in _NESTED for item in _inside(outer)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


_NESTED = (dict, list)


def _inside(outer: Any) -> Iterable[Any]:
    return (*outer, *outer.values()) if isinstance(outer, dict) else outer


def _content(path: Path) -> bytes:
    if os.path.lexists(path) and not is_regular(path):
        raise ValueError("it is a link" if path.is_symlink() else "it is no regular file")
    return read_whole(path, LARGEST_TEXT)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        ((repeated, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {repeated!r} is there twice")
    return content


def _number(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and abs(value) <= LARGEST_NUMBER):
        raise ValueError(f"it holds the number {text}")
    return value
