"""The suite in Python: run experiments, load data sets, and measure representations from anywhere.

The command line is a thin layer over these functions. See docs/python.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cabench.data.dataset import Attribute, ContrastiveDataset, DatasetInfo
from cabench.data.download import raw_data_root
from cabench.data.file import DatasetFile
from cabench.data.layout import VALIDATION
from cabench.errors import UserError
from cabench.evaluation.protocols import check_protocols
from cabench.evaluation.vectors import Vectors, check_alike, check_attributes, check_groups
from cabench.experiment.computing import compute
from cabench.experiment.executors import RunSettings, make_executor
from cabench.experiment.measuring import measure
from cabench.experiment.merging import Merged, merge_stores
from cabench.experiment.plan import ready_file, resolve
from cabench.experiment.progress import make_reporter
from cabench.experiment.record import Record
from cabench.experiment.recorded_content import other_contents
from cabench.experiment.reevaluation import Reevaluation
from cabench.experiment.request import MethodLike, Request, ResolvedProfile
from cabench.experiment.store import ResultsStore
from cabench.experiment.time_span import parse_span
from cabench.experiment.vectors_from_elsewhere import check_name, read_vectors, score_vectors
from cabench.hardening.supervision import journal
from cabench.profiles import load_profile
from cabench.report.html import html_tables
from cabench.report.markdown import markdown
from cabench.report.tidy_csv import score_table, tidy_table
from cabench.tuning.rules import tuning_rule
from cabench.tuning.tune import Tuned, Tuning


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
        left: how many cells are left, to other processes or to another run.
        unread: sentences on records that could not be brought up to date.
        unreported: sentences on records in the folder that cannot be read, and are missing in its report.md.
        is_waited_for: false where a cluster goes on with what is left.
    """

    records: tuple[Record, ...]
    folder: Path
    left: int
    unread: tuple[str, ...]
    unreported: tuple[str, ...]
    is_waited_for: bool = True

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
    time_limit: str = "",
    only_gpu: bool = False,
    executor: str = "local",
    cluster: str | Path | None = None,
    wait: bool = False,
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
            process itself. On a cluster the number of tasks.
        time_limit: such as "3h50m", after which no cell is begun any more, nor before it one of whose kind the slowest
            finished cell took longer than what is left; "" for no limit.
        only_gpu: leave cells of methods that compute on the processor to processes without a GPU.
        executor: "local" for this machine, or "slurm" for a cluster.
        cluster: of "slurm", the TOML file of its settings, see docs/clusters.md.
        wait: of "slurm", whether to wait until the cells have ended. Otherwise the results are those that are there.

    Raises:
        UserError: for anything that does not exist, is not allowed or does not fit together, before any work starts.
    """
    request = Request(methods, datasets, seeds, profile, sets, device, precision, raw_data_root(data_root), controls)
    settings = RunSettings(
        force=force,
        checkpoint_seconds=checkpoint_seconds,
        protocols=protocols,
        models=models,
        workers=workers,
        time_limit=time_limit,
        only_gpu=only_gpu,
        executor=executor,
        cluster=Path(cluster) if cluster else None,
        wait=wait,
    )
    return run_request(request, Path(results), settings)


def run_request(request: Request, results: Path, settings: RunSettings) -> Results:
    """Do what `run` does, for a complete request."""
    if settings.time_limit:
        parse_span(settings.time_limit)  # before any work
    journal().started_s()  # from now on time counts, that of building data too
    executor = make_executor(request.device, settings)
    store = ResultsStore(results.absolute())  # absolute, as methods may change the working folder
    reporter = make_reporter()
    check_protocols(settings.protocols, [])
    experiment = resolve(replace(request, device=executor.planned_on), say=reporter.say)
    check_protocols(settings.protocols, [cell.data.info.name for cell in experiment.cells])
    store.check_writable()
    for sentence in other_contents(experiment.cells, store):
        reporter.say(f"Note: {sentence}")
    records, left, is_waited_for = compute(experiment, store, settings, executor, reporter)
    if not is_waited_for:
        return Results(tuple(records), store.folder, len(left), (), (), is_waited_for=False)
    renewed, unread = Reevaluation(store, request.data_root, settings.protocols, reporter.say).bring_up_to_date(records)
    unreported = store.write_report(markdown)
    return Results(tuple(renewed), store.folder, len(left), tuple(unread), tuple(unreported))


def tune(
    methods: str | Sequence[MethodLike],
    datasets: str | Sequence[str | Path] = "",
    trials: int = 32,
    longest: int = 1,
    profile: str = "quick",
    results: str | Path = "results/trials",
    records: str | Path = "results/tuning",
    output: str | Path = "tuned.toml",
    *,
    criterion: str = "labels",
    sets: Sequence[str] = (),
    device: str = "auto",
    precision: str = "auto",
    data_root: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    workers: int | str = 1,
    time_limit: str = "",
    executor: str = "local",
    cluster: str | Path | None = None,
    wait: bool = False,
) -> Tuned:
    """Choose settings for methods, with the same number of trials for each, on a part of the training split.

    Trials are ordinary cells: finished ones are not computed again, and processes share them.

    Args:
        methods: as for `run`; those that do not learn from targets are left out.
        datasets: as for `run`.
        trials: of each method, from 1 to 1,024. The first has the profile's settings, the others are spread over the
            ranges that the method's configuration names.
        longest: 1, 2, 4, 8 or 16: how many times the profile's epochs a method is trained at most. The shortest length
            is taken after which nothing more happens.
        profile: whose settings are searched around.
        results: the folder of the trials' cells.
        records: the folder of tuning records, one a method and data set.
        output: the path of the profile that is written, of all records in that folder.
        criterion: what trials are judged by: "labels", the separation gap; "labels:100", that of a hundred labelled
            rows; or "label-free", which asks for none.
        sets: as for `run`; so are all that follow.
        device: as for `run`.
        precision: as for `run`.
        data_root: as for `run`.
        checkpoint_seconds: as for `run`.
        workers: as for `run`.
        time_limit: as for `run`.
        executor: as for `run`.
        cluster: as for `run`.
        wait: as for `run`.

    Raises:
        UserError: for anything that does not exist, is not allowed or does not fit together, before any work starts.
    """
    request = Request(methods, datasets, "", profile, sets, device, precision, raw_data_root(data_root), controls=False)
    settings = RunSettings(
        checkpoint_seconds=checkpoint_seconds,
        workers=workers,
        time_limit=time_limit,
        executor=executor,
        cluster=Path(cluster) if cluster else None,
        wait=wait,
    )
    return tune_request(request, trials, longest, criterion, Path(results), Path(records), Path(output), settings)


def tune_request(
    request: Request,
    trials: int,
    longest: int,
    criterion: str,
    results: Path,
    records: Path,
    output: Path,
    settings: RunSettings,
) -> Tuned:
    """Do what `tune` does, for a complete request."""
    rule = tuning_rule(criterion)
    if settings.time_limit:
        parse_span(settings.time_limit)  # before any work
    journal().started_s()
    store, folder, profile = ResultsStore(results.absolute()), records.absolute(), output.absolute()
    return Tuning(request, trials, longest, rule, store, folder, profile, settings, make_reporter()).run()


def merge(folders: Sequence[str | Path], results: str | Path = "results/runs") -> Merged:
    """Copy the finished cells of results folders into one, each verified and whole, and write its report.

    Args:
        folders: what to copy from; nothing in them is changed.
        results: the folder to copy into. What is there stays, but for failed cells of which another folder has scores.

    Returns:
        How many cells were copied or there already, and sentences on those that conflict, are damaged or were left out.

    Raises:
        UserError: for a folder that is not there or holds no records, before anything is copied.
    """
    target = ResultsStore(Path(results).absolute())
    merged = merge_stores([ResultsStore(Path(folder).absolute()) for folder in folders], target)
    merged.unreported += target.write_report(markdown)
    return merged


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
    return ready_file(label, resolved.sample(label), raw_data_root(data_root), make_reporter().say), label
