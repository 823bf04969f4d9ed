"""Where a record was computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import cabench
from cabench.experiment.provenance import commit, peak_memory_gib


def test_the_commit_is_that_of_the_checkout() -> None:
    if not (Path(cabench.__file__).parents[1] / ".git").exists():
        pytest.skip("this is no checkout")
    at, dirty = commit()
    assert re.fullmatch("[0-9a-f]{40}", at or "")
    assert isinstance(dirty, bool)


def test_memory_is_that_of_this_process() -> None:
    assert 0.05 < peak_memory_gib(torch.device("cpu")) < 1000  # torch alone takes more
