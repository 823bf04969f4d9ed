"""Photographs of the retina, healthy or with one of five diseases: age, sex and eye are common, the disease salient.

The construction is that of SepCLR's experiment (card B5), from ODIR-5K (Peking University's Ocular Disease Intelligent
Recognition, 2019) as preprocessed images of 512 x 512. Labels are the patient's and count for both eyes. Patients with
exactly one of "normal" and the five diseases are kept; hypertension and "other" are ignored. In the order of the table,
left eye before right, the first 2,300 normal eyes, 400 with diabetes and 350 with each other disease are taken. Images
are scaled to 224 x 224, in colour, by averaging over areas. Eyes without a published preprocessed image are skipped.

`split = "patient-disjoint"`, the default, holds out a tenth of each kind by patient. `split = "leaky-as-released"` is
drawn like the released split, over eyes, the first three left out: a patient's eyes can be in different splits, so
scores on it are too high. The released split itself has no seed and is not known. Rows of one patient are one group.

Other deviations: an unknown age, which the table gives as 1, is undefined, while the released code takes the mean of
the split; colours are stored as they are, without the released normalisation, which scales each channel by constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from cabench.data.download import not_found
from cabench.data.sources import Source
from cabench.data.split import held_out
from cabench.data.writing import DatasetWriter
from cabench.datasets.sources.image_files import open_images, write_rows
from cabench.datasets.sources.label_tables import check, check_files, numbers, read_csv, read_excel, require_columns
from cabench.datasets.sources.resampling import area_resized
from cabench.errors import UserError

TITLE = "ODIR-5K (preprocessed images)"
SIDES = ("left", "right")
KINDS = ("normal", "diabetes", "glaucoma", "cataract", "macular degeneration", "myopia")
TEST_FRACTION = 0.1
SIZE = 224
# The most eyes of each kind, in the order of KINDS.
LIMITS = (2_300, 400, 350, 350, 350, 350)
LEFT_OUT = 3  # eyes that the released split keeps for pictures

ATTRIBUTES = (
    Attribute("subtype", "salient", "class", KINDS[1:]),
    Attribute("age", "common", "real"),
    Attribute("sex", "common", "class", ("female", "male")),
    Attribute("eye", "common", "class", SIDES),
)

_LABELS, _PUBLISHED, _IMAGES = "data.xlsx", "full_df.csv", "preprocessed_images"
_KIND_COLUMNS: Mapping[str, str] = dict(zip(("N", "D", "G", "C", "A", "M"), KINDS, strict=True))
_SIDE_COLUMNS: Mapping[str, str] = {"Left-Fundus": "left", "Right-Fundus": "right"}
_SEXES = ("Female", "Male")
_UNKNOWN_AGE = 1
_COLUMNS = ("ID", "Patient Age", "Patient Sex", *_SIDE_COLUMNS, *_KIND_COLUMNS)


@dataclass(frozen=True)
class OdirConfig(Settings):
    """Which split."""

    split: Literal["patient-disjoint", "leaky-as-released"] = setting(
        "patient-disjoint", help="no patient in both splits, or as released, where a patient's eyes can be in both"
    )
    seed: int = setting(0, at_least=0, help="seed of the split")


class Odir(DatasetBuilder):
    """Selects and scales photographs; see the module."""

    name = "odir"
    version = 3
    Config = OdirConfig
    config: OdirConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """The tables and the images, in `odir/`, `ODIR-5K/` or the folder itself, in the layout that Kaggle publishes.

        These are `full_df.csv`, the list of preprocessed images, `preprocessed_images/`, and the labels of all
        patients, `data.xlsx`, beside them or in `ODIR-5K/` or `ODIR-5K/ODIR-5K/`.
        """
        root = root or download_folder()
        places = (root / "odir", root / "ODIR-5K", root)
        for place in places:
            found = (place / inner / _LABELS for inner in ("", "ODIR-5K", "ODIR-5K/ODIR-5K"))
            labels = next((path for path in found if path.is_file()), None)
            if labels is not None and (place / _PUBLISHED).is_file() and (place / _IMAGES).is_dir():
                return [Source(TITLE, (labels, place / _PUBLISHED, place / _IMAGES))]
        raise not_found(
            TITLE,
            root,
            f"{_PUBLISHED} and {_IMAGES}/ with {_LABELS} beside them or in ODIR-5K/ODIR-5K/, in "
            f"{', '.join(map(str, places))}",
            "odir/",
            "the archive of Ocular Disease Recognition, ODIR-5K, which Peking University and Shanggong Medical "
            "Technology collected and Kaggle hands out",
        )

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write both splits, background first."""
        labels, published, place = sources[0].files
        eyes = read_eyes(labels, published)
        images = open_images(place)
        check_files(published, eyes["file"], images)
        rows = _select(eyes)
        if self.config.split == "patient-disjoint":
            rows["is_test"] = held_out(rows["patient"], rows["kind"], TEST_FRACTION, self.config.seed)
        else:
            rows = rows[LEFT_OUT:].copy()
            rows["is_test"] = held_out(rows["file"], rows["is_target"], TEST_FRACTION, self.config.seed)
        write_rows(writer, images, rows, (3, SIZE, SIZE), ATTRIBUTES, _prepare)


