"""Tests on a real SLURM. They take minutes, and run when asked for: `-m cluster`, as `tox -e cluster` does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def load(name: str) -> Any:
    """A module of this folder, or of the tests' folder."""
    spec = spec_from_file_location(Path(name).stem, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            if "cluster" not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason="starts a SLURM; ask for it with -m cluster"))


@pytest.fixture(scope="session")
def running_slurm() -> Iterator[Any]:
    rig = load("slurm")
    if missing := rig.missing_programs():
        pytest.skip(f"{', '.join(missing)} not found: there is no SLURM here (Debian: slurm-wlm and munge)")
    with rig.running_slurm() as slurm:
        yield slurm


@pytest.fixture
def slurm(running_slurm: Any) -> Iterator[Any]:
    """A SLURM with two idle nodes of two processors each, and an empty queue."""
    yield running_slurm
    running_slurm.empty()


@pytest.fixture
def start(
    slurm: Any, tmp_path: Path, start_cabench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Starts the command line in a folder, where SLURM's commands reach that SLURM."""
    monkeypatch.delenv("OMP_NUM_THREADS")  # SLURM says how many threads its tasks use
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])

    def begin(*arguments: object, **environment: str) -> Any:
        return start_cabench(tmp_path, *arguments, **environment)

    return begin


def finished(process: Any) -> tuple[int, str, str]:
    """Exit status, output and errors of a command that comes to its end."""
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors
