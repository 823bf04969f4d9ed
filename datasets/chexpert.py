"""Chest X-rays without finding and with one of three: age and sex are common, the kind of finding salient.

The construction is that of SepCLR's experiment (card B4), from the training images of CheXpert-v1.0-small (Irvin et
al., 2019). Frontal AP views are kept. Background is "No Finding"; targets have exactly one of cardiomegaly, edema and
pleural effusion, none of them uncertain, and none of eight other findings, certain or not. The first 10,001 healthy
images and the first 3,001 of each finding are taken, in the order of the table. Ten pixels are cut from every side, the
rest is averaged to 224 x 224 grey pixels.

`split = "patient-disjoint"`, the default, holds out a tenth of each kind by patient. `split = "leaky-as-released"` is
the released split, drawn over images: patients are in both splits, so scores on it are too high. Other deviation: the
sex "Unknown" is undefined, while the released code counts it as male. Rows of one patient are one group.
"""

from __future__ import annotations

import re
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
from cabench.data.download import not_found
from cabench.data.sources import Source
from cabench.data.split import held_out
from cabench.data.writing import DatasetWriter
from cabench.datasets.sources.image_files import open_images, write_rows
from cabench.datasets.sources.label_tables import check, check_files, numbers, read_csv, require_columns
from cabench.datasets.sources.resampling import area_resized

TITLE = "CheXpert-v1.0-small"
TEST_FRACTION = 0.1
SIZE = 224
BORDER = 10  # pixels cut from every side

HEALTHY = "No Finding"
SUBTYPES = ("Cardiomegaly", "Edema", "Pleural Effusion")
EXCLUDED = (
    "Pneumonia",
    "Enlarged Cardiomediastinum",
    "Pneumothorax",
    "Lung Lesion",
    "Pleural Other",
    "Fracture",
    "Consolidation",
    "Atelectasis",
)
FINDING_VALUES = (1, 0, -1, float("nan"))  # present, absent, uncertain, not mentioned
# The most images of the healthy and of each subtype; the released code stops one image late.
LIMITS = (10_001, 3_001, 3_001, 3_001)
SEXES = {"Female": 0, "Male": 1, "Unknown": -1}

ATTRIBUTES = (
    Attribute("subtype", "salient", "class", ("cardiomegaly", "edema", "pleural effusion")),
    Attribute("age", "common", "real"),
    Attribute("sex", "common", "class", ("female", "male")),
)

_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", HEALTHY, *SUBTYPES, *EXCLUDED)
_PATH = re.compile(r"(?:.*/)?train/(?P<file>(?P<patient>patient\d+)/study\d+/[^/]+)")


@dataclass(frozen=True)
class CheXpertConfig(Settings):
    """Which split."""

    split: Literal["patient-disjoint", "leaky-as-released"] = setting(
        "patient-disjoint", help="no patient in both splits, or the released one, which shares patients"
    )
    seed: int = setting(0, at_least=0, help="seed of the patient-disjoint split; the released one is fixed")


class CheXpert(DatasetBuilder):
    """Selects, crops and scales X-rays; see the module."""

    name = "chexpert"
    version = 2
    Config = CheXpertConfig
    config: CheXpertConfig

    def locate(self, root: Path | None) -> Sequence[Source]:
        """`train.csv` and `train/`, in `CheXpert-v1.0-small/`, `chexpert/` or the folder itself."""
        root = root or download_folder()
        places = (root / TITLE, root / "chexpert" / TITLE, root / "chexpert", root)
        for place in places:
            if (place / "train.csv").is_file() and (place / "train").is_dir():
                return [Source(TITLE, (place / "train.csv", place / "train"))]
        raise not_found(
            TITLE,
            root,
            f"train.csv beside train/ in {', '.join(map(str, places))}",
            f"{TITLE}/",
            "CheXpert-v1.0-small from the Stanford Machine Learning Group (Stanford AIMI)",
        )

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write both splits, background first."""
        path, place = sources[0].files
        table = _read(path)
        images = open_images(place)
        check_files(path, table["file"], images)
        rows = _select(table)
        rows["is_test"] = self._is_test(rows)
        write_rows(writer, images, rows, (1, SIZE, SIZE), ATTRIBUTES, _prepare)

    def _is_test(self, rows: pd.DataFrame) -> np.ndarray:
        """Bool (n,): which rows are held out."""
        if self.config.split == "patient-disjoint":
            return held_out(rows["patient"], rows["kind"], TEST_FRACTION, self.config.seed)
        from sklearn.model_selection import train_test_split  # Late: importing scikit-learn takes a second.

        _, test = train_test_split(np.arange(len(rows)), test_size=TEST_FRACTION, random_state=0)
        return np.isin(np.arange(len(rows)), test)


def _read(path: Path) -> pd.DataFrame:
    """The table with the file and patient of each row; every value that is used is checked."""
    table = read_csv(path, _COLUMNS)
    require_columns(path, table, _COLUMNS)
    parts = table["Path"].astype(str).str.extract(f"^{_PATH.pattern}$")
    check(path, table, "Path", "Path", parts["file"].notna(), [f"{TITLE}/train/patient<n>/study<n>/<image>"])
    check(path, table, "Sex", "Path", table["Sex"].isin(SEXES), SEXES)
    age = pd.to_numeric(table["Age"], errors="coerce")
    check(path, table, "Age", "Path", age.between(0, 150), ["a number of years"])
    findings = {name: numbers(path, table, name, "Path", FINDING_VALUES) for name in (HEALTHY, *SUBTYPES, *EXCLUDED)}
    return table.assign(**parts, **findings, age=age.astype("float64"))


def _select(table: pd.DataFrame) -> pd.DataFrame:
    """The first rows of each kind: 0 for healthy, then the subtypes; `subtype`, `age` and `sex` as attributes."""
    view = (table["Frontal/Lateral"] == "Frontal") & (table["AP/PA"] == "AP")
    healthy = table[HEALTHY] == 1
    found = table[list(SUBTYPES)]
    other = table[list(EXCLUDED)].isin([1, -1]).any(axis=1) | (found == -1).any(axis=1)
    diseased = ~healthy & ~other & ((found == 1).sum(axis=1) == 1)
    rows = table[view & (healthy | diseased)].copy()
    rows["subtype"] = np.where(healthy[rows.index], -1, (found == 1).loc[rows.index].to_numpy().argmax(axis=1))
    rows["kind"] = rows["subtype"] + 1
    rows["is_target"] = rows["kind"] > 0
    rows["sex"] = rows["Sex"].map(SEXES).astype("int64")
    return rows[rows.groupby("kind").cumcount() < rows["kind"].map(dict(enumerate(LIMITS)))]


def _prepare(image: Image.Image) -> np.ndarray:
    """An X-ray without its border, as uint8 (1, 224, 224)."""
    pixels = np.asarray(image.convert("L"))[BORDER:-BORDER, BORDER:-BORDER]
    if not pixels.size:
        raise ValueError("it has only {} x {} pixels".format(*image.size))
    return area_resized(pixels, SIZE)[None]
