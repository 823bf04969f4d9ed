"""Files that appear whole or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; put it in place of `path` when the block ends without error.

    The content is flushed to disk before the rename, so that a crash at any moment leaves the old file or the new one.
    A block that raises leaves the old file and no temporary one.

    Raises:
        OSError: when the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # mkstemp makes files that only their owner may read; results are for the group as well.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_behind(path: Path) -> None:
    """Delete what processes that were killed while they replaced `path` have left; nobody may be replacing it now.

    Raises:
        OSError: when the folder cannot be written to.
    """
    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        left.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
