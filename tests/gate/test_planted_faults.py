"""Faults planted in the code itself: the gate of this repository, on the cells of its own baseline, catches each.

Each test copies the package, puts one wrong line in, runs cells of `results/gate` from the copy and compares them with
the committed baseline, as `.ci/run` does with all of them.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cabench.gate.baseline import Baseline

CHECKOUT = Path(__file__).parents[2]
GATE = CHECKOUT / "results/gate"

SEPCLR = ("methods/sepclr.py", "sepclr", "dsprites")
EMPTIED = ("methods/losses/contrastive.py", "sepclr", "dsprites")
VECTORS = ("cabench/evaluation/encoded.py", "oracle", "planted")
LABELS = ("cabench/evaluation/questions.py", "oracle", "planted")


@pytest.fixture
def faulty(tmp_path: Path, cabench) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line of a copy of the package in which one text of a file is replaced by another."""

    def run(path: str, right: str, wrong: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        copy = tmp_path / "copy"
        if not copy.exists():
            for folder in ("cabench", "methods", "datasets"):
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(CHECKOUT / folder, copy / folder, symlinks=True, ignore=ignored)
            source = (copy / path).read_text(encoding="utf-8")
            assert source.count(right) == 1
            (copy / path).write_text(source.replace(right, wrong), encoding="utf-8")
        return cabench(*arguments, PYTHONPATH=str(copy))

    return run


@pytest.mark.parametrize(
    ("cell", "right", "wrong", "caught"),
    [
        pytest.param(
            SEPCLR,
            "(penalty(h.common, s) for h",
            "(penalty(h.common, s).detach() for h",
            "scale, common space, correlation",
            id="the k-JEM term without a gradient",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            EMPTIED,
            "torch.cat([torch.zeros_like(salient[:backgrounds]), salient[backgrounds:]])",
            "torch.cat([salient[:backgrounds], torch.zeros_like(salient[backgrounds:])])",
            "position y, salient space, correlation",
            id="target rows zeroed instead of background rows",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            VECTORS,
            "np.concatenate([part.vectors(space) for part in self])",
            'np.concatenate([part.vectors("salient" if space == "common" else "common") for part in self])',
            "common level, common space, correlation",
            id="the wrong space probed",
        ),
        pytest.param(
            LABELS,
            "values[attribute.is_defined(values)])",
            "np.random.default_rng(0).permutation(values[attribute.is_defined(values)]))",
            "common class, common space, balanced accuracy",
            id="labels shuffled",
        ),
    ],
)
def test_the_gate_catches(faulty, tmp_path, cell, right, wrong, caught):
    path, method, dataset = cell
    groups = Baseline.read(GATE / "baseline.json").groups
    Baseline({place: group for place, group in groups.items() if place.method == method}).write(tmp_path / "then.json")

    chosen = ("--methods", method, "--datasets", dataset, "--seeds", "0", "--profile", str(GATE / "gate.toml"))
    ran = faulty(path, right, wrong, "run", *chosen)
    assert ran.returncode == 0, ran.stderr
    gate = faulty(path, right, wrong, "gate", "--baseline", "then.json", "--seeds", "0")

    assert gate.returncode == 1, gate.stdout
    assert any(f"  {caught}  " in line and line.endswith("worse") for line in gate.stdout.splitlines()), gate.stdout
    assert "problem" not in gate.stdout