def read_eyes(labels: Path, published: Path) -> pd.DataFrame:
    """Read the labels of every preprocessed image.

    Args:
        labels: `data.xlsx`, one row per patient.
        published: `full_df.csv`, whose `filename` names the images that were published: some eyes have none.

    Returns:
        One row per eye, patients in the order of the table, left before right: `file`, `patient` (str), `eye` and `sex`
        (int64, indices into `SIDES` and ("female", "male")), `age` (float64, years, NaN where unknown) and, float64, 0
        or 1, a column for each of `KINDS`.

    Raises:
        UserError: naming the table that is damaged or lacks a column, the patient whose value is not allowed, or an
            image that is listed without labels.
    """
    table = read_excel(labels, _COLUMNS)
    require_columns(labels, table, _COLUMNS)
    check(labels, table, "ID", "ID", table["ID"].notna() & ~table["ID"].duplicated(), ["a number of its own"])
    sex = table["Patient Sex"]
    check(labels, table, "Patient Sex", "ID", sex.isin(_SEXES), _SEXES)
    age = pd.to_numeric(table["Patient Age"], errors="coerce")
    check(labels, table, "Patient Age", "ID", age.between(0, 150), ["a number of years"])
    for column in _SIDE_COLUMNS:
        check(labels, table, column, "ID", table[column].notna(), ["a file name"])
    patients = pd.DataFrame(
        {
            "patient": table["ID"].astype(str),
            "age": age.astype("float64").where(age != _UNKNOWN_AGE),
            "sex": (sex == _SEXES[1]).astype("int64"),
            **{kind: numbers(labels, table, column, "ID", (0, 1)) for column, kind in _KIND_COLUMNS.items()},
        }
    )
    sides = [patients.assign(file=table[c], eye=SIDES.index(side)) for c, side in _SIDE_COLUMNS.items()]
    eyes = pd.concat(sides).sort_index(kind="stable")
    listed = read_csv(published, ("filename",))
    require_columns(published, listed, ("filename",))
    unknown = listed["filename"][~listed["filename"].isin(eyes["file"])]
    if not unknown.empty:
        raise UserError(f"{published} lists {unknown.iloc[0]}, for which {labels} has no patient; replace both tables.")
    return eyes[eyes["file"].isin(listed["filename"])].reset_index(drop=True)


def _select(eyes: pd.DataFrame) -> pd.DataFrame:
    """The first eyes of each kind, out of those that have exactly one kind."""
    kinds = eyes[list(KINDS)] == 1
    rows = eyes[kinds.sum(axis=1) == 1].copy()
    rows["kind"] = kinds.loc[rows.index].to_numpy().argmax(axis=1)
    rows["subtype"] = rows["kind"] - 1  # -1, undefined, for normal eyes
    rows["is_target"] = rows["kind"] > 0
    return rows[rows.groupby("kind").cumcount() < rows["kind"].map(dict(enumerate(LIMITS)))].copy()


def _prepare(image: Image.Image) -> np.ndarray:
    """A photograph as uint8 (3, 224, 224)."""
    return area_resized(np.asarray(image.convert("RGB")).transpose(2, 0, 1), SIZE)
