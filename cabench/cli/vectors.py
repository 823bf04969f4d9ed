"""`cabench score` and `cabench encode`: vectors that come from elsewhere, and vectors of new images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cabench.cli.options import (
    DEFAULT_RESULTS,
    DataRoot,
    Device,
    Fit,
    ProfileName,
    Results,
    Sets,
    ValueRange,
    say,
    say_all,
)


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
    from cabench.experiment.vectors_from_elsewhere import CONTENT, read_vectors
    from cabench.report.markdown import markdown

    arrays = read_vectors(vectors)
    if content_sha256:
        arrays[CONTENT] = np.array(content_sha256)
    changes = sets or []
    record = score_vectors(
        arrays, dataset, name, seed, profile, results, sets=changes, data_root=data_root, force=force
    )
    typer.echo(markdown([record]))
    say_all([f"Recorded in {record.folder(results)}"])


def encode(
    cell: Annotated[Path, typer.Argument(help="Folder of a finished cell, such as results/runs/dsprites/pca/seed0-…")],
    output: Annotated[Path, typer.Option(help="The .csv or .npz file to write.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of images, or .h5 data set. Default: the vectors that the cell keeps.")
    ] = None,
    fit: Annotated[Fit, typer.Option(help="How images are made to fit: as the cell's were.")] = Fit.CROP,
    value_range: ValueRange = None,
    method: Annotated[
        str, typer.Option(help="Python file of the method's class, such as mine.py, where it is not installed.")
    ] = "",
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")] = False,
) -> None:
    """Write the vectors of images under a cell's fitted method, with the images' names."""
    from cabench.data.file import DatasetFile
    from cabench.data.importing.arrays import check_free
    from cabench.discovery import class_in_file
    from cabench.errors import UserError
    from cabench.experiment.device import resolve_device
    from cabench.experiment.encoding import check_output, encode_file, encode_folder, stored_vectors, write_encoded
    from cabench.experiment.fitted_rows import FittedRows
    from cabench.saving import load_method, saved_shape

    check_output(output)
    if not force:
        check_free(output)
    if images is None:
        if not cell.is_dir():
            raise UserError(f"{cell} is no folder of a cell; name one, or give --images with a fitted method.")
        if value_range or method or device != "auto" or fit is not Fit.CROP:
            raise UserError("--fit, --range, --method and --device are for new images; name them with --images.")
        encoded = stored_vectors(cell / "representations.h5")
    else:
        kind = class_in_file(method) if method else None
        fitted, shape, where = load_method(cell, kind), saved_shape(cell), resolve_device(device)
        if not shape:
            raise UserError(f"{cell} does not say what shape of images it was fitted on; name the folder of a cell.")
        if images.suffix == ".h5":
            if value_range or fit is not Fit.CROP:
                raise UserError("--range and --fit are for folders of images; leave them out with a data set file.")
            data = DatasetFile.open_from_elsewhere(images)
            encoded = encode_file(fitted, shape, data, where, FittedRows.saved(cell))
        elif images.is_file():
            raise UserError(
                f"{images} is neither a folder of images nor an .h5 file; `cabench data import` makes one of a table."
            )
        else:
            encoded = encode_folder(fitted, shape, images, fit.value, value_range, where)
    say_all(encoded.said, "Note: ")
    write_encoded(encoded, output)
    sizes = " and ".join(f"{vectors.shape[1]} {space}" for space, vectors in encoded.spaces.items())
    say(f"{output}: {len(encoded.rows['name']):,} rows with {sizes} columns")
