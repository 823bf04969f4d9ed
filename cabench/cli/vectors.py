"""`cabench score` and `cabench encode`: vectors that come from elsewhere, and vectors of new images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cabench.cli.options import DEFAULT_RESULTS, DataRoot, ProfileName, Results, Sets
from cabench.files.names import printable


def score(
    vectors: Annotated[
        Path, typer.Argument(help=".npz file: train_common, train_salient, test_common, test_salient, content_sha256.")
    ],
    dataset: Annotated[str, typer.Option(help="The data set, or .h5 file, whose images were encoded.")],
    name: Annotated[str, typer.Option(help="What tables call the vectors.")],
    seed: Annotated[int, typer.Option(help="Of the training that they come from.")] = 0,
    content_sha256: Annotated[
        str, typer.Option(help="Content hash of the data that was encoded, where the file does not hold it.")
    ] = "",
    profile: ProfileName = "quick",
    sets: Sets = None,
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a record of other vectors.")] = False,
) -> None:
    """Score vectors that were computed elsewhere, as those of a method that was run here."""
    import numpy as np

    from cabench.api import score as score_vectors
    from cabench.experiment.outside import CONTENT, read_vectors
    from cabench.report.markdown import markdown

    arrays = read_vectors(vectors)
    if content_sha256:
        arrays[CONTENT] = np.array(content_sha256)
    changes = sets or []
    record = score_vectors(
        arrays, dataset, name, seed, profile, results, sets=changes, data_root=data_root, force=force
    )
    typer.echo(markdown([record]))
    typer.echo(printable(f"Recorded in {record.folder(results)}"), err=True)
