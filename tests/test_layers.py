"""Who may import whom: the contracts of pyproject.toml hold, and an import that one forbids breaks it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter is not installed: pip install -e '.[lint]'")

CHECKOUT = Path(__file__).parents[1]
LINT = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT, "--no-cache", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(folder)}
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(CHECKOUT / "pyproject.toml", folder)
    for name in ("cabench", "methods", "datasets"):
        shutil.copytree(
            CHECKOUT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "page")
        )
    return folder


def test_the_contracts_hold(tree: Path) -> None:
    done = lint(tree)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("contract", "file", "planted"),
    [
        ("layers", "cabench/evaluation/score.py", "import cabench.experiment.cell"),
        ("layers", "cabench/errors.py", "def late():\n    import cabench.files.names"),
        ("layers", "cabench/training.py", "import cabench.saving"),
        ("layers", "cabench/unplaced.py", "import math"),
        ("layers", "methods/pca.py", "from cabench.report import tables"),
        ("layers", "datasets/sources/transfer.py", "from cabench import evaluation"),
        ("layers", "methods/pca.py", "import cabench.datasets.planted"),
        ("plugins", "cabench/cli/methods.py", "def late():\n    from cabench.methods import pca"),
        ("plugins", "cabench/conformance/checks.py", "import cabench.datasets.planted"),
        ("losses", "methods/losses/kernels.py", "import numpy as np"),
        ("losses", "methods/losses/kernels.py", "from cabench.config import Settings"),
        ("losses", "methods/losses/kernels.py", "from cabench.methods.shared import moments"),
        ("circles", "cabench/hardening/journal.py", "from cabench.hardening import supervision"),
    ],
)
def test_a_forbidden_import_breaks_its_contract(tree: Path, contract: str, file: str, planted: str) -> None:
    path = tree / file
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n{planted}\n", encoding="utf-8")
    try:
        done = lint(tree, "--contract", contract)
    finally:
        path.write_text(before, encoding="utf-8") if before else path.unlink()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "0 kept, 1 broken" in done.stdout
