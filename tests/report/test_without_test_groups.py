"""A report on records whose contributions were taken of no test group."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import pytest

from cabench.experiment.store import ResultsStore
from cabench.report.html import html_page
from cabench.report.latex import latex
from cabench.report.markdown import markdown

PUBLISHED = Path(__file__).parents[2] / "results" / "published" / "dsprites"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for method in ("pca", "cpca"):
        for cell in sorted((PUBLISHED / method).iterdir())[:2]:
            folder = tmp_path / "dsprites" / method / cell.name
            shutil.copytree(cell, folder)
            with h5py.File(folder / "contributions.h5", "r+") as file:
                for name in list(file):
                    empty = file[name][..., :0]
                    del file[name]
                    file[name] = empty
    return tmp_path


def test_all_reports_are_written(results: Path) -> None:
    records, unreadable = ResultsStore(results).readable_records()
    assert (len(records), unreadable) == (4, [])
    assert "| pca " in markdown(records, [], False, "")
    assert "pca" in latex(records, [], False, "")
    assert "pca" in html_page(records, results, [], False, "")
