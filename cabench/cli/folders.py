"""The commands on results folders: `check-store` and `merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cabench.cli.options import DEFAULT_RESULTS, Results, say_all
from cabench.files.names import printable


def check_store(
    results: Results = DEFAULT_RESULTS,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the other process.")] = 300.0,
) -> None:
    """Find out whether two machines can share a results folder, and give it leases where flock does not reach.

    Start it on two machines at about the same time. Exit status 1: the folder cannot be shared as it is.
    """
    from cabench.experiment.shared_folder import check_shared_folder
    from cabench.experiment.store import ResultsStore

    outcome = check_shared_folder(ResultsStore(results.absolute()), wait, lambda text: say_all([text]))
    typer.echo(printable("\n".join(outcome.sentences)))
    if not outcome.usable:
        raise typer.Exit(1)


def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders; they stay as they are.")],
    results: Annotated[Path, typer.Option(help="Folder to copy into.")] = DEFAULT_RESULTS,
) -> None:
    """Copy the finished cells of results folders into one, each verified and whole, and write its report.

    What is there stays, but for failed cells. Exit status 1: cells conflict, are damaged, or are not what they say.
    """
    from cabench.api import merge

    merged = merge(folders, results)
    say_all(merged.conflicts, "conflict: ")
    say_all(merged.refused, "refused: ")
    say_all(merged.left_out, "left out: ")
    say_all(merged.unreported, "not in report.md: ")
    typer.echo(str(merged))
    if merged.conflicts or merged.refused or merged.unreported:
        raise typer.Exit(1)
