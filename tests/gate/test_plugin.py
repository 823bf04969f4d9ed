"""The fixture `cabench_gate`, in pytest runs of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore
from cabench.gate.gate import new_baseline

pytest_plugins = ("pytester",)

THEN = {"shape": [0.90, 0.91, 0.92], "shape leak": [0.70, 0.69, 0.71], "digit": [0.80, 0.79, 0.81]}
NOW = {**THEN, "shape": [0.80, 0.81, 0.82]}

TEST = """
def test_as_good_as_it_was(cabench_gate):
    cabench_gate(baseline="baseline.json", results="results/runs")
"""


@pytest.fixture
def make_consistent(make_records, consistent) -> Callable[..., list[Record]]:
    return lambda *given, **changes: [consistent(each, each.scores) for each in make_records(*given, **changes)]


@pytest.fixture
def project(pytester: pytest.Pytester, make_consistent) -> pytest.Pytester:
    """A project with a baseline and one test."""
    new_baseline(make_consistent(THEN)).write(pytester.path / "baseline.json")
    pytester.makepyfile(TEST)
    return pytester


def write_records(folder: Path, records) -> None:
    for record in records:
        ResultsStore(folder).replace_record(record)


def test_it_passes_where_nothing_got_worse(project, make_consistent):
    write_records(project.path / "results/runs", make_consistent(THEN))

    project.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_it_fails_with_what_people_are_told(project, make_consistent):
    write_records(project.path / "results/runs", make_consistent(NOW))
    done = project.runpytest_inprocess("-p", "no:cacheprovider")

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*AssertionError: The gate failed: 2 of 4 metrics got worse.*"])
    done.stdout.fnmatch_lines(["*shape, salient space*a loss of 10.0 points*"])
    assert "plugin.py" not in done.stdout.str()


def test_paths_start_at_the_root_directory(project, make_consistent, start_python):
    write_records(project.path / "results/runs", make_consistent(THEN))
    project.makeini("[pytest]")
    below = project.mkdir("below")

    done = start_python(below, "-m", "pytest", "-p", "no:cacheprovider", "..", "--rootdir", "..")
    output, _ = done.communicate()
    assert done.returncode == 0, output


def test_a_baseline_that_is_not_there_is_said(project):
    (project.path / "baseline.json").unlink()
    done = project.runpytest_inprocess("-p", "no:cacheprovider")

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*UserError: There is no baseline*"])


def test_what_is_named_is_compared_and_nothing_else(project, make_consistent):
    write_records(project.path / "results/runs", make_consistent(THEN) + make_consistent(NOW, method__label="x"))
    new_baseline(make_consistent(THEN) + make_consistent(THEN, method__label="x")).write(project.path / "baseline.json")
    project.makepyfile(TEST.replace("results=", 'methods="pca", results='))

    project.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_other_peoples_runs_load_nothing_slow(pytester):
    pytester.makepyfile(
        """
        import sys
        def test_nothing_is_loaded():
            assert "cabench.gate.plugin" in sys.modules
            slow = {"torch", "numpy", "pandas", "scipy", "h5py", "cabench.gate.gate"}
            assert not slow & set(sys.modules)
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")

    done.assert_outcomes(passed=1)
