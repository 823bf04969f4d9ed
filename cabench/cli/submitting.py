"""`cabench submit`: scripts that start a run on a cluster."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cabench.cli.options import DEFAULT_RESULTS, Results, takes_request

if TYPE_CHECKING:
    from cabench.experiment.request import Request


class Kind(StrEnum):
    """What starts a script."""

    SLURM = "slurm"
    PBS = "pbs"
    SHELL = "shell"


@takes_request
def submit(
    request: Request,
    script: Annotated[Kind, typer.Option(help="Write a script for this.")],
    results: Results = DEFAULT_RESULTS,
    workers: Annotated[int, typer.Option(help="Workers that share the cells: the size of the array.")] = 4,
    time: Annotated[
        str, typer.Option(metavar="TIME", help="Limit of a job, such as 3h50m. Default: the cluster's own.")
    ] = "",
    output: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")] = False,
) -> None:
    """Write a job script to adapt: each of its workers is `cabench run` with these options. Starts nothing."""
    from cabench.data.importing.arrays import check_free
    from cabench.experiment.job_script import Job, job_script
    from cabench.experiment.time_span import parse_span
    from cabench.files.atomic import write_text

    if output and not force:
        check_free(output)
    text = job_script(script.value, Job(request, results, workers, parse_span(time) if time else None))
    if output:
        write_text(output, text)
    else:
        typer.echo(text, nl=False)
