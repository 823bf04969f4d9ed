"""From a table with one row an image to the two splits of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cabench.data.dataset import Attribute
from cabench.data.layout import SPLITS
from cabench.data.writing import DatasetWriter
from cabench.datasets.sources.image_files import ImageFiles, Prepare, decoded
from cabench.errors import UserError


def write_rows(
    writer: DatasetWriter,
    images: ImageFiles,
    rows: pd.DataFrame,
    shape: tuple[int, int, int],
    attributes: Sequence[Attribute],
    prepare: Prepare,
) -> None:
    """Decode and write both splits, in each background first, and each population in the order of the rows.

    Args:
        writer: of the data set.
        images: the files.
        rows: one an image: `file` (name), `is_target` and `is_test` (bool), and a column for each attribute.
        shape: (channels, height, width) of what `prepare` makes.
        attributes: what is known of the images.
        prepare: makes the stored pixels; see `decoded`.

    Raises:
        UserError: for a file that cannot be used, and where a split would lack a population.
    """
    for split in SPLITS:
        part = rows[rows["is_test"] == (split == "test")]
        populations = {is_target: part[part["is_target"] == is_target] for is_target in (False, True)}
        for is_target, population in populations.items():
            if population.empty:
                kind = "target" if is_target else "background"
                raise UserError(f"{images.path} has no {kind} images for the {split} split; complete the images.")
        with writer.split(split, len(part), shape, attributes) as out:
            for is_target, population in populations.items():
                values = {attribute.name: population[attribute.name].to_numpy() for attribute in attributes}
                names = population["file"].tolist()
                for span, pixels in decoded(images, names, prepare):
                    out.append(pixels, is_target, {name: column[span] for name, column in values.items()}, names[span])
