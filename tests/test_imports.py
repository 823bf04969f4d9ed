"""What importing the package does, and does not do, to others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cabench

CHECKOUT = Path(cabench.__file__).parent.parent


def python(code: str, folder: Path, *path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(map(str, path))},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_other_packages_of_the_same_names_are_not_hidden(tmp_path, place):
    names = ("datasets", "methods", "results", "tests")
    for name in names:
        foreign = tmp_path / "site" / name
        foreign.mkdir(parents=True)
        (foreign / "__init__.py").write_text("origin = 'foreign'", encoding="utf-8")
    folder = CHECKOUT if place == "checkout" else tmp_path
    code = f"import cabench.datasets.planted, cabench.methods.pca, {', '.join(names)}\n" + "\n".join(
        f"assert {name}.origin == 'foreign'" for name in names
    )
    python(code, folder, tmp_path / "site")


def test_importing_the_package_loads_nothing_slow(tmp_path):
    code = (
        "import sys, cabench; print([m for m in ('torch', 'numpy', 'pandas', 'sklearn', 'h5py') if m in sys.modules])"
    )
    assert python(code, tmp_path) == "[]"


# What other packages do when they are imported depends on the system as well: they are there before it is changed.
ELSEWHERE = """
import jinja2, openpyxl, os, platformdirs, rich.console, signal, sys, tabulate, typer

sys.platform = sys.argv.pop(1)
del os.sched_getaffinity
if sys.platform == "win32":
    for name in ("fcntl", "grp", "pwd", "resource", "termios"):
        sys.modules[name] = None
    for name in ("O_NOFOLLOW", "fork", "pread"):
        delattr(os, name)
    for name in ("SIGCONT", "SIGHUP", "SIGKILL", "SIGSTOP", "SIGTSTP"):
        delattr(signal, name)
    open_here = os.open
    def open_there(path, flags, *arguments):
        assert flags != os.O_RDONLY or not os.path.isdir(path), "Windows opens no folders"
        return open_here(path, flags, *arguments)
    os.open = open_there
"""
COMMAND = "from cabench.__main__ import console; console()"
CELL = ("--methods", "pca", "--datasets", "planted", "--seeds", "0", "--no-controls", "--profile", "smoke")


@pytest.mark.parametrize("system", ["win32", "darwin"])
@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        ("import cabench; print(*(getattr(cabench, name).__name__ for name in cabench.__all__))", (), "FitContext"),
        (COMMAND, ("--help",), "Usage"),
        (COMMAND, ("list", "methods"), "sepclr"),
        (COMMAND, ("plan", *CELL), "missing"),
        (COMMAND, ("run", *CELL, "--results", "results"), "pca"),
    ],
    ids=["names", "help", "list", "plan", "run"],
)
def test_other_systems_lack_what_linux_has(start_python, tmp_path, system, code, arguments, said):
    process = start_python(tmp_path, "-c", ELSEWHERE + code, system, *arguments)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert said in output


def test_everything_public_can_be_had_by_name():
    for name in cabench.__all__:
        assert getattr(cabench, name).__doc__


def test_public_names_are_shown_before_they_are_used(tmp_path):
    code = "import cabench; print(dir(cabench) == sorted(cabench.__all__))"
    assert python(code, tmp_path, CHECKOUT) == "True"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        cabench.frobnicate  # noqa: B018 - looking it up is the test
