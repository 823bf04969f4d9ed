"""`cabench tune`: settings for every method, by an equal number of trials."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cabench.cli.experiments import Executor
from cabench.cli.options import say, takes_request

if TYPE_CHECKING:
    from cabench.experiment.request import Request
    from cabench.tuning.tuning_record import TrialEntry, TuningRecord

TRIALS_FOLDER, DEFAULT_RECORDS, DEFAULT_PROFILE = Path("results/trials"), Path("results/tuning"), Path("tuned.toml")
ALIKE = "its trials are not shown to differ by more than seeds do, so that the choice may be luck"


class Criterion(StrEnum):
    """What `tune` can judge trials by."""

    LABELS = "labels"
    FEW_LABELS = "labels:100"
    LABEL_FREE = "label-free"


@partial(takes_request, without=("seeds", "controls"))
def tune(
    request: Request,
    trials: Annotated[int, typer.Option(metavar="N", help="Of each method; the first is the profile itself.")] = 32,
    longest: Annotated[
        int, typer.Option(metavar="N", help="Train at most N = 1, 2, 4, 8 or 16 times the profile's epochs.")
    ] = 1,
    criterion: Annotated[
        Criterion, typer.Option(help="What trials are judged by: the gap, which takes all labels; a hundred; or none.")
    ] = Criterion.LABELS,
    results: Annotated[Path, typer.Option(file_okay=False, help="Folder of the trials' cells.")] = TRIALS_FOLDER,
    records: Annotated[Path, typer.Option(help="Folder of tuning records.")] = DEFAULT_RECORDS,
    output: Annotated[Path, typer.Option(help="The profile that is written, a .toml file.")] = DEFAULT_PROFILE,
    checkpoint_seconds: Annotated[float, typer.Option(help="Seconds between two checkpoints, from 0.")] = 60.0,
    workers: Annotated[
        str,
        typer.Option(metavar="N|auto", help="Processes at a time; auto: as the machine allows."),
    ] = "1",
    time_limit: Annotated[
        str, typer.Option(metavar="TIME", help="Begin no trial for which too little is left of it, such as 3h50m.")
    ] = "",
    executor: Annotated[Executor, typer.Option(help="This machine, or a SLURM cluster.")] = Executor.LOCAL,
    cluster: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of slurm: the TOML file of its settings; docs/clusters.md.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Of slurm: wait for the trials, and choose.")] = False,
) -> None:
    """Choose settings for methods by equal numbers of trials, without the test split; write them as a profile."""
    from cabench.api import tune_request
    from cabench.experiment.executors import RunSettings

    settings = RunSettings(
        checkpoint_seconds=checkpoint_seconds,
        workers=workers,
        time_limit=time_limit,
        executor=executor,
        cluster=cluster,
        wait=wait,
    )
    done = tune_request(request, trials, longest, criterion, results, records, output, settings)
    if done.left:
        typer.echo(f"{done.left} trials are left, and nothing is chosen yet; the same command goes on.", err=True)
        raise typer.Exit(1)
    for record in done.records:
        say(_said(record))
    say(f"{output} holds these settings: cabench run --profile {output} --methods ...")
    lost = [record for record in done.records if all(map(_failed, record.trials))]
    for record in lost:
        typer.echo(f"Every trial of {record.dataset} / {record.method} failed; the profile's own stands.", err=True)
    if lost:
        raise typer.Exit(1)


def _said(record: TuningRecord) -> str:
    """What was chosen. The score that it was chosen by is too good, and is not shown."""
    from cabench.tuning.likeness import differ

    settings = ", ".join(f"{name} = {value}" for name, value in record.choice.settings.items())
    told = f"trial {record.chosen} of {len(record.trials)}" + (" (the profile's own)" if record.chosen == 0 else "")
    failed = sum(map(_failed, record.trials))
    return (
        f"{record.dataset} / {record.method}: {told}{f': {settings}' if settings else ''}"
        f"{f'; {failed} failed' if failed else ''}"
        f"{'' if differ(record.trials) is not False else f'; {ALIKE}'}"
    )


def _failed(trial: TrialEntry) -> bool:
    return not trial.outcomes or trial.outcomes[0].gap is None
