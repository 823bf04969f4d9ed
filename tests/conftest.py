"""Fixtures that all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# One thread a process: tests run beside each other, and sums come out the same however many cores there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")

CommandLine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set cache of this test session alone, so that no test sees what an earlier one built."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["CABENCH_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of raw data, named by CABENCH_DATA."""
    root = os.environ.get("CABENCH_DATA")
    if not root:
        pytest.skip("CABENCH_DATA is not set: the real data sets are not here")
    return Path(root)


@pytest.fixture
def cabench(tmp_path: Path) -> CommandLine:
    """Runs the command line in a process of its own, in an empty folder, without raw data."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if name != "CABENCH_DATA"}
        return subprocess.run(
            [sys.executable, "-m", "cabench", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**inherited, **environment},
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def cabench_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs the command line in this process, in an empty folder, without raw data: for tests of many small requests."""
    from cabench.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CABENCH_DATA", raising=False)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["cabench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code or 0, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def planted_info(cache: Path):
    """The description of the `planted` data set: grey images of 32 x 32, 450 of each population and split."""
    from cabench.conformance import load_subject

    return load_subject("pca").data.info
