"""The program for a GPU runs at small size without one, and says that there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("gpu_day.py")
SECTIONS = {"machine", "equality", "steps", "views", "seeds", "resume", "paper"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_section_runs_on_the_processor_at_small_size(tmp_path: Path) -> None:
    done = run("--device", "cpu", "--small", "--results", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sepclr, bf16: first gradient from fp32's" in done.stdout
    (found,) = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8")).values()
    assert {row["section"] for row in found["rows"]} == SECTIONS
    assert [row for row in found["rows"] if row["fault"]] == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path: Path) -> None:
    done = run("--results", str(tmp_path))
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == "There is no GPU 'cuda' here; --device cpu --small tries the program out without one.\n"
    assert not list(tmp_path.iterdir())
