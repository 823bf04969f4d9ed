"""What is installed: each file once, methods and data sets inside `cabench`, and nothing of another name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

import cabench

CHECKOUT = Path(cabench.__file__).parents[1]
FOLDERS = ("cabench", "methods", "datasets")
USE = "import cabench.methods.sepclr as m, cabench.discovery as d; print(m.__file__, len(d.plugins('methods')))"

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / "pyproject.toml").exists(), reason="the package is installed, its sources are not here"
)


def run(folder: Path, code: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(path)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module", params=["links", "text files for links"])
def checkout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, also as Git makes it where it cannot make links: each is a file that holds its path."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, folder)
    for name in FOLDERS:
        shutil.copytree(CHECKOUT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    if request.param != "links":
        for link in (folder / "cabench" / "methods", folder / "cabench" / "datasets"):
            target = link.readlink()
            link.unlink()
            link.write_text(str(target), encoding="utf-8")
    return folder


def sources(folder: Path) -> set[PurePosixPath]:
    """The modules, as they are called in the package."""
    found = set()
    for name in FOLDERS:
        inside = PurePosixPath("" if name == "cabench" else "cabench")
        files = (file.relative_to(folder) for file in (folder / name).rglob("*.py"))
        found |= {inside / file.as_posix() for file in files}
    return found


def test_a_checkout_works_with_and_without_links(checkout: Path) -> None:
    file, methods = run(checkout, USE, checkout).split()
    assert Path(file).resolve() == checkout / "methods" / "sepclr.py"
    assert int(methods) == len(list((checkout / "methods").glob("*.py")))


def test_a_wheel_holds_each_file_once_and_nothing_of_another_name(checkout: Path, tmp_path: Path) -> None:
    run(checkout, f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})", checkout)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = Counter(map(PurePosixPath, archive.namelist()))
        archive.extractall(tmp_path / "site")

    assert set(files.values()) == {1}
    assert {file for file in files if file.suffix == ".py"} == sources(checkout)
    assert {file.parts[0] for file in files} == {"cabench", f"{wheel.name.split('-py3')[0]}.dist-info"}
    file, _ = run(tmp_path, USE, tmp_path / "site").split()
    assert Path(file) == tmp_path / "site" / "cabench" / "methods" / "sepclr.py"


def test_the_citation_names_the_version_and_the_licence() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {project['version']}" in citation
    assert f"license: {project['license']}" in citation


def test_the_image_is_made_of_what_is_there() -> None:
    text = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()]
    assert set(copied) == {"pyproject.toml", "README.md", "LICENSE", *FOLDERS}
    assert all((CHECKOUT / name).exists() for name in copied)
