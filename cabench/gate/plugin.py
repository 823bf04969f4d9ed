"""A fixture of pytest by which a project's own tests assert that nothing got worse; pytest finds it by itself.

    def test_my_method_is_as_good_as_it_was(cabench_gate):
        cabench_gate(baseline="baseline.json", results="results/runs")

Nothing slow is imported before the fixture is called, as pytest loads this module in every run of every project.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest


class Gate(Protocol):
    """What the fixture `cabench_gate` is."""

    def __call__(
        self,
        baseline: str | Path,
        results: str | Path = ...,
        level: float = ...,
        effect: float = ...,
        seeds: str = ...,
        methods: str = ...,
        datasets: str = ...,
        profile: str = ...,
    ) -> None:
        """Raise an AssertionError that says what got worse; see the fixture."""


@pytest.fixture
def cabench_gate(request: pytest.FixtureRequest) -> Gate:
    """A function that raises an AssertionError when records are worse than a baseline; see `cabench.gate`.

    Its arguments are those of `cabench gate`: baseline, results, level, effect, seeds, methods, datasets and profile.
    Relative paths start at pytest's root directory. A baseline or results folder that cannot be read is a
    `cabench.UserError`.
    """

    def gate(
        baseline: str | Path,
        results: str | Path = "results/runs",
        level: float = 0.05,
        effect: float = 0.005,
        seeds: str = "",
        methods: str = "",
        datasets: str = "",
        profile: str = "",
    ) -> None:
        __tracebackhide__ = True
        from cabench.experiment.request import parse_seeds
        from cabench.gate.baseline import Baseline
        from cabench.gate.formats import text
        from cabench.gate.gate import check
        from cabench.gate.selection import read_results, restrict

        root = request.config.rootpath
        then = Baseline.read(root / baseline)
        records, unreadable = read_results(root / results)
        then, records = restrict(then, records, methods, datasets, profile)
        chosen = parse_seeds(seeds) if seeds else None
        outcome = check(then, records, level, effect, unreadable=unreadable, seeds=chosen)
        if not outcome.passed:
            raise AssertionError(text(outcome))

    return gate
