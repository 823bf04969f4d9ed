"""Faces with and without glasses or a hat: sex, age and smile are common, the accessory salient.

The construction is that of SepCLR's experiment (card B2a), from the aligned and cropped CelebA (Liu et al., 2015).
Background faces have neither accessory, target faces one of the two; faces with both are left out. Of each sex the
first 6,000 without, 3,000 with glasses and 3,000 with a hat are taken, in the order of the attribute file. Where CelebA
has fewer of a kind, all are taken, and the data set's notes tell how many were found. The middle 176 x 176 of 178 x 218
pixels is scaled to 128 x 128. `crop=108, size=64` frames faces as MM-cVAE, SepVAE and Double InfoGAN do (cards B2b
and B2c), which cuts off much of a hat. Which faces are taken stays SepCLR's choice: those papers take the first ones of
each kind, 10,000 to 12,001 without and half as many with each accessory, whatever their sex.

The published split was drawn without a seed and is not known. Here a fifth of each accessory and sex is held out, in
the order of a hash of seed and file name. Deviation: the released split was not stratified. As there, a person can have
photographs in both splits, because CelebA's identities are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from cabench.datasets.sources.label_tables import (
    LARGEST_CSV,
    check,
    check_files,
    numbers,
    read_csv,
    require_columns,
    unreadable,
)
from cabench.files.bounds import check_size

TITLE = "CelebA"
IMAGE_SIZE = (178, 218)  # width, height
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

_TABLES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
# Kaggle's copy has the folder within a folder of the same name.
_IMAGES = ("img_align_celeba/img_align_celeba", "img_align_celeba", "img_align_celeba.zip")
_FILE_HEADERS = ("image_id", "File_name")
_COLUMNS: Mapping[str, str] = {
    "Eyeglasses": "glasses",
    "Wearing_Hat": "hat",
    "Male": "sex",
    "Young": "young",
    "Smiling": "smiling",
}


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
        """The attribute file and the images, in `celeba/` or in the folder itself, in torchvision's layout.

        These are `list_attr_celeba.txt`, or the same table as `list_attr_celeba.csv`, beside the folder
        `img_align_celeba/` or the original `img_align_celeba.zip`. A folder is preferred to the archive.
        """
        root = root or download_folder()
        for place in (root / "celeba", root):
            table = next((place / name for name in _TABLES if (place / name).is_file()), None)
            images = next((place / name for name in _IMAGES if (place / name).exists()), None)
            if table is not None and images is not None:
                return [Source(TITLE, (table, images))]
        raise not_found(
            TITLE,
            root,
            f"{' or '.join(_TABLES)} beside img_align_celeba/ or img_align_celeba.zip in {root / 'celeba'} and {root}",
            "celeba/",
            "img_align_celeba.zip and list_attr_celeba.txt from the Multimedia Laboratory of the Chinese University of "
            "Hong Kong (Large-scale CelebFaces Attributes, aligned and cropped images)",
        )

    def build(self, sources: Sequence[Source], writer: DatasetWriter) -> None:
        """Write both splits, background first."""
        table, place = sources[0].files
        faces = read_attributes(table)
        images = open_images(place)
        check_files(table, faces["file"], images)
        rows = _select(faces, writer)
        cells = rows["worn"] * len(SEXES) + rows["sex"]
        rows["is_test"] = held_out(rows["file"], cells, TEST_FRACTION, self.config.seed)
        size = self.config.size
        write_rows(writer, images, rows, (3, size, size), ATTRIBUTES, self._prepare)

    def _prepare(self, image: Image.Image) -> np.ndarray:
        """The middle of an image of 178 x 218 pixels, as uint8 (3, size, size)."""
        if image.size != IMAGE_SIZE:
            raise ValueError("it has {} x {} pixels where 178 x 218 are wanted".format(*image.size))
        crop, size = self.config.crop, self.config.size
        left, top = ((side - crop) // 2 for side in image.size)
        middle = image.crop((left, top, left + crop, top + crop))
        # Converted last, since that copies even an image that is in colour already.
        scaled = middle.resize((size, size), Image.Resampling.BILINEAR).convert("RGB")
        return np.asarray(scaled).transpose(2, 0, 1)


def read_attributes(path: Path) -> pd.DataFrame:
    """Read the attributes that contrastive data sets use.

    Args:
        path: `list_attr_celeba.txt` (a count, a line of names, a line an image), or a CSV file with the same columns
            and one for the file name, called `image_id` or `File_name`. Values are 1 and -1.

    Returns:
        In the order of the file: `file` (str) and, int64, 0 or 1, `glasses`, `hat`, `sex` (1 is male), `young`,
        `smiling`.

    Raises:
        UserError: naming the file that is damaged or lacks a column, or the image with another value.
    """
    table = _read_text(path) if path.suffix == ".txt" else _read_csv(path)
    check(path, table, "file", "file", table["file"].notna(), ["a file name"])
    has = {new: numbers(path, table, old, "file", (-1, 1)) > 0 for old, new in _COLUMNS.items()}
    return pd.DataFrame({"file": table["file"], **{name: column.astype("int64") for name, column in has.items()}})


def _read_text(path: Path) -> pd.DataFrame:
    try:
        check_size(path, LARGEST_CSV)
        with path.open(encoding="utf-8") as stream:
            stated, names = stream.readline().strip(), stream.readline().split()
        table = pd.read_csv(path, sep=r"\s+", skiprows=2, names=["file", *names], index_col=False, dtype={"file": str})
    except (OSError, ValueError) as error:
        raise unreadable(path, str(error)) from error
    require_columns(path, table, _COLUMNS)
    if stated != str(len(table)):
        raise unreadable(path, f"it states {stated or 'nothing'} as its number of rows and has {len(table):,}")
    return table


def _read_csv(path: Path) -> pd.DataFrame:
    table = read_csv(path, (*_FILE_HEADERS, *_COLUMNS))
    header = next((name for name in _FILE_HEADERS if name in table), _FILE_HEADERS[0])
    require_columns(path, table, (header, *_COLUMNS))
    return table.rename(columns={header: "file"})


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
