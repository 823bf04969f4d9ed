"""CelebA, aligned and cropped: 202,599 faces of 178 x 218 pixels with 40 attributes, in torchvision's layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cabench.data.sources import Source
from cabench.datasets.sources.download import not_found
from cabench.datasets.sources.label_tables import check, numbers, read_csv, require_columns, unreadable

TITLE = "CelebA"
IMAGE_SIZE = (178, 218)  # width, height

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


def locate(root: Path) -> Source:
    """Find the attribute file and the images, in `celeba/` or in the folder itself.

    Args:
        root: a folder in the layout of `torchvision.datasets.CelebA`: `list_attr_celeba.txt`, or the same table as
            `list_attr_celeba.csv`, beside the folder `img_align_celeba/` or the original `img_align_celeba.zip`. A
            folder is preferred to the archive.

    Returns:
        A source of two: the table; the folder or archive.

    Raises:
        UserError: naming what is missing, and whom to get it from.
    """
    for place in (root / "celeba", root):
        table = next((place / name for name in _TABLES if (place / name).is_file()), None)
        images = next((place / name for name in _IMAGES if (place / name).exists()), None)
        if table is not None and images is not None:
            return Source(TITLE, (table, images))
    raise not_found(
        TITLE,
        root,
        f"{' or '.join(_TABLES)} beside img_align_celeba/ or img_align_celeba.zip in {root / 'celeba'} and {root}",
        "celeba/",
        "img_align_celeba.zip and list_attr_celeba.txt from the Multimedia Laboratory of the Chinese University of "
        "Hong Kong (Large-scale CelebFaces Attributes, aligned and cropped images)",
    )


def read_attributes(path: Path) -> pd.DataFrame:
    """Read the attributes that contrastive data sets use.

    Args:
        path: `list_attr_celeba.txt` (a count, a line of names, a line an image), or a CSV file with the same columns
            and one for the file name, called `image_id` or `File_name`. Values are 1 and -1.

    Returns:
        In the order of the file: `file` (str) and, int64, 0 or 1, `glasses`, `hat`, `sex` (1 is male), `young`,
        `smiling`.

    Raises:
        UserError: naming the file that is damaged or lacks a column, or the image whose value is another one.
    """
    table = _read_text(path) if path.suffix == ".txt" else _read_csv(path)
    check(path, table, "file", "file", table["file"].notna(), ["a file name"])
    has = {new: numbers(path, table, old, "file", (-1, 1)) > 0 for old, new in _COLUMNS.items()}
    return pd.DataFrame({"file": table["file"], **{name: column.astype("int64") for name, column in has.items()}})


def _read_text(path: Path) -> pd.DataFrame:
    try:
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
