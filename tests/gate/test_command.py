"""`cabench gate` on real records: its exit status, what it writes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cabench.experiment.record import Record
from cabench.experiment.store import ResultsStore

SCORES = {"shape": [0.90, 0.91, 0.92], "shape leak": [0.70, 0.69, 0.71], "digit": [0.80, 0.79, 0.81]}


@pytest.fixture
def results(cabench_here, make_records, consistent, tmp_path: Path) -> Path:
    """Records of three methods in the default folder, and the baseline that they make."""
    folder = tmp_path / "results/runs"
    for label in ("oracle", "pca", "chance"):
        for record in make_records(SCORES, method__label=label):
            ResultsStore(folder).replace_record(consistent(record, record.scores))
    assert cabench_here("gate", "--baseline", "baseline.json", "--update").returncode == 0
    return folder


@pytest.fixture
def spoil(consistent) -> Callable[[Path, str, float], None]:
    """Lowers what every wanted probe of a method reads."""

    def lower(results: Path, method: str, by: float) -> None:
        for path in results.glob(f"*/{method}/*/record.json"):
            record = Record.load(path)
            lowered = [by * (score.space == score.attribute_space and score.value > 0) for score in record.scores]
            pairs = zip(record.scores, lowered, strict=True)
            spoilt = consistent(record, [replace(score, value=score.value - less) for score, less in pairs])
            path.write_text(spoilt.to_json(), encoding="utf-8")

    return lower


def test_what_a_run_leaves_is_compared(cabench_here, tmp_path):
    run = ("run", "--methods", "oracle", "--profile", "smoke", "--seeds", "0-1")
    assert cabench_here(*run).returncode == 0
    assert cabench_here("gate", "--baseline", "baseline.json", "--update").returncode == 0
    assert cabench_here(*run, "--results", "again").returncode == 0

    done = cabench_here("gate", "--baseline", "baseline.json", "--results", "again")

    assert done.returncode == 0
    assert "Of 45 metrics, 45 are the baseline's to the last bit." in done.stdout


def test_the_same_records_pass_and_worse_ones_fail(cabench_here, results, spoil):
    passed = cabench_here("gate", "--baseline", "baseline.json")
    assert (passed.returncode, passed.stderr) == (0, "")
    assert "The gate passed" in passed.stdout

    spoil(results, "oracle", 0.05)
    failed = cabench_here("gate", "--baseline", "baseline.json")
    assert (failed.returncode, failed.stderr) == (1, "")
    assert "planted / oracle (quick, fp32): The salient space tells less of what it is there for." in failed.stdout
    assert "a loss of 5.0 points" in failed.stdout
    assert "- planted / pca" not in failed.stdout


def test_it_writes_markdown_and_junit_beside_what_it_prints(cabench_here, results, spoil, tmp_path):
    spoil(results, "oracle", 0.05)
    arguments = ("--markdown", "out/gate.md", "--junit", "out/gate.xml")
    assert cabench_here("gate", "--baseline", "baseline.json", *arguments).returncode == 1

    assert (tmp_path / "out/gate.md").read_text(encoding="utf-8").startswith("## ❌ The gate failed")
    (suite,) = ElementTree.parse(tmp_path / "out/gate.xml").getroot()
    assert int(suite.get("failures")) == len(list(suite.iter("failure"))) > 0


def test_update_shows_old_against_new_and_writes_it(cabench_here, results, spoil):
    spoil(results, "oracle", 0.05)
    updated = cabench_here("gate", "--baseline", "baseline.json", "--update")

    assert updated.returncode == 0
    assert "+5.0" in updated.stdout
    assert "baseline.json now holds 3 cells." in updated.stdout
    assert cabench_here("gate", "--baseline", "baseline.json").returncode == 0


def test_a_cell_that_is_not_run_fails(cabench_here, results):
    for path in results.glob("*/pca/*/record.json"):
        path.unlink()

    failed = cabench_here("gate", "--baseline", "baseline.json")

    assert failed.returncode == 1
    assert "planted / pca (quick, fp32): it is in the baseline but not in the results" in failed.stdout


def test_a_record_that_cannot_be_read_fails_and_the_others_are_compared(cabench_here, results, spoil):
    spoil(results, "oracle", 0.05)
    damaged = min(results.glob("*/pca/*/record.json"))
    damaged.write_text("{", encoding="utf-8")

    failed = cabench_here("gate", "--baseline", "baseline.json")
    refused = cabench_here("gate", "--baseline", "baseline.json", "--update")

    assert failed.returncode == 1
    assert f"- results folder: {damaged.relative_to(results.parent.parent)} " in failed.stdout
    assert "a loss of 5.0 points" in failed.stdout
    assert refused.returncode == 2
    assert "No baseline was written: " in refused.stderr


@pytest.mark.parametrize("chosen", [("--methods", "pca, chance"), ("--methods", "pca", "--datasets", "planted")])
def test_what_is_not_named_is_not_compared(cabench_here, results, spoil, chosen):
    spoil(results, "oracle", 0.05)

    passed = cabench_here("gate", "--baseline", "baseline.json", "--profile", "quick", *chosen)

    assert passed.returncode == 0, passed.stdout
    assert "oracle" not in passed.stdout


def test_a_comparison_of_nothing_does_not_pass(cabench_here, results, make_records, consistent):
    for record in make_records(SCORES, method__label="new"):
        ResultsStore(results).replace_record(consistent(record, record.scores))

    done = cabench_here("gate", "--baseline", "baseline.json", "--methods", "new")

    assert done.returncode == 2
    assert "has none of the cells that were asked for" in " ".join(done.stderr.split())


def test_update_of_what_is_named_leaves_the_rest(cabench_here, results, spoil, tmp_path):
    before = json.loads((tmp_path / "baseline.json").read_text(encoding="utf-8"))["cells"]
    for method in ("oracle", "pca"):
        spoil(results, method, 0.05)

    updated = cabench_here("gate", "--baseline", "baseline.json", "--update", "--methods", "oracle")

    after = json.loads((tmp_path / "baseline.json").read_text(encoding="utf-8"))["cells"]
    changed = [old["method"]["label"] for old, new in zip(before, after, strict=True) if old != new]
    assert updated.returncode == 0, updated.stderr
    assert changed == ["oracle"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--baseline", "absent.json"), "--update"),
        (("--baseline", "baseline.json", "--results", "absent"), "cabench run"),
        (("--baseline", "baseline.json", "--level", "2"), "--level"),
        (("--baseline", "baseline.json", "--methods", "oracel"), "did you mean 'oracle'?"),
        (("--baseline", "baseline.json", "--datasets", "dsprites"), "Unknown data set 'dsprites'. Known: planted"),
        (("--baseline", "baseline.json", "--profile", "paper"), "Unknown profile 'paper'. Known: quick"),
        (("--baseline", "baseline.json", "--effect", "nan"), "--effect"),
        (("--baseline", "baseline.json", "--junit", "/proc/none/gate.xml"), "cannot be written"),
        (("--baseline", "/proc/none/baseline.json", "--update"), "cannot be written"),
        (("--baseline", "results"), "no baseline"),
    ],
)
def test_mistakes_end_with_status_2_and_one_sentence(cabench_here, results, arguments, said):
    done = cabench_here("gate", *arguments)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
