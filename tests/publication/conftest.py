"""Results, tuning records and a profile that were computed once, and archives of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cabench
from cabench.data.dataset import Attribute
from cabench.data.importing.arrays import Examples, write_arrays
from cabench.experiment.record import Record
from cabench.files.json import read_json
from cabench.publication.layout import MANIFEST, ROOT
from cabench.publication.manifest import Manifest, Summary, entry_of

SMALL = ("--profile", "smoke", "--datasets", "planted", "--set", "planted.repeats=1")
RUN = ("run", *SMALL, "--no-controls", "--methods", "chance,random_encoder", "--seeds", "0", "--results", "runs")
TUNE = ("tune", *SMALL, "--methods", "cpca", "--trials", "4", "--results", "trials", "--records", "tuning")


@pytest.fixture(scope="session")
def computed(tmp_path_factory: pytest.TempPathFactory, start_cabench: Callable[..., Any]) -> Path:
    """A folder with `runs`, `tuning` and `tuned.toml`; do not write to it."""
    folder = tmp_path_factory.mktemp("computed")
    for arguments in (RUN, TUNE):
        process = start_cabench(folder, *arguments)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return folder


@pytest.fixture
def mine(computed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(computed, tmp_path / "mine")


@pytest.fixture(scope="session")
def archive(computed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of it, without vectors; do not write to it."""
    output = tmp_path_factory.mktemp("archive") / "all.tar.gz"
    cabench.publish(computed / "runs", output, computed / "tuning", computed / "tuned.toml")
    return output


@pytest.fixture
def unpacked(archive: Path, tmp_path: Path) -> Path:
    """What that archive holds."""
    return taken_out(archive, tmp_path / "theirs")


@pytest.fixture
def with_vectors(computed: Path, tmp_path: Path) -> Path:
    """What an archive of it holds that was made with vectors."""
    output = tmp_path / "vectors.tar.gz"
    cabench.publish(computed / "runs", output, vectors=True)
    return taken_out(output, tmp_path / "theirs")


def taken_out(archive: Path, folder: Path) -> Path:
    shutil.unpack_archive(archive, folder)
    return folder / ROOT


def cell(folder: Path, method: str = "random_encoder", seed: int = 0) -> Path:
    """The folder of a cell, in an unpacked archive."""
    (found,) = folder.glob(f"results/planted/{method}/seed{seed}-*")
    return found


def change(path: Path, **changes: object) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def seal(folder: Path) -> None:
    """Make the manifest fit to what was changed, as somebody would who wants to pass."""
    old = Manifest.read(folder / MANIFEST)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    # What a record says is not looked at: some were changed into what cannot be.
    records = [read_json(path, Record) for path in folder.glob("results/*/*/*/record.json")]
    entries = {name: entry_of(folder / name) for name in names if name != MANIFEST}
    new = Manifest(versions=old.versions, summary=Summary.of(records), files=entries)
    (folder / MANIFEST).write_text(new.to_json(), encoding="utf-8")


def write_own_table(path: Path, seed: int) -> None:
    """Two hundred rows of either population; targets have a mark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(2, 200, 6)).astype(np.float32)
    mark = generator.integers(0, 2, 200)
    rows[1, :, 0] += 3 * (2 * mark - 1)
    attributes = (Attribute("mark", "salient", "class", ("no", "yes")),)
    write_arrays(path, Examples(rows[0], {}), Examples(rows[1], {"mark": mark}), attributes)
