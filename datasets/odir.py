"""Photographs of the retina, healthy or with one of five diseases: age, sex and eye are common, the disease salient.

The construction is that of SepCLR's experiment (card B5), from ODIR-5K (Peking University's Ocular Disease Intelligent
Recognition, 2019) as preprocessed images of 512 x 512. Labels are the patient's and count for both eyes. Patients with
exactly one of "normal" and the five diseases are kept, whatever hypertension and "other" say; in the order of the
table, left eye before right, the first 2,300 normal eyes, 400 with diabetes and 350 with each other disease are taken.
Images are scaled to 224 x 224, in colour. Eyes that were published without a preprocessed image are passed over.

`split = "patient-disjoint"`, the default, holds out a tenth of each kind by patient. `split = "leaky-as-released"` is
built as the released split is, over eyes, the first three left out: a patient's eyes can stand on either side, and
scores on it are too high. The released one has no seed and is not known.

Other deviations: an unknown age, which the table gives as 1, is undefined, where the released code takes the mean of
the split; colours are stored as they are, without the released normalisation, which scales each channel by constants;
scaling averages as it shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
from cabench.datasets.sources import odir
from cabench.datasets.sources.image_files import open_images
from cabench.datasets.sources.image_rows import write_rows
from cabench.datasets.sources.label_tables import check_files
from cabench.datasets.sources.leaks import note_leak

TEST_FRACTION = 0.1
SIZE = 224
# At most so many eyes of each kind, in the order of odir.KINDS.
LIMITS = (2_300, 400, 350, 350, 350, 350)
LEFT_OUT = 3  # eyes that the released split keeps for pictures

ATTRIBUTES = (
    Attribute("subtype", "salient", "class", odir.KINDS[1:]),
    Attribute("age", "common", "real"),
    Attribute("sex", "common", "class", ("female", "male")),
    Attribute("eye", "common", "class", odir.SIDES),
)


@dataclass(frozen=True)
class OdirConfig(Settings):
    """Which split."""

    split: Literal["patient-disjoint", "leaky-as-released"] = setting(
        "patient-disjoint", help="no patient in both splits, or as released, where both eyes go their own ways"
    )
    seed: int = setting(0, at_least=0, help="seed of the split")


class Odir(DatasetBuilder):
    """Selects and scales photographs; see the module."""

    name = "odir"
    version = 1
    Config = OdirConfig
    config: OdirConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """The two tables and the images."""
        return [odir.locate(root or download_folder())]

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write both splits, background first."""
        labels, published, place = sources[0].files
        eyes = odir.read_eyes(labels, published)
        images = open_images(place)
        check_files(published, eyes["file"], images)
        rows = _select(eyes)
        if self.config.split == "patient-disjoint":
            rows["is_test"] = held_out(rows["patient"], rows["kind"], TEST_FRACTION, self.config.seed)
        else:
            rows = rows[LEFT_OUT:].copy()
            rows["is_test"] = held_out(rows["file"], rows["is_target"], TEST_FRACTION, self.config.seed)
        note_leak(writer, rows["patient"], rows["is_test"])
        write_rows(writer, images, rows, (3, SIZE, SIZE), ATTRIBUTES, _prepare)


def _select(eyes: pd.DataFrame) -> pd.DataFrame:
    """The first eyes of each kind, for those that have exactly one kind."""
    kinds = eyes[list(odir.KINDS)] == 1
    rows = eyes[kinds.sum(axis=1) == 1].copy()
    rows["kind"] = kinds.loc[rows.index].to_numpy().argmax(axis=1)
    rows["subtype"] = rows["kind"] - 1  # -1, undefined, for normal eyes
    rows["is_target"] = rows["kind"] > 0
    return rows[rows.groupby("kind").cumcount() < rows["kind"].map(dict(enumerate(LIMITS)))].copy()


def _prepare(image: Image.Image) -> np.ndarray:
    """A photograph as uint8 (3, 224, 224)."""
    scaled = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR).convert("RGB")
    return np.asarray(scaled).transpose(2, 0, 1)
