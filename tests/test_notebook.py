"""A notebook, run headless: a class defined in a cell is run, keyed like any other, and its table shown as HTML."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

DEFINITION = '''
import cabench
from cabench import Settings

class Mean(cabench.ContrastiveAnalysisMethod):
    """The brightness of an image."""

    name, version, Config = "mean", 1, Settings

    def fit(self, data, context):
        pass

    def encode(self, images):
        brightness = images.flatten(1).mean(1, keepdim=True)
        return cabench.Representation(brightness, brightness)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
'''
RUN = """
results = cabench.run(
    methods=["chance", Mean], datasets=["planted"], seeds=1, profile="smoke", results="runs",
    sets=["planted.repeats=1"], controls=False,
)
results
"""


def test_a_notebook_runs_a_method_of_its_own_and_the_command_line_finds_its_cells(tmp_path: Path, cabench) -> None:
    cells = [nbformat.v4.new_code_cell(code) for code in (DEFINITION, RUN, "print(results)", "results.scores.shape")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = notebook.cells[1].outputs[-1]["data"]
    assert "<table" in shown["text/html"]
    assert "mean" in shown["text/html"]
    assert "separation gap" in notebook.cells[2].outputs[0]["text"]
    common = ("--datasets", "planted", "--seeds", "0", "--profile", "smoke", "--set", "planted.repeats=1")
    plan = cabench("plan", "--methods", "chance", *common, "--no-controls", "--results", "runs")
    assert plan.returncode == 0, plan.stderr
    assert plan.stdout.splitlines()[-1].split()[-1] == "done"
    report = cabench("report", "--results", "runs")
    assert "| mean" in report.stdout
