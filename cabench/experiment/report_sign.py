"""Tells whether a report still says what the records say, by a sign beside it, so that it is not made for nothing.

The sign is of the records as they stand on the disk, of the code that wrote the tables, and of the report itself: a
report that somebody changed or removed does not fit its sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import cabench
from cabench import discovery
from cabench.experiment.contributions_file import NAME
from cabench.files.atomic import stamp, write_text
from cabench.files.bounds import read_whole
from cabench.files.json import digest
from cabench.files.regular import is_regular

_LONGEST = 1000  # bytes


def sign_of(records: Sequence[Path]) -> str:
    """A text that changes when one of these record files, or what stands beside it, is written, comes or goes; and when
    the code is another one, of cabench or of a plug-in: tables tell which records are of older versions.
    """
    code = [(str(path), stamp(path)) for path in sorted({*Path(cabench.__file__).parent.rglob("*.py"), *_plugins()})]
    return digest([code, [(str(path), stamp(path), stamp(path.with_name(NAME))) for path in records]])


def _plugins() -> Iterator[Path]:
    """The files of all methods and data sets."""
    for kind in discovery.KINDS:
        for plugin in discovery.plugins(kind).values():
            with suppress(ImportError, ValueError):
                if (spec := find_spec(plugin.module)) and spec.origin:
                    yield Path(spec.origin)


def is_signed(report: Path, sign: str) -> bool:
    """Whether a report was written with this sign, and is as it was then."""
    try:
        place = _place(report)
        return is_regular(place) and read_whole(place, _LONGEST).decode() == _whole(report, sign)
    except (OSError, ValueError):
        return False


def write_sign(report: Path, sign: str) -> None:
    """Write the sign of a report that has just been written.

    Raises:
        StorageError: when that is not possible.
    """
    write_text(_place(report), _whole(report, sign))


def _place(report: Path) -> Path:
    return report.with_name(f".{report.name}.sign")


def _whole(report: Path, sign: str) -> str:
    return f"{sign} {stamp(report)}\n"
