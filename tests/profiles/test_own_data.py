"""A user's own small files run under every built-in profile, with every method that takes them, without being asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cabench
from cabench.data.dataset import Attribute
from cabench.data.file import DatasetFile
from cabench.data.importing.arrays import write_arrays
from cabench.data.importing.examples import Examples
from cabench.discovery import method_class, plugins
from cabench.experiment.request import ResolvedProfile, check_method
from cabench.profiles import load_profile, profile_names

TAKING = {"images": {"images"}, "tables": {"tables", "non-negative"}}  # the table below has no negative value
ON = {
    kind: [name for name in plugins("methods") if taken & set(method_class(name).takes) and name != "oracle"]
    for kind, taken in TAKING.items()
}
SHAPES = {"images": (1, 28, 28), "tables": (5,)}
CASES = [(kind, name) for kind, names in ON.items() for name in names]
ROWS = {"background": 24, "target": 20}
ATTRIBUTES = (Attribute("sex", "common", "class", ("f", "m")), Attribute("stage", "salient", "class", ("a", "b")))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of images and one of a table, by kind."""
    folder, generator = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    paths = {kind: folder / f"own_{kind}.h5" for kind in SHAPES}
    for kind, path in paths.items():
        parts = {}
        for population, rows in ROWS.items():
            drawn = generator.integers(0, 256, (rows, *SHAPES[kind]))
            known = ATTRIBUTES if population == "target" else ATTRIBUTES[:1]
            values = {attribute.name: np.arange(rows) % 2 for attribute in known}
            parts[population] = Examples(drawn.astype(np.uint8 if kind == "images" else np.float32), values)
        write_arrays(path, parts["background"], parts["target"], ATTRIBUTES)
    return paths


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_method_takes_a_small_file(profile: str, kind: str, name: str, files: dict[str, Path]) -> None:
    info = DatasetFile.open_from_elsewhere(files[kind]).info
    assert sum(info.counts["train"].values()) < 40

    resolved, (label,) = ResolvedProfile(load_profile(profile)).with_files([str(files[kind])])

    check_method(resolved.method(name, label), info)


@pytest.mark.parametrize("kind", [pytest.param("images", marks=pytest.mark.slow), "tables"])
def test_all_methods_run_on_it_under_smoke(kind: str, files: dict[str, Path], tmp_path: Path) -> None:
    records = cabench.run("all", [files[kind]], seeds=1, profile="smoke", results=tmp_path).records
    assert {record.method["label"] for record in records} == set(ON[kind])
    assert {record.status for record in records} == {"ok"}, [record.error for record in records if record.error]
