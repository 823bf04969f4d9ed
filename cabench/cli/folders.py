"""The commands on results folders: `check-store`, `merge`, `publish` and `verify-results`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cabench.cli.options import DEFAULT_RESULTS, DataRoot, Results, say, say_all
from cabench.files.names import printable
from cabench.publication.found import TOLERANCE

Tuning = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of tuning records.")]
Profile = Annotated[Path | None, typer.Option(metavar="FILE", help="The profile that was made of these.")]


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
    results: Annotated[Path, typer.Option(file_okay=False, help="Folder to copy into.")] = DEFAULT_RESULTS,
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


def publish(
    output: Annotated[Path, typer.Option(metavar="FILE", help="The archive to write, a .tar.gz or .zip file.")],
    results: Results = DEFAULT_RESULTS,
    tuning: Tuning = None,
    profile: Profile = None,
    vectors: Annotated[
        bool, typer.Option("--vectors", help="With the cells' vectors, so that others can compute the scores anew.")
    ] = False,
    models: Annotated[bool, typer.Option("--models", help="With the fitted methods.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an archive that is there.")] = False,
) -> None:
    """Write results into one archive that others can check: records, contributions, tuning, profile, hashes, versions.

    Equal contents give equal archives. Failed cells are part of it.
    """
    from cabench.publication.publish import publish

    done = publish(results, output, tuning, profile, vectors=vectors, models=models, force=force)
    say_all(done.left_out, "left out: ")
    summary = done.manifest.summary
    cells = sum(sum(methods.values()) for methods in summary.cells.values())
    typer.echo(f"{cells} cells, {summary.failed} of them failed; {len(done.manifest.files) + 1} files.")
    if not vectors:
        typer.echo("Without --vectors: others can check the records, and cannot compute the scores anew.")
    say(f"{done.sha256}  {output}")


def verify_results(
    path: Annotated[
        Path, typer.Argument(metavar="DIR|FILE", help="An archive, what one was unpacked to, or a results folder.")
    ],
    tuning: Tuning = None,
    profile: Profile = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="An own data set of the sender's, as you have it: NAME.h5. Repeatable."),
    ] = None,
    data_root: DataRoot = None,
    build: Annotated[bool, typer.Option("--build", help="Build data sets that are not built here yet.")] = False,
    tolerance: Annotated[
        float, typer.Option(min=0, help="By how much a number may differ that is computed anew.")
    ] = TOLERANCE,
) -> None:
    """Check results that others send: hashes, keys, versions, settings, data, and scores where vectors are there.

    Exit status 1: something was found.
    """
    from cabench.publication.verify import verify_results

    found = verify_results(
        path, tuning, profile, data=data or (), data_root=data_root, build=build, tolerance=tolerance
    )
    for finding in found.findings:
        say(f"finding: {finding}")
    for note, count in found.notes.items():
        say(f"note: {note}" + (f" ({count} times)" if count > 1 else ""))
    typer.echo(str(found))
    if not found.passed:
        raise typer.Exit(1)
