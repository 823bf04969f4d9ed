"""Faces with and without glasses or a hat: sex, age and smile are common, the accessory salient.

The construction is that of SepCLR's experiment (card B2a), from the aligned and cropped CelebA (Liu et al., 2015).
Background is faces with neither accessory, targets have one of the two; faces with both are left out. Of each sex the
first 6,000 without, 3,000 with glasses and 3,000 with a hat are taken, in the order of the attribute file. Where CelebA
has fewer of a kind, all are taken, and the data set's notes tell how many are missing. The middle 176 x 176 of 178 x
218 pixels is scaled to 128 x 128. `crop=108, size=64` gives the same faces as MM-cVAE, SepVAE and Double InfoGAN show
them (card B2c): much of a hat is cut off.

The published split is not known, it was drawn without a seed: here a fifth of each accessory and sex is held out, in
the order of a hash of seed and file name. Deviations: the released split was not stratified; a person can have
photographs in both splits, as there, for CelebA's identities are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cabench.config import Settings, setting
from cabench.data.builder import DatasetBuilder
from cabench.data.cache import download_folder
from cabench.data.dataset import Attribute
from cabench.data.sources import Source
from cabench.data.split import held_out
from cabench.data.writing import DatasetWriter
from cabench.datasets.sources import celeba
from cabench.datasets.sources.image_files import open_images
from cabench.datasets.sources.image_rows import write_rows
from cabench.datasets.sources.label_tables import check_files

TEST_FRACTION = 0.2
SEXES = ("female", "male")
ACCESSORIES = ("glasses", "hat")
# Images wanted of each sex, by what is worn: nothing, glasses, a hat.
WANTED = (6_000, 3_000, 3_000)

ATTRIBUTES = (
    Attribute("accessory", "salient", "class", ACCESSORIES),
    Attribute("sex", "common", "class", SEXES),
    Attribute("young", "common", "class", ("no", "yes")),
    Attribute("smiling", "common", "class", ("no", "yes")),
)


@dataclass(frozen=True)
class CelebAConfig(Settings):
    """Defaults: SepCLR's CelebA experiment (card B2a)."""

    crop: int = setting(176, at_least=8, at_most=178, help="side of the square in the middle that is kept, in pixels")
    size: int = setting(128, at_least=8, at_most=512, help="height and width that it is scaled to")
    seed: int = setting(0, at_least=0, help="seed of the split")


class CelebA(DatasetBuilder):
    """Selects, crops and scales faces; see the module."""

    name = "celeba"
    version = 1
    Config = CelebAConfig
    config: CelebAConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """The attribute file and the images."""
        return [celeba.locate(root or download_folder())]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write both splits, background first."""
        table, place = sources[0].files
        faces = celeba.read_attributes(table)
        images = open_images(place)
        check_files(table, faces["file"], images)
        rows = _select(faces, writer)
        cells = rows["worn"] * len(SEXES) + rows["sex"]
        rows["is_test"] = held_out(rows["file"], cells, TEST_FRACTION, self.config.seed)
        size = self.config.size
        write_rows(writer, images, rows, (3, size, size), ATTRIBUTES, self._prepare)

    def _prepare(self, image: Image.Image) -> np.ndarray:
        """The middle of an image of 178 x 218 pixels, as uint8 (3, size, size)."""
        if image.size != celeba.IMAGE_SIZE:
            raise ValueError("it has {} x {} pixels where 178 x 218 are wanted".format(*image.size))
        crop, size = self.config.crop, self.config.size
        left, top = ((side - crop) // 2 for side in image.size)
        middle = image.crop((left, top, left + crop, top + crop))
        # Made colour last, since that copies an image which is so already.
        scaled = middle.resize((size, size), Image.Resampling.BILINEAR).convert("RGB")
        return np.asarray(scaled).transpose(2, 0, 1)


def _select(faces: pd.DataFrame, writer: DatasetWriter) -> pd.DataFrame:
    """The first faces of each accessory and sex, with their attributes as class indices."""
    rows = faces[(faces["glasses"] & faces["hat"]) == 0].copy()
    rows["worn"] = rows["glasses"] + 2 * rows["hat"]  # as in WANTED
    rows["accessory"] = rows["worn"] - 1  # -1, undefined, where nothing is worn
    rows["is_target"] = rows["worn"] > 0
    place = rows.groupby(["worn", "sex"]).cumcount()
    rows = rows[place < rows["worn"].map(dict(enumerate(WANTED)))]
    for worn, wanted in enumerate(WANTED):
        for sex, title in enumerate(SEXES):
            found = int(((rows["worn"] == worn) & (rows["sex"] == sex)).sum())
            if found < wanted:
                kind = ("neither glasses nor a hat", "glasses", "a hat")[worn]
                writer.note(f"{found:,} of {wanted:,} {title} faces with {kind} were found.")
    return rows
