"""Whatever encoding a terminal has, and whoever the user is, what can be said is said; nothing else is raised."""

from __future__ import annotations

import encodings.aliases
import io
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabench.__main__ import main
from cabench.data.cache import cache_folder

pwd = pytest.importorskip("pwd")
TIMES = int(os.environ.get("CABENCH_FUZZ", "1"))
SLOW = settings(settings.get_profile("cabench"), max_examples=15 * TIMES)
QUICK = settings(settings.get_profile("cabench"), max_examples=60 * TIMES)
Attempt = Callable[[str, Path, Callable[[], Any]], Any]

PUBLISHED = Path(__file__).parents[2] / "results" / "published" / "dsprites"


def is_of_text(name: str) -> bool:
    with suppress(LookupError, UnicodeError, TypeError, ValueError, AttributeError):
        return "text".encode(name).decode(name) == "text" and io.TextIOWrapper(io.BytesIO(), name) is not None
    return False


ENCODINGS = sorted(filter(is_of_text, set(encodings.aliases.aliases.values())))
COMMANDS = (
    *(("report", "--format", kind) for kind in ("markdown", "summary", "csv", "latex", "html")),
    *(("list", kind) for kind in ("methods", "datasets", "profiles")),
    ("report", "--format", "↓"),
    ("report", "--datasets", "д"),
    ("plan", "--methods", "д\udcff"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terminals")
    for name in ("mmcvae", "pca"):
        place = next((PUBLISHED / name).glob("seed0-*"))
        shutil.copytree(place, folder / "runs" / "dsprites" / name / place.name)
    return folder


def said(encoding: str, folder: Path, command: tuple[str, ...]) -> tuple[bytes, object]:
    """What a command writes to a terminal of this encoding, and its exit status."""
    results = ("--results", str(folder / "runs")) if command[0] == "report" else ()
    terminal, errors = (io.TextIOWrapper(io.BytesIO(), encoding, how) for how in ("strict", "backslashreplace"))
    with (
        patch.object(sys, "stdout", terminal),
        patch.object(sys, "stderr", errors),
        patch.object(sys, "argv", ["cabench", *command, *results]),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    terminal.flush()
    return terminal.buffer.getvalue(), ended.value.code  # type: ignore[attr-defined]


@SLOW
@given(encoding=st.sampled_from(ENCODINGS), command=st.sampled_from(COMMANDS))
def test_encodings_of_the_terminal(attempt: Attempt, folder: Path, encoding: str, command: tuple[str, ...]) -> None:
    found, code = attempt("encodings of the terminal", folder, lambda: said(encoding, folder, command))

    assert code == (0 if all(part.isascii() for part in command) else 2)
    if command[-1] in ("csv", "latex", "html"):
        assert found == said("utf-8", folder, command)[0]


def test_a_table_has_escapes_for_what_a_terminal_lacks(folder: Path) -> None:
    table, whole = (said(encoding, folder, ("report",))[0] for encoding in ("latin-1", "utf-8"))

    assert rb"\u2193" in table
    assert table == whole.decode().encode("latin-1", "backslashreplace")


@QUICK
@given(
    home=st.sampled_from((None, "", "home", "~", "/nonexistent", "/dev/null", "/proc", "\udcff")) | st.text("/a~.$ "),
    cache=st.sampled_from((None, "", "cache", "~/cache", "/dev/null/cache")),
    is_known=st.booleans(),
)
def test_users_without_a_home(
    attempt: Attempt, folder: Path, home: str | None, cache: str | None, is_known: bool
) -> None:
    def unknown(_: int) -> NoReturn:
        raise KeyError("getpwuid(): uid not found: 54321")

    def read() -> Path:
        with pytest.MonkeyPatch.context() as changes:
            for name, value in (("HOME", home), ("CABENCH_CACHE", cache), ("XDG_CACHE_HOME", None)):
                changes.delenv(name, raising=False) if value is None else changes.setenv(name, value)
            if not is_known:
                changes.setattr(pwd, "getpwuid", unknown)
            return cache_folder()

    found = attempt("users without a home", folder, read)

    assert found is None or found.is_absolute()
