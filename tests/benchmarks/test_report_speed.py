"""Time and peak memory of what reads many records. With a clock 10,000 of them, in two shapes; without one a few."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAKER = Path(__file__).with_name("make_records.py")
SHAPES = {"many seeds": (10, 20, 50), "many data sets": (100, 20, 5)}
FORMATS = ("markdown", "summary", "csv", "latex", "html")


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(SHAPES))
def test_reports(benchmark, tmp_path, shape):
    sizes = SHAPES[shape] if benchmark.enabled else (2, 3, 2)
    options = [f"--{name}={size}" for name, size in zip(("datasets", "methods", "seeds"), sizes, strict=True)]
    subprocess.run([sys.executable, MAKER, tmp_path / "records", *options], check=True)

    def report(kind: str) -> float:
        """Peak memory in GiB."""
        output = (tmp_path / kind).open("wb")
        command = [sys.executable, "-m", "cabench", "report", "--results", str(tmp_path / "records"), "--format", kind]
        with output, subprocess.Popen(command, stdout=output) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_maxrss / 2**20

    peaks = {kind: report(kind) for kind in FORMATS[1:]}
    peaks["markdown"] = benchmark.pedantic(report, ("markdown",), rounds=1)
    benchmark.extra_info["peak GiB"] = peaks
    assert all((tmp_path / kind).stat().st_size for kind in FORMATS)
