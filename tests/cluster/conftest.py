"""Tests on a real SLURM. They take minutes, and run when asked for: `-m cluster`, as `tox -e cluster` does."""

from __future__ import annotations

import os
import signal
import subprocess
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
def start(slurm: Any, tmp_path: Path, cache: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command line in a folder, where SLURM's commands reach that SLURM."""
    # SLURM says how many threads its tasks use.
    hidden = ("CABENCH_DATA", "OMP_NUM_THREADS")
    inherited = {name: value for name, value in (os.environ | slurm.environment).items() if name not in hidden}
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cabench", *map(str, arguments)],
            cwd=tmp_path,
            env={**inherited, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate()
