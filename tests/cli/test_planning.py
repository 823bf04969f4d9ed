"""`cabench plan`: as a table, as JSON, and watched until every cell has ended."""

from __future__ import annotations

import json
import signal

import pytest

PLANTED = ("--methods", "pca,chance", "--profile", "smoke", "--no-controls", "--set", "planted.repeats=1")
BROKEN = """
from cabench import ContrastiveAnalysisMethod, Settings

class Broken(ContrastiveAnalysisMethod):
    name, version, Config = "broken", 1, Settings
    def fit(self, data, context): raise ValueError("it will not")
    def encode(self, images): ...
    def state_dict(self): return {}
    def load_state_dict(self, state): ...
"""


def test_json_is_one_document_and_nothing_else(cabench_here, tmp_path, monkeypatch):
    monkeypatch.setenv("CABENCH_CACHE", str(tmp_path / "cache"))
    planned = cabench_here("plan", *PLANTED, "--json")
    assert (planned.returncode, planned.stderr) == (0, "")
    before = json.loads(planned.stdout)
    assert (before["totals"], {cell["key"] for cell in before["cells"]}) == ({"missing": 2}, {None})
    cabench_here("run", *PLANTED)
    after = json.loads(cabench_here("plan", *PLANTED, "--json").stdout)
    assert (after["totals"], after["waiting"], after["expected_s"]) == ({"done": 2}, 0, None)
    assert after["results"] == str(tmp_path / "results/runs")


def test_a_watch_ends_when_the_last_cell_does(cabench_here, start_cabench, tmp_path):
    watch = start_cabench(tmp_path, "plan", *PLANTED, "--watch", "--every", "0.1")
    watch.wait_for("2 cells: 2 missing.\n")
    assert cabench_here("run", *PLANTED).returncode == 0
    said, errors = watch.communicate()
    assert (watch.returncode, errors) == (0, "")
    lines = said.splitlines()
    assert lines[-1] == "2 cells: 2 done."
    assert len(set(lines)) == len(lines), "a line is written when something has changed"


def test_a_watch_over_a_cell_that_failed_ends_with_1(cabench_here, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    request = ("--methods", "broken.py,chance", *PLANTED[2:])
    assert cabench_here("run", *request).returncode == 1
    watched = cabench_here("plan", *request, "--watch")
    assert (watched.returncode, watched.stdout) == (1, "2 cells: 1 done, 1 failed.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_watch_is_ended_quietly(start_cabench, tmp_path, number):
    watch = start_cabench(tmp_path, "plan", *PLANTED, "--watch")
    watch.wait_for("missing")
    watch.send_signal(number)
    said, errors = watch.communicate()
    assert (watch.returncode, errors) == (130, "")
    assert said.count("\n") == 1


def test_a_terminal_shows_the_cells_that_failed(cabench_here, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    request = ("--methods", "broken.py,chance", *PLANTED[2:])
    cabench_here("run", *request)
    monkeypatch.setenv("FORCE_COLOR", "1")  # which has rich take any output for a terminal
    watched = cabench_here("plan", *request, "--watch")
    assert watched.returncode == 1
    assert "planted / broken / seed 0: failed (ValueError)" in watched.stdout
    assert "2 cells: 1 done, 1 failed." in watched.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--watch", "--json"), "leave one of them out"),
        (("--watch", "--every", "0"), "from 0.1 seconds"),
        (("--watch", "--every", "nan"), "from 0.1 seconds"),
    ],
)
def test_what_cannot_be_is_refused(cabench_here, options, said):
    refused = cabench_here("plan", *PLANTED, *options)
    assert refused.returncode == 2
    assert said in refused.stderr
