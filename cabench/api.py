"""The suite in Python: run experiments, load data sets, and measure representations from anywhere.

The command line is a thin layer over these functions. See docs/python.md.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cabench.errors import UserError
from cabench.evaluation.protocols import check_protocols
from cabench.experiment.plan import resolve
from cabench.experiment.progress import make_reporter
from cabench.experiment.record import Record
from cabench.experiment.reevaluation import Reevaluation
from cabench.experiment.request import MethodLike, Request
from cabench.experiment.runner import Runner
from cabench.experiment.store import ResultsStore
from cabench.hardening.supervision import journal
from cabench.report.html import html_tables
from cabench.report.markdown import markdown
from cabench.report.tidy_csv import tidy_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """What a run came to. `str()` gives the tables as Markdown.

    Attributes:
        records: of all cells that ended, in the order of the cells.
        folder: the results folder.
        left: how many cells are left to other processes.
        unread: sentences on records that could not be brought up to date.
        unreported: sentences on records in the folder that cannot be read, and are missing in its report.md.
    """

    records: tuple[Record, ...]
    folder: Path
    left: int
    unread: tuple[str, ...]
    unreported: tuple[str, ...]

    @property
    def scores(self) -> pd.DataFrame:
        """All scores, one a row, with the columns of the CSV report."""
        return tidy_table(self.records)

    def __str__(self) -> str:
        return markdown(self.records)

    def _repr_html_(self) -> str:
        return html_tables(self.records)


def run(
    methods: str | Sequence[MethodLike],
    datasets: str | Sequence[str | Path] = "",
    seeds: str | int | Sequence[int] = "",
    profile: str = "quick",
    results: str | Path = "results/runs",
    *,
    sets: Sequence[str] = (),
    device: str = "auto",
    precision: str = "auto",
    data_root: str | Path | None = None,
    controls: bool = True,
    force: bool = False,
    checkpoint_seconds: float = 60.0,
    protocols: Sequence[str] = (),
) -> Results:
    """Train and probe methods on data sets. Finished cells are not computed again.

    Args:
        methods: names separated by commas, or a list of names, classes and constructed methods.
        datasets: names or paths of .h5 files; empty for the profile's default.
        seeds: text such as "0-4", how many from 0, or a list of them; empty for the profile's default.
        profile: a profile's name, or the path of a .toml file.
        results: the results folder.
        sets: changes of single fields, such as "sepclr.epochs=20".
        device: "auto", "cpu", "cuda" or "cuda:1".
        precision: "auto", "fp32" or "bf16".
        data_root: folder of raw data; None for what CABENCH_DATA names, else raw data is downloaded.
        controls: whether the profile's control methods are added.
        force: compute finished cells again.
        checkpoint_seconds: seconds between two checkpoints, from 0.
        protocols: names of papers' own protocols whose scores are added.

    Raises:
        UserError: for anything that does not exist, is not allowed or does not fit together, before any work starts.
    """
    root = data_root or os.environ.get("CABENCH_DATA")
    request = Request(
        methods, datasets, seeds, profile, sets, device, precision, Path(root).absolute() if root else None, controls
    )
    return run_request(request, Path(results), force, checkpoint_seconds, protocols)


def run_request(
    request: Request,
    results: Path,
    force: bool = False,
    checkpoint_seconds: float = 60.0,
    protocols: Sequence[str] = (),
) -> Results:
    """Do what `run` does for a request that is put together already."""
    if not 0 <= checkpoint_seconds < math.inf:
        raise UserError(f"--checkpoint-seconds {checkpoint_seconds} is not allowed; it must be from 0, such as 60.")
    store = ResultsStore(results.absolute())  # absolute, as methods may change the working folder
    reporter = make_reporter()
    check_protocols(protocols, [])
    experiment = resolve(request, say=reporter.say)
    check_protocols(protocols, [cell.data.info.name for cell in experiment.cells])
    store.check_writable()
    runner = Runner(store, experiment.device, reporter, checkpoint_seconds, journal())
    records = runner.run(experiment.cells, force)
    renewed, unread = Reevaluation(store, request.data_root, protocols, reporter.say).bring_up_to_date(records)
    unreported = store.write_report(markdown)
    left = len(experiment.cells) - len(records)
    return Results(tuple(renewed), store.folder, left, tuple(unread), tuple(unreported))
