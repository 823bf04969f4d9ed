"""`cabench export`: a finished cell's vectors in the file that its data came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cabench.cli.options import say, say_all


def export(
    file: Annotated[Path, typer.Argument(help="The .h5ad file that the cell's data were imported from.")],
    cell: Annotated[Path, typer.Option(help="Folder of a finished cell, such as results/runs/mine/pca/seed0-…")],
    output: Annotated[
        Path | None, typer.Option(help="The .h5ad file to write. Default: cells.scored.h5ad beside cells.h5ad.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the output, and vectors of this method that the file holds.")
    ] = False,
) -> None:
    """Write a cell's vectors into a copy of an .h5ad file, as obsm/X_METHOD_common and obsm/X_METHOD_salient."""
    from cabench.data.importing.arrays import check_free
    from cabench.errors import UserError
    from cabench.experiment.anndata_export import SUFFIX, export_anndata
    from cabench.experiment.encoding import stored_vectors
    from cabench.experiment.record import Record

    place = output or file.with_suffix(f".scored{SUFFIX}")
    if place.suffix != SUFFIX:
        raise UserError(f"The output {str(place)!r} must end in {SUFFIX}.")
    if not force:
        check_free(place)
    if not cell.is_dir():
        raise UserError(f"{cell} is no folder of a cell; name one, such as results/runs/mine/pca/seed0-….")
    encoded = stored_vectors(cell / "representations.h5")
    method = Record.load(cell / "record.json").method["label"]
    say_all(export_anndata(file, encoded, method, place, force), "Note: ")
    sizes = ", ".join(f"X_{method}_{space} ({vectors.shape[1]})" for space, vectors in encoded.spaces.items())
    say(f"{place}: obsm holds {sizes}")
