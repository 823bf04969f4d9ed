"""Tests on a real SLURM. They take minutes, and run when asked for: `-m cluster`, as `tox -e cluster` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import slurm as rig

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            if "cluster" not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason="starts a SLURM; ask for it with -m cluster"))


@pytest.fixture(scope="session")
def running_slurm() -> Iterator[rig.Slurm]:
    if missing := rig.missing_programs():
        pytest.skip(f"{', '.join(missing)} not found: there is no SLURM here (Debian: slurm-wlm and munge)")
    with rig.running_slurm() as slurm:
        yield slurm


@pytest.fixture
def slurm(running_slurm: rig.Slurm) -> Iterator[rig.Slurm]:
    """A SLURM with two idle nodes of two processors each, and an empty queue."""
    yield running_slurm
    running_slurm.empty()


@pytest.fixture
def start(
    slurm: rig.Slurm, tmp_path: Path, start_cabench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
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
