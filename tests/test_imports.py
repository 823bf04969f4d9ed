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


def test_everything_public_can_be_had_by_name():
    for name in cabench.__all__:
        assert getattr(cabench, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        cabench.frobnicate  # noqa: B018 - looking it up is the test
