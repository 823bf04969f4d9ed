"""`cabench open-trials`: the test split for trials whose choice is made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cabench.cli.options import DataRoot, Device, say_all
from cabench.cli.tuning import DEFAULT_RECORDS, TRIALS_FOLDER


def open_trials(
    records: Annotated[
        Path, typer.Option(file_okay=False, help="Folder of tuning records, which get the test gaps.")
    ] = DEFAULT_RECORDS,
    trials: Annotated[Path, typer.Option(file_okay=False, help="Folder of the trials' cells.")] = TRIALS_FOLDER,
    methods: Annotated[
        str,
        typer.Option(help="Files of methods that are not installed, such as mine.py, separated by commas."),
    ] = "",
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Score every trial on the test split, after the choice, to see what tuning was worth. Trains and chooses nothing.

    Trials that were opened are skipped. Exit status 1: some cannot be opened.
    """
    from cabench.tuning.opening import open_trials

    done = open_trials(records, trials, methods=methods, device=device, data_root=data_root)
    say_all(done.closed, "not opened: ")
    typer.echo(f"{done.opened} trials opened, {len(done.closed)} cannot be.")
    if done.closed:
        raise typer.Exit(1)
