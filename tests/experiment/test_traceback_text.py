"""Tracebacks in records name files and lines, and no folder of the machine."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import cabench
from cabench.errors import UserError
from cabench.experiment.traceback_text import traceback_text
from cabench.profiles import load_profile


def raised(work) -> BaseException:
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def without_ours(text: str) -> list[str]:
    """The lines of a traceback but for those that name this file, in its checkout or wherever it is."""
    return [line for line in text.splitlines() if Path(__file__).name not in line]


def test_files_are_named_from_where_they_are_imported() -> None:
    found = traceback_text(raised(lambda: load_profile("no such profile")))
    assert 'File "cabench/profiles.py"' in found or 'File "cabench/profiles/' in found
    assert 'test_traceback_text.py", line ' in found
    assert found.rstrip().splitlines()[-1].startswith("cabench.errors.UserError: Unknown profile")
    assert str(Path(cabench.__file__).parent.parent) not in found


def test_files_of_the_standard_library_too() -> None:
    found = traceback_text(raised(lambda: json.loads("{")))
    assert 'File "json/decoder.py"' in found
    assert sys.base_prefix not in found


def test_all_but_folders_is_as_python_shows_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def fails():\n    try:\n        1 / 0\n    finally:\n        {}['key']\n")
    names: dict = {}
    exec(compile((tmp_path / "mine.py").read_text(), str(tmp_path / "mine.py"), "exec"), names)
    error = raised(names["fails"])
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without the frame of this file
    whole = "".join(traceback.format_exception(error))
    assert f'File "{tmp_path / "mine.py"}", line 5' in whole
    assert f'File "{tmp_path / "mine.py"}", line 3, in fails\n    1 / 0' in whole
    assert without_ours(traceback_text(error)) == without_ours(whole.replace(f"{tmp_path}/", ""))


def test_long_chains_are_followed() -> None:
    error: BaseException = raised(lambda: load_profile("no such profile"))
    for number in range(1100):
        following = UserError(str(number))
        following.__cause__ = error
        error = following
    assert str(Path(cabench.__file__).parent.parent) not in traceback_text(error)


def test_groups_are_followed() -> None:
    group = ExceptionGroup("both", [raised(lambda: load_profile("none")), raised(lambda: json.loads("{"))])
    found = traceback_text(group)
    assert 'File "json/decoder.py"' in found
    assert str(Path(cabench.__file__).parent.parent) not in found
