"""The suite in Python: run experiments, load data sets, and measure representations from anywhere.

The command line is a thin layer over these functions. See docs/python.md.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from cabench.data.dataset import Attribute, ContrastiveDataset, DatasetInfo
from cabench.data.file import DatasetFile
from cabench.data.layout import VALIDATION
from cabench.errors import UserError
from cabench.evaluation.protocols import check_protocols
from cabench.evaluation.vectors import Vectors, check_alike, check_attributes, check_groups
from cabench.experiment.assignment import Assignment
from cabench.experiment.crew import Crew
from cabench.experiment.estimate import estimate
from cabench.experiment.measuring import measure
from cabench.experiment.plan import Experiment, ready_file, resolve
from cabench.experiment.progress import RunReporter, make_reporter
from cabench.experiment.record import Record
from cabench.experiment.reevaluation import Reevaluation
from cabench.experiment.request import MethodLike, Request, ResolvedProfile
from cabench.experiment.store import ResultsStore
from cabench.experiment.task import records_of, tasks_of
from cabench.experiment.vectors_from_elsewhere import check_name, read_vectors, score_vectors
from cabench.experiment.workforce import Place, parse_workers, workforce
from cabench.hardening.supervision import journal
from cabench.profiles import load_profile
from cabench.report.html import html_tables
from cabench.report.markdown import markdown
from cabench.report.tidy_csv import score_table, tidy_table


class LoadedDataset(NamedTuple):
    """A data set in memory.

    Attributes:
        train: the training split: `train.background` and `train.target`, each with `images` and `attributes`; and
            `train.images`, both together in the order of vectors.
        test: likewise.
        info: what is known of it: name, sources, image shape, attributes, counts, notes.
        validation: a split for choosing settings, which no table shows scores of; None where there is none.
    """

    train: ContrastiveDataset
    test: ContrastiveDataset
    info: DatasetInfo
    validation: ContrastiveDataset | None = None

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """What is known of the images, in the order in which tables show it."""
        return self.info.attributes

    @property
    def content_sha256(self) -> str:
        """The hash of all images, labels and declarations; vectors from elsewhere are sent with it."""
        return self.info.content_sha256


@dataclass(frozen=True, repr=False)
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

    __repr__ = __str__

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
    models: bool = True,
    workers: int | str = 1,
) -> Results:
    """Train and probe methods on data sets. Finished cells are not computed again.

    Args:
        methods: names separated by commas, or a list of names, classes and constructed methods. Of an object, class and
            configuration count: each cell makes its own from them.
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
        models: whether the fitted methods are kept with their cells.
        workers: how many processes compute cells at a time, or "auto" for as many as the machine takes; 1 is this
            process itself.

    Raises:
        UserError: for anything that does not exist, is not allowed or does not fit together, before any work starts.
    """
    request = Request(methods, datasets, seeds, profile, sets, device, precision, _root(data_root), controls)
    return run_request(request, Path(results), RunSettings(force, checkpoint_seconds, protocols, models, workers))


@dataclass(frozen=True)
class RunSettings:
    """How a request is computed; none of it changes what is computed. See `run`."""

    force: bool = False
    checkpoint_seconds: float = 60.0
    protocols: Sequence[str] = ()
    models: bool = True
    workers: int | str = 1


def run_request(request: Request, results: Path, settings: RunSettings) -> Results:
    """Do what `run` does, for a complete request."""
    if not 0 <= settings.checkpoint_seconds < math.inf:
        raise UserError(
            f"--checkpoint-seconds {settings.checkpoint_seconds} is not allowed; it must be from 0, such as 60."
        )
    workers = parse_workers(settings.workers)
    store = ResultsStore(results.absolute())  # absolute, as methods may change the working folder
    reporter = make_reporter()
    check_protocols(settings.protocols, [])
    experiment = resolve(request, say=reporter.say)
    check_protocols(settings.protocols, [cell.data.info.name for cell in experiment.cells])
    store.check_writable()
    tasks = tasks_of(experiment.cells, store, settings.force, journal())
    _compute(Assignment(tasks, store, settings.checkpoint_seconds, settings.models), experiment, workers, reporter)
    records, left = records_of(tasks, store)
    for task in left:
        reporter.say(f"{task.title}: left to the process that is working on it")
    renewed, unread = Reevaluation(store, request.data_root, settings.protocols, reporter.say).bring_up_to_date(records)
    unreported = store.write_report(markdown)
    return Results(tuple(renewed), store.folder, len(left), tuple(unread), tuple(unreported))


def _compute(assignment: Assignment, experiment: Experiment, workers: int | None, reporter: RunReporter) -> None:
    """Compute what has not ended, in this process or by a crew."""
    tasks, store = assignment.tasks, assignment.store
    left = [task.cell for task in tasks if not task.has_ended(store)]
    if done := len(tasks) - len(left):
        reporter.say(f"{done} of {len(tasks)} cells are finished already.")
    finished = store.readable_records()[0] if left else []
    force = workforce(workers, experiment.device, experiment.cells, len(left), finished)
    if said := estimate(left, finished, experiment.device):
        reporter.say(said)
    if workers == 1:
        assignment.work(Place(experiment.device, torch.get_num_threads()), reporter, journal())
    elif left:
        reporter.say(force.said)
        Crew(assignment, force.places, reporter, journal()).work()


def load_dataset(
    name: str | Path, profile: str = "quick", *, sets: Sequence[str] = (), data_root: str | Path | None = None
) -> LoadedDataset:
    """Read a data set into memory; one that is not there yet is built first.

    Args:
        name: a data set's name, a variant's, or the path of an .h5 file.
        profile: gives the data set's configuration.
        sets: changes of single fields, such as "dsprites.size=64".
        data_root: folder of raw data; None for what CABENCH_DATA names, else raw data is downloaded.

    Raises:
        UserError: for an unknown name, and for data that cannot be built or read.
    """
    file, _ = _dataset(name, profile, sets, data_root)
    validation = file.read(VALIDATION) if VALIDATION in file.info.counts else None
    return LoadedDataset(file.read("train"), file.read("test"), file.info, validation)


def evaluate(train: Vectors, test: Vectors, attributes: Sequence[Attribute]) -> pd.DataFrame:
    """Measure representations from anywhere, as those of a cell are measured. Nothing is written.

    Args:
        train: what probes are fitted on.
        test: what they are scored on, with the same spaces.
        attributes: what is known of the images.

    Returns:
        One row a score, with the columns of `Results.scores` from `space` on; what could not be measured has a reason
        in place of a value. `attrs["separation_gap"]` is the gap, None where one space is missing.

    Raises:
        UserError: for attributes that cannot be, arrays that do not go together, groups that lie in both splits, and
            vectors that are not finite.
    """
    check_attributes(attributes)
    parts = train.encoded(attributes, "train"), test.encoded(attributes, "test")
    check_alike(*parts)
    check_groups(*parts)
    try:
        measured, _ = measure(*parts, attributes)
    except ValueError as error:
        raise UserError(f"The vectors cannot be measured: {error}") from error
    table = score_table([*measured["scores"], *measured["unmeasured"]])
    table.attrs["separation_gap"] = measured["separation_gap"]
    return table


def score(
    vectors: str | Path | Mapping[str, np.ndarray],
    dataset: str | Path,
    name: str,
    seed: int = 0,
    profile: str = "quick",
    results: str | Path = "results/runs",
    *,
    sets: Sequence[str] = (),
    data_root: str | Path | None = None,
    force: bool = False,
) -> Record:
    """Score vectors that were computed elsewhere; their record stands in every table under `name`.

    Args:
        vectors: the path of an .npz file, or arrays by name: train_common, train_salient, test_common, test_salient,
            float (n, d), one row an image in the order of `load_dataset(...).train.images`, background first; and
            content_sha256, which `load_dataset` gives. One space may be missing.
        dataset: a data set's name, a variant's, or the path of an .h5 file.
        name: what tables call the vectors.
        seed: of the training that they come from.
        profile: gives the data set's configuration, and the section of tables that the record stands in.
        results: the results folder.
        sets: changes of single fields of the data set.
        data_root: folder of raw data.
        force: replace a record of other vectors under the same name and seed.

    Raises:
        UserError: for vectors that cannot be, and for a name or seed that is taken.
    """
    read = load_profile(profile)
    check_name(name, read)
    arrays = vectors if isinstance(vectors, Mapping) else read_vectors(Path(vectors))
    file, label = _dataset(dataset, profile, sets, data_root)
    store = ResultsStore(Path(results).absolute())
    store.check_writable()
    return score_vectors(arrays, file, label, name, seed, read, store, force)


def _dataset(
    name: str | Path, profile: str, sets: Sequence[str], data_root: str | Path | None
) -> tuple[DatasetFile, str]:
    """A data set's file and its name in tables."""
    resolved, (label,) = ResolvedProfile.read(profile, sets).with_files([str(name)])
    resolved.check_overrides([label])
    return ready_file(label, resolved.sample(label), _root(data_root), make_reporter().say), label


def _root(data_root: str | Path | None) -> Path | None:
    """The folder of raw data, absolute, as methods may change the working folder."""
    root = data_root or os.environ.get("CABENCH_DATA")
    return Path(root).absolute() if root else None
